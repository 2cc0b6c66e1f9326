import numpy as np
import pytest
import tensorflow as tf

import kerasuite
from kerasuite.commands.load import Sweep
from kerasuite.errors import InputError


def test_a_finished_run_has_its_model_its_predictor_and_its_tables(finished, image_folder):
    run = kerasuite.load(finished)
    assert run.metrics["test"]["accuracy"]["n"] == len(run.predictions) == 18
    assert run.history["epoch"].to_list() == [*range(1, 9)]
    assert run.config["settings"]["model"] == "mlp"
    assert run.model.input_shape == (None, 12, 12, 1)
    assert run.predictor.class_names == ("a", "b", "c")


def test_the_keras_model_and_the_predictor_give_the_same_probabilities(finished, image_folder):
    run = kerasuite.load(finished)
    raw = [path.read_bytes() for path in sorted((image_folder / "test").rglob("*.png"))]
    pixels = tf.stack([tf.cast(tf.io.decode_png(item, channels=1), tf.float32) for item in raw])
    in_python = tf.nn.softmax(run.model(pixels, training=False)).numpy()
    np.testing.assert_allclose(run.predictor.probabilities(raw), in_python, atol=1e-6)
    assert [label for label, _ in run.predictor(raw)] == ["abc"[k] for k in in_python.argmax(1)]


def test_ids_and_labels_stay_strings_where_they_look_like_numbers(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "predictions.csv").write_text("id,label,prediction,p(07)\n1,07,07,1.0\n")
    assert kerasuite.load(tmp_path).predictions.row(0) == ("1", "07", "07", 1.0)


def test_a_number_stays_one_where_the_first_hundred_rows_have_none(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "predictions.csv").write_text("user,rank\n" + "7,\n" * 150 + "7,3\n")
    assert kerasuite.load(tmp_path).predictions.row(-1) == ("7", 3)
    (tmp_path / "trials.csv").write_text("trial,value\n" + "07,\n" * 150 + "08,0.5\n")
    assert Sweep(tmp_path).trials.row(-1) == ("08", 0.5)


@pytest.mark.parametrize(
    ("files", "message"), [([], "is not a run directory"), (["config.json"], "is not finished. .* kerasuite resume")]
)
def test_a_run_that_is_not_there_or_not_finished_is_refused(tmp_path, files, message):
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=message):
        kerasuite.load(tmp_path)
