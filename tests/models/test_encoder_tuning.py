import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_bert

from kerasuite.errors import InputError
from kerasuite.models import encoder_tuning, encoders

IDS = [[2, 5, 6, 7, 8, 3], [2, 9, 10, 3, 0, 0], [2, 3, 0, 0, 0, 0]]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A pretrained encoder, and two from random weights."""
    checkpoint = tiny_bert.write(tmp_path_factory.mktemp("bert") / "tiny")
    sizes = {"dim": 16, "num_layers": 2}
    random = {kind: encoders.from_scratch(kind, tiny_bert.PIECES, **sizes).model for kind in ("small", "transformer")}
    return random | {
        "checkpoint": encoders.load(str(checkpoint), "mean").model,
        "pooler": encoders.load(str(checkpoint)).model,
    }


@pytest.mark.parametrize("kind", ["checkpoint", "small", "transformer"])
def test_a_copy_is_saved_and_loaded_and_every_weight_has_a_gradient(made, kind, tmp_path):
    copy = encoder_tuning.copied(made[kind])
    copy.save(tmp_path / "model.keras")
    ids = np.array(IDS)
    for other in (copy, keras.saving.load_model(tmp_path / "model.keras")):
        np.testing.assert_array_equal(other(ids), made[kind](ids))
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(copy(ids, training=True) ** 3)
    gradients = tape.gradient(value, [variable.value for variable in copy.trainable_variables])
    assert all(gradient is not None for gradient in gradients)


@pytest.mark.parametrize("kind", ["checkpoint", "small", "transformer"])
def test_depths_run_from_the_embeddings_to_the_last_layer(made, kind):
    variables = made[kind].trainable_variables
    depths = dict(zip((variable.path for variable in variables), encoder_tuning.depths(variables)))
    assert {depth for path, depth in depths.items() if "embedding" in path or "tokens" in path} == {0}
    assert set(depths.values()) == {0, 1, 2}


def test_what_lies_below_the_last_layers_is_frozen(made):
    copy = encoder_tuning.copied(made["pooler"])
    number = len(copy.trainable_variables)
    encoder_tuning.freeze_below(copy, None)
    assert len(copy.trainable_variables) == number
    encoder_tuning.freeze_below(copy, 1)
    # Sixteen arrays of a layer, and the pooler's two.
    assert len(copy.trainable_variables) == 18
    assert all("transformer_layer_1" in v.path or "pooled" in v.path for v in copy.trainable_variables)
    with pytest.raises(InputError, match="last_5_layers: this encoder has"):
        encoder_tuning.freeze_below(encoder_tuning.copied(made["pooler"]), 5)


def test_low_rank_matrices_need_attention_of_keras_own():
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(InputError, match="--tuning lora"):
        encoder_tuning.add_lora(plain, 2)


@pytest.mark.parametrize(("kind", "number"), [("checkpoint", 2), ("small", 2), ("transformer", 1)])
def test_the_tables_are_those_whose_gradient_comes_by_rows(made, kind, number):
    model = made[kind]
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(model(np.array(IDS)) ** 3)
    gradients = tape.gradient(value, [variable.value for variable in model.trainable_variables])
    by_rows = {
        variable.path
        for variable, gradient in zip(model.trainable_variables, gradients)
        if isinstance(gradient, tf.IndexedSlices)
    }
    assert encoder_tuning.tables(model) == by_rows
    assert len(by_rows) == number
