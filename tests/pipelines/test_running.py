"""What every pipeline's run does, whatever it trains."""

import numpy as np
import pytest

from kerasuite import cli, devices, run_directory
from kerasuite.contracts import Examples, Skipped, Splits
from kerasuite.errors import InputError
from kerasuite.models import backbones
from kerasuite.pipelines import _running


@pytest.mark.parametrize("name", ["mnist_cnn", "resnet_transfer", "bert_text", "lstm_recommender"])
def test_the_devices_are_set_up_before_anything_else_touches_tensorflow(name, run_dir, monkeypatch):
    # Later, neither logical devices nor a place among several workers can be had.
    def refused(setting, all_reduce):
        raise InputError(f"asked for {setting}")

    module = cli.pipeline(name)
    monkeypatch.setattr(devices, "strategy", refused)
    for place, what in ((module, "load"), (backbones, "load")):
        monkeypatch.setattr(place, what, lambda *given, **more: pytest.fail("Something came before the devices."))
    with pytest.raises(InputError, match="asked for cpu:2"):
        module.run(module.Config(**module.SAMPLE, devices="cpu:2"), run_dir)


@pytest.mark.parametrize("name", ["mnist_cnn", "resnet_transfer"])
def test_images_with_a_number_for_each_class_are_refused_before_training(name, run_dir):
    module = cli.pipeline(name)
    hot = Examples({"image": np.zeros((4, 8, 8, 1), np.uint8)}, np.eye(2, dtype=np.uint8)[[0, 1, 0, 1]])
    with pytest.raises(InputError, match=r"shape \(4, 2\).*labels.argmax\(1\)"):
        module.train(module.Config(**module.SAMPLE), hot, hot, run_dir)


def test_a_run_that_goes_on_on_another_machine_says_so(run_dir, two_devices, capsys):
    here = devices.describe(two_devices)
    _running._warn_of_another_machine(run_dir, here)
    run_directory.remember(run_dir, "machine", lambda: here)
    _running._warn_of_another_machine(run_dir, here)
    assert capsys.readouterr().err == ""
    _running._warn_of_another_machine(run_dir, here | {"cores": 64, "python": "3.99"})
    said = capsys.readouterr().err
    assert said.startswith(f"Warning: this run was begun on another machine (cores was {here['cores']}, is 64), which")


def test_what_an_older_run_did_not_remember_of_its_machine_is_no_change(run_dir, two_devices, capsys):
    here = devices.describe(two_devices)
    run_directory.remember(run_dir, "machine", lambda: {name: here[name] for name in ("processor", "cores")})
    _running._warn_of_another_machine(run_dir, here)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("total", "rows"), [(0, []), (2, []), (1502, ['"and 1,500 more",this table names the first 2'])]
)
def test_a_table_of_what_was_skipped_says_how_many_it_does_not_name(tmp_path, total, rows):
    _running.write_skipped(tmp_path, [Skipped("a.csv[2]", "no user"), Skipped("a.csv[3]", "no item")], total)
    lines = (tmp_path / "skipped.csv").read_text().splitlines()
    assert lines == ["input,reason", "a.csv[2],no user", "a.csv[3],no item", *rows]


def test_a_run_says_in_its_table_how_many_more_were_skipped(run_dir):
    def train(*given):
        raise InputError("far enough")

    module = cli.pipeline("lstm_recommender")
    examples = Examples({"x": np.zeros(2)}, np.zeros(2, int))
    splits = Splits(examples, examples, examples, (Skipped("a.csv[2]", "no user"),), num_skipped=4)
    with pytest.raises(InputError, match="far enough"):
        _running.run(module.Config(devices="cpu:2"), run_dir, lambda config: splits, train, None)
    assert (run_dir / "skipped.csv").read_text().splitlines()[1:] == [
        "a.csv[2],no user",
        "and 3 more,this table names the first 1",
    ]


def test_every_pipeline_is_tried():
    assert set(cli.pipelines()) == {"mnist_cnn", "resnet_transfer", "bert_text", "lstm_recommender"}
