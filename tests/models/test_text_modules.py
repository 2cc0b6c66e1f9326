from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
import text_modules

from kerasuite.errors import InputError
from kerasuite.models import encoder_tuning, encoders

TEXTS = tf.constant(["good film", "awful", ""])
IDS = np.array([[2, 5, 6, 3], [2, 9, 3, 0]])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return {
        kind: str(getattr(text_modules, kind)(tmp_path_factory.mktemp("module") / kind)) for kind in ("strings", "ids")
    }


@pytest.mark.parametrize(("kind", "given"), [("strings", TEXTS), ("ids", IDS)])
def test_a_module_says_as_a_layer_what_it_says_by_itself(saved, kind, given):
    encoder = encoders.load(saved[kind])
    module = tf.saved_model.load(saved[kind])
    if kind == "strings":
        expected = module(given)
    else:
        words = tf.constant(given, tf.int32)
        inputs = {"input_word_ids": words, "input_mask": tf.cast(words != 0, tf.int32), "input_type_ids": 0 * words}
        expected = module(inputs, training=False)["pooled_output"]
    np.testing.assert_allclose(encoder.model(given), expected, atol=1e-6)
    assert encoder.takes_strings == (kind == "strings")


def test_a_module_of_ids_brings_its_vocabulary(saved):
    encoder = encoders.load(saved["ids"])
    assert encoder.pieces[5] == "good"
    assert (encoder.lowercase, encoder.start, encoder.end) == (True, 2, 3)


def test_the_mean_of_the_states_leaves_the_padding_out(saved):
    encoder = encoders.load(saved["ids"], "mean")
    table = tf.saved_model.load(saved["ids"]).table.numpy()
    expected = [table[row[row != 0]].mean(0) for row in IDS]
    np.testing.assert_allclose(encoder.model(IDS), expected, atol=1e-6)


def test_a_pooling_that_a_module_has_nothing_for_is_refused(saved):
    with pytest.raises(InputError, match="--pooling mean wants states, which .* does not give"):
        encoders.load(saved["strings"], "mean")
    assert encoders.load(saved["ids"], "pooler").model.output_shape == (None, text_modules.DIM)


def test_layers_of_a_module_are_told_by_the_names_of_its_variables():
    names = ("embeddings_word_0", "encoder_layer_0_kernel_5", "transformer_layer_1_kernel_9", "pooler_transform_12")
    variables = [SimpleNamespace(path=f"module/bert_{name}") for name in names]
    assert encoder_tuning.depths(variables) == [0, 1, 2, 2]


@pytest.mark.parametrize(("kind", "given"), [("strings", TEXTS), ("ids", IDS)])
def test_a_copy_of_a_module_trains_and_is_saved(saved, kind, given, tmp_path):
    copy = encoder_tuning.copied(encoders.load(saved[kind]).model)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(copy(given, training=True) ** 2)
    (gradient,) = tape.gradient(value, [variable.value for variable in copy.trainable_variables])
    copy.trainable_variables[0].assign_sub(0.1 * tf.convert_to_tensor(gradient))
    assert np.abs(copy(given) - encoders.load(saved[kind]).model(given)).max() > 1e-3
    copy.save(tmp_path / "model.keras")
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "model.keras")(given), copy(given), atol=1e-6)


class NoVocabulary(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32)])
    def __call__(self, ids):
        return tf.cast(ids, tf.float32)


def test_a_module_of_ids_without_a_vocabulary_is_refused(tmp_path):
    tf.saved_model.save(NoVocabulary(), str(tmp_path / "plain"))
    with pytest.raises(InputError, match="has no vocab_file"):
        encoders.load(str(tmp_path / "plain"))
