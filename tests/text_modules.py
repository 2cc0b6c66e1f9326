"""SavedModels that read texts, as TensorFlow Hub has them: from strings, and from token ids."""

import numpy as np
import tensorflow as tf
import tiny_bert

DIM, BUCKETS = 8, 64


class Strings(tf.Module):
    """The mean of a vector for each word; words share vectors by a hash."""

    def __init__(self):
        super().__init__()
        self.table = tf.Variable(np.random.default_rng(0).normal(size=(BUCKETS, DIM)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def __call__(self, texts):
        words = tf.strings.split(texts)
        vectors = tf.ragged.map_flat_values(
            lambda values: tf.gather(self.table, tf.strings.to_hash_bucket_fast(values, BUCKETS)), words
        )
        return tf.math.divide_no_nan(tf.reduce_sum(vectors, 1), tf.cast(words.row_lengths(), tf.float32)[:, None])


class Ids(tf.Module):
    """The mean of the vectors of token ids, in the form of BERT's modules."""

    def __init__(self, vocabulary):
        super().__init__()
        self.table = tf.Variable(np.random.default_rng(0).normal(size=(len(tiny_bert.PIECES), DIM)).astype(np.float32))
        self.vocab_file = tf.saved_model.Asset(str(vocabulary))
        self.do_lower_case = tf.Variable(True, trainable=False)

    @tf.function
    def __call__(self, inputs, training=False):
        states = tf.gather(self.table, inputs["input_word_ids"])
        mask = tf.cast(inputs["input_mask"], tf.float32)[..., None]
        mean = tf.reduce_sum(states * mask, 1) / tf.reduce_sum(mask, 1)
        return {"sequence_output": states, "pooled_output": tf.tanh(mean), "default": tf.tanh(mean)}


def strings(folder):
    """Save the one that takes strings."""
    tf.saved_model.save(Strings(), str(folder))
    return folder


def ids(folder):
    """Save the one that takes token ids, with its vocabulary."""
    path = folder.with_name("vocab.txt")
    path.write_text("\n".join(tiny_bert.PIECES) + "\n", "utf-8")
    module = Ids(path)
    spec = {
        name: tf.TensorSpec((None, None), tf.int32, name) for name in ("input_mask", "input_type_ids", "input_word_ids")
    }
    for training in (True, False):
        module.__call__.get_concrete_function(spec, training=training)
    tf.saved_model.save(module, str(folder))
    return folder
