import dataclasses
import json
import subprocess
import sys

import pytest

from kerasuite import config
from kerasuite.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(config.Settings):
    data: str = "digits"
    """What to train on."""
    image_size: tuple[int, int] | None = None
    """Height and width."""
    augment: bool = True
    """Whether to augment."""


def parse(*args, sample=None):
    return config.parse(Config, sample or {}, list(args), "kerasuite run x", "A pipeline.")


def test_flags_count_more_than_the_file_the_file_more_than_the_sample(tmp_path):
    file = tmp_path / "best.json"
    file.write_text(json.dumps({"epochs": 7, "batch_size": 64}))
    made = parse("--sample", "--config", str(file), "--batch-size", "8", sample={"epochs": 2, "seed": 5, "patience": 3})
    assert (made.patience, made.seed, made.epochs, made.batch_size) == (3, 5, 7, 8)


def test_the_config_of_a_run_is_taken_but_not_its_place(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"pipeline": "x", "settings": {"epochs": 7, "output": "old", "image_size": [8, 9]}}))
    made = parse(f"--config={file}")
    assert (made.epochs, made.output, made.image_size) == (7, None, (8, 9))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "holds a list"),
        ('{"epoch": 3}', "did you mean epochs?"),
        ('{"epochs": "3"}', "epochs is '3'; expected int"),
        ('{"precision": "half"}', "expected one of auto, float32, bfloat16"),
        ('{"image_size": [1.5, 2]}', "image_size is"),
    ],
)
def test_a_config_file_that_does_not_fit_is_refused_with_its_name(tmp_path, text, message):
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        parse("--config", str(file))
    assert str(file) in str(caught.value)


def test_an_absent_config_file_is_named():
    with pytest.raises(InputError, match=r"nowhere\.json cannot be read"):
        parse("--config", "nowhere.json")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--epochs", "0"], "--epochs is 0; it must be at least 1"),
        (["--validation-fraction", "1"], "--validation-fraction is 1.0"),
        (["--seed", "-1"], "--seed is -1"),
        (["--seed", "20261128123456"], "it must lie from 0 to 2,147,483,647"),
    ],
)
def test_values_out_of_range_name_their_flag(flags, message):
    with pytest.raises(InputError, match=message):
        parse(*flags)


def test_an_unknown_flag_ends_with_status_2_and_the_nearest_is_suggested(capsys):
    with pytest.raises(SystemExit) as ended:
        parse("--epoch", "3")
    assert ended.value.code == 2
    assert "--epochs" in capsys.readouterr().err


def test_the_command_repeats_the_settings():
    made = parse("--data", "my photos", "--image-size", "8", "9", "--no-augment", "--output", "here")
    line = config.command("x", made)
    assert line == "kerasuite run x --data 'my photos' --image-size 8 9 --no-augment"


def test_a_setting_that_may_be_left_open_is_repeated_with_its_word():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Open:
        flip: bool | None = None

    assert config.command("x", Open(flip=False)) == "kerasuite run x --flip False"


def test_no_setting_is_without_help():
    text = subprocess.run(
        [sys.executable, "-m", "kerasuite", "run", "mnist_cnn", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "--checkpoint-seconds" in text
    assert "(default" in text or "(required)" in text
