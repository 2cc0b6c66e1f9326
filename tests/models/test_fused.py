import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_bert

from kerasuite.models import encoder_tuning, encoders, fused, transformer

IDS = np.array([[2, 5, 6, 7, 8, 3], [2, 9, 10, 3, 0, 0], [2, 3, 0, 0, 0, 0]])


def kinds_of_operations(model):
    function = tf.function(lambda ids: model(ids, training=False))
    graph = function.get_concrete_function(tf.TensorSpec([None, None], tf.int32)).graph
    return [operation.type for operation in graph.get_operations()]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(tiny_bert.write(tmp_path_factory.mktemp("bert") / "tiny"))


def test_a_fused_checkpoint_computes_what_bert_does(checkpoint):
    encoder = encoders.load(checkpoint, "mean")
    found = fused.fuse(encoder.model)(IDS, training=False).numpy()
    weights = tiny_bert.tensors()
    expected = [tiny_bert.states([id for id in row if id], weights).mean(0) for row in IDS]
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("write", [tiny_bert.write_distilbert, tiny_bert.write_roberta])
def test_other_checkpoints_answer_as_before(tmp_path, write):
    model = encoders.load(str(write(tmp_path / "checkpoint", tiny_bert.tensors())), "mean").model
    before = model(IDS, training=False).numpy()
    np.testing.assert_allclose(fused.fuse(model)(IDS, training=False).numpy(), before, atol=1e-6)


@pytest.mark.parametrize("kind", encoders.FROM_SCRATCH)
def test_encoders_from_scratch_answer_as_before(kind):
    model = encoders.from_scratch(kind, tiny_bert.PIECES, dim=16, num_layers=2).model
    before = model(IDS, training=False).numpy()
    np.testing.assert_allclose(fused.fuse(model)(IDS, training=False).numpy(), before, atol=1e-6)


def test_every_product_and_its_bias_is_what_the_graph_optimiser_fuses(checkpoint):
    model = encoders.load(checkpoint, "mean").model
    before = kinds_of_operations(model)
    after = kinds_of_operations(fused.fuse(model))
    assert "Einsum" in before
    assert "Einsum" not in after
    # Of each layer the query, the key, the value, what follows the attention, and the two dense layers.
    assert after.count("BiasAdd") == after.count("MatMul") == 6 * tiny_bert.LAYERS
    assert after.count("Transpose") == 2 * tiny_bert.LAYERS


def test_training_is_as_it_was(checkpoint):
    model = encoders.load(checkpoint, "mean").model
    keras.utils.set_random_seed(0)
    before = model(IDS, training=True).numpy()
    model = encoders.load(checkpoint, "mean").model
    keras.utils.set_random_seed(0)
    assert np.array_equal(fused.fuse(model)(IDS, training=True).numpy(), before)


def test_a_copy_is_as_it_was(checkpoint):
    model = fused.fuse(encoders.load(checkpoint, "mean").model)
    assert "Einsum" in kinds_of_operations(encoder_tuning.copied(model))


def test_tokens_that_see_only_those_before_them_still_do():
    model = transformer.build(20, dim=8, num_heads=2, causal=True)
    before = model(IDS, training=False).numpy()
    np.testing.assert_allclose(fused.fuse(model)(IDS, training=False).numpy(), before, atol=1e-6)


@pytest.mark.parametrize("options", [{"value_dim": 3}, {"use_bias": False}, {"output_shape": 5}])
def test_unusual_attention_is_left_alone(options):
    x = keras.Input((None, 8))
    layer = keras.layers.MultiHeadAttention(2, 4, **options)
    model = keras.Model(x, layer(x, x))
    rows = np.random.default_rng(0).normal(size=(2, 3, 8)).astype(np.float32)
    before = model(rows, training=False).numpy()
    np.testing.assert_allclose(fused.fuse(model)(rows, training=False).numpy(), before, atol=1e-6)


def test_gradients_are_those_of_the_layers_as_they_were():
    x = keras.Input((4, 8))
    is_token = keras.ops.ones_like(x[..., 0], dtype="bool")
    model = keras.Model(x, transformer.encode(x, is_token, num_layers=1, num_heads=2, longest=4))
    rows = tf.random.stateless_normal((2, 4, 8), (0, 0))

    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(rows)
            first = model(rows, training=False)[:, 0, 0]
        return tape.gradient(first, rows).numpy()

    before = gradient()
    fused.fuse(model)
    assert np.abs(before).max() > 0.1
    np.testing.assert_allclose(gradient(), before, atol=1e-6)
