import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasuite.data.images import ImagePreparation
from kerasuite.errors import EnvironmentFault, InputError
from kerasuite.models import cnn
from kerasuite.serving import export
from kerasuite.serving.predictor import Predictor

NAMES = ("ant", "bee", "Käfer")


@pytest.fixture(scope="module")
def servable(tmp_path_factory):
    """A small model with random weights, exported; and the same model in Python."""
    keras.utils.set_random_seed(0)
    model = cnn.build((8, 8), 1, 3, filters=(4, 8), batch_norm=True, dropout=0.5)
    path = tmp_path_factory.mktemp("export") / "servable"
    export.export(path, model, ImagePreparation((8, 8), 1), NAMES, signature=export.of_strings("images"))
    return path, model


@pytest.fixture(scope="module")
def pictures():
    """Five gray 8x8 PNGs as bytes, and their pixels."""
    pixels = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 1), np.uint8)
    return [tf.io.encode_png(picture).numpy() for picture in pixels], pixels


def test_the_export_says_from_bytes_what_the_model_says_from_pixels(servable, pictures):
    path, model = servable
    raw, pixels = pictures
    in_python = tf.nn.softmax(model(tf.cast(pixels, tf.float32), training=False)).numpy()
    served = Predictor(path).probabilities(raw)
    assert served.dtype == np.float32
    np.testing.assert_allclose(served, in_python, atol=1e-6)
    np.testing.assert_allclose(served.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 256])
def test_the_batch_size_changes_no_prediction_and_no_order(servable, pictures, batch_size):
    predictor = Predictor(servable[0])
    found = predictor.probabilities(iter(pictures[0]), batch_size=batch_size)
    np.testing.assert_allclose(found, predictor.probabilities(pictures[0]), atol=1e-6)


def test_the_likeliest_class_is_given_by_name(servable, pictures):
    predictor = Predictor(servable[0])
    probabilities = predictor.probabilities(pictures[0])
    expected = [(NAMES[row.argmax()], pytest.approx(row.max())) for row in probabilities]
    assert predictor(pictures[0]) == expected
    assert predictor.class_names == NAMES


@pytest.mark.parametrize("number", [1, 5, 6, 13])
def test_several_devices_share_the_batches_and_no_row_is_lost_or_moved(servable, pictures, number):
    raw = [pictures[0][k % 5] for k in range(number)]
    one, two = Predictor(servable[0], devices=["CPU:0"]), Predictor(servable[0], devices=["CPU:0", "CPU:1"])
    np.testing.assert_allclose(two.probabilities(raw, 2), one.probabilities(raw, 2), atol=1e-6)
    for model, device in zip(two._replicas.models, ("CPU:0", "CPU:1")):
        weights = [
            tensor for tensor in model.signatures["serving_default"].captured_inputs if tensor.dtype == tf.resource
        ]
        assert weights
        assert {tensor.device[-5:] for tensor in weights} == {device}


def test_no_input_gives_no_row(servable):
    predictor = Predictor(servable[0])
    assert predictor.probabilities([]).shape == (0, 3)
    assert predictor([]) == []


def test_a_batch_may_hold_pictures_of_any_size_and_kind(servable, pictures):
    photo = np.random.default_rng(1).integers(0, 255, (30, 17, 3), np.uint8)
    mixed = [pictures[0][0], tf.io.encode_jpeg(photo).numpy(), tf.io.encode_png(photo).numpy()]
    predictor = Predictor(servable[0])
    assert predictor.probabilities(mixed).shape == (3, 3)
    np.testing.assert_allclose(
        predictor.probabilities(mixed)[0], predictor.probabilities(pictures[0][:1])[0], atol=1e-6
    )


def test_a_fresh_process_serves_it_with_tensorflow_alone(servable, pictures, tmp_path):
    (tmp_path / "picture.png").write_bytes(pictures[0][0])
    code = (
        "import sys\n"
        "import tensorflow as tf\n"
        f"loaded = tf.saved_model.load({str(servable[0])!r})\n"
        "serve = loaded.signatures['serving_default']\n"
        "(spec,) = serve.structured_input_signature[1].values()\n"
        "assert spec.dtype == tf.string and spec.shape.as_list() == [None] and spec.name == 'images', spec\n"
        f"said = serve(images=tf.constant([open({str(tmp_path / 'picture.png')!r}, 'rb').read()]))\n"
        "assert set(said) == {'label', 'probability', 'probabilities'}\n"
        "assert 'kerasuite' not in sys.modules\n"
        "sys.stdout.buffer.write(said['label'].numpy()[0] + b' %.5f' % said['probability'].numpy()[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    label, probability = Predictor(servable[0])(pictures[0][:1])[0]
    assert done.stdout.decode() == f"{label} {probability:.5f}"


def test_a_folder_that_is_no_saved_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no SavedModel"):
        Predictor(tmp_path)
    with pytest.raises(InputError, match="holds no SavedModel"):
        Predictor(tmp_path / "nowhere")


def test_a_saved_model_of_another_kind_is_refused(tmp_path):
    module = tf.Module()
    module.double = tf.function(lambda x: {"y": 2 * x}, input_signature=[tf.TensorSpec([None])])
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.double})
    with pytest.raises(InputError, match="class_names"):
        Predictor(tmp_path)


def test_an_export_that_fails_leaves_nothing(servable, tmp_path, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("cut")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(RuntimeError, match="cut"):
        export.export(
            tmp_path / "servable",
            servable[1],
            ImagePreparation((8, 8), 1),
            NAMES,
            signature=export.of_strings("images"),
        )
    assert [*tmp_path.iterdir()] == []


# compare: three rows, two classes

PYTHON = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])


def test_equal_labels_are_counted_and_the_largest_difference_given():
    served = PYTHON + [[-4e-4, 4e-4], [2e-4, -2e-4], [0, 0]]
    found = export.compare(served, PYTHON, ["a", "b", "c"])
    assert found == {"checked": 3, "label_disagreements": 0, "max_difference": pytest.approx(4e-4)}


def test_probabilities_that_lie_apart_are_refused_though_the_labels_are_equal():
    with pytest.raises(EnvironmentFault, match=r"on 1 of 3 rows \(b\)"):
        export.compare(PYTHON + [[0, 0], [0.002, -0.002], [0, 0]], PYTHON, ["a", "b", "c"])


def test_a_label_that_changed_is_refused_and_its_row_named():
    served = PYTHON[:, ::-1]
    with pytest.raises(EnvironmentFault, match=r"on 2 of 3 rows \(a, b\)"):
        export.compare(served, PYTHON, ["a", "b", "c"])


def test_a_tie_may_fall_either_way_and_is_counted():
    served = PYTHON + [[0, 0], [0, 0], [-1e-6, 1e-6]]
    assert served[2].argmax() != PYTHON[2].argmax()
    assert export.compare(served, PYTHON, ["a", "b", "c"])["label_disagreements"] == 1


def test_what_is_no_number_is_no_agreement():
    python = PYTHON.copy()
    python[1] = np.nan
    with pytest.raises(EnvironmentFault, match=r"\(b\)"):
        export.compare(PYTHON, python, ["a", "b", "c"])


@pytest.mark.parametrize("row", [0, 1])
def test_an_export_that_gives_no_numbers_is_refused(row):
    served = PYTHON.copy()
    served[row] = np.nan
    with pytest.raises(EnvironmentFault, match=rf"\({'ab'[row]}\)"):
        export.compare(served, PYTHON, ["a", "b", "c"])
