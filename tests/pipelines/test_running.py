"""What every pipeline's run does, whatever it trains."""

import pytest

from kerasuite import cli, devices
from kerasuite.errors import InputError
from kerasuite.models import backbones


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


def test_every_pipeline_is_tried():
    assert set(cli.pipelines()) == {"mnist_cnn", "resnet_transfer", "bert_text", "lstm_recommender"}
