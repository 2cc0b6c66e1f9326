"""resnet_transfer from end to end on generated photos, with a tiny backbone of random weights."""

import csv
import errno
import json
import shutil
from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pytest
import run_files
import tensorflow as tf
from PIL import Image
from run_files import metrics_of
from sklearn.datasets import load_sample_image

from kerasuite import cli, run_directory
from kerasuite.commands import run
from kerasuite.data import features, files, row_store
from kerasuite.errors import EnvironmentFault, InputError
from kerasuite.models import resnet, transfer
from kerasuite.pipelines import _fine_tuning, _images, _stage_rows, resnet_transfer
from kerasuite.training import loop

SIZE = (16, 16)
COLOURS = {"blue": (40, 60, 200), "green": (40, 200, 60), "red": (200, 40, 60)}


def photo(colour, seed, size=(24, 20)):
    """A noisy JPEG-like photo of a colour."""
    noise = np.random.default_rng(seed).normal(0, 40, (*size, 3))
    return Image.fromarray((np.array(COLOURS[colour]) + noise).clip(0, 255).astype(np.uint8))


def write_photos(folder, number=12, seed=0):
    for k, colour in enumerate(COLOURS):
        (folder / colour).mkdir(parents=True)
        for place in range(number):
            photo(colour, 1000 * seed + 100 * k + place).save(folder / colour / f"{place:02}.jpg", quality=92)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("data") / "my photos")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """A .keras file, as people bring it."""
    keras.utils.set_random_seed(5)
    model = resnet.build(SIZE, 3, 4, blocks=(1, 1, 1), filters=(4, 8, 8))
    for weight in model.weights:
        if weight.path.endswith("gamma"):
            weight.assign(np.ones(weight.shape))
    path = tmp_path_factory.mktemp("backbone") / "tiny.keras"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def config(photos, backbone, tmp_path_factory):
    return resnet_transfer.Config(
        data=str(photos),
        backbone=str(backbone),
        image_size=SIZE,
        test_fraction=0.25,
        validation_fraction=0.25,
        batch_size=8,
        head_epochs=3,
        epochs=2,
        views=2,
        learning_rate=0.01,
        precision="float32",
        cache=str(tmp_path_factory.mktemp("cache")),
    )


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    return run.start("resnet_transfer", replace(config, output=str(tmp_path_factory.mktemp("runs") / "run")))


train = partial(run_files.train, resnet_transfer)


def pretrained(config):
    return resnet_transfer.backbone(config).model


def test_the_run_leaves_its_files_and_no_checkpoint(finished):
    names = {path.name for path in finished.iterdir()}
    assert {"grad_cam.png", "augmentation.png", "mistakes.png", "report.html", "metrics.json", "servable"} <= names
    assert "checkpoints" not in names


def test_the_numbers_are_of_every_test_photo_and_of_the_exported_model(finished):
    metrics = metrics_of(finished)
    assert metrics["examples"] == {"train": 21, "validation": 6, "test": 9, "skipped": 0}
    assert metrics["servable"]["checked"] == 9
    assert metrics["servable"]["label_disagreements"] == 0
    assert metrics["servable"]["max_difference"] < 1e-5
    assert set(metrics["baselines"]) == {
        "majority",
        "logistic_regression_on_colours",
        "logistic_regression_on_features",
    }
    with open(finished / "confusion_matrix.csv") as file:
        table = [[int(row[name]) for name in COLOURS] for row in csv.DictReader(file)]
    assert np.sum(table) == 9
    assert np.trace(table) / 9 == pytest.approx(metrics["test"]["accuracy"]["value"])


def test_colours_alone_tell_these_classes_apart(finished):
    metrics = metrics_of(finished)
    assert metrics["baselines"]["logistic_regression_on_colours"]["accuracy"]["value"] == 1


def test_the_history_names_its_stages(finished):
    with open(finished / "history.csv") as file:
        stages = [row["stage"] for row in csv.DictReader(file)]
    assert stages == ["head"] * 3 + ["behind_stage_2"] * 2


def test_the_report_shows_where_the_model_looked_and_how_photos_were_changed(finished):
    page = (finished / "report.html").read_text()
    for words in ("Where the model looked", "Augmentation", "logistic regression on features"):
        assert words in page


def test_a_second_run_passes_no_photo_through_the_frozen_part(finished, config, tmp_path, monkeypatch):
    def never(examples, *others):
        assert not len(examples)
        return iter(())

    monkeypatch.setattr(features, "_computed", never)
    again = run.start("resnet_transfer", replace(config, output=str(tmp_path / "again")))
    first, second = (metrics_of(folder) for folder in (finished, again))
    assert first["test"] == second["test"]


@pytest.mark.parametrize("unfreeze", ["none", "last_stage", pytest.param("stage_1", marks=pytest.mark.slow), "all"])
def test_what_is_unfrozen_changes_and_nothing_else(config, tmp_path, unfreeze):
    trained = train(replace(config, unfreeze=unfreeze), tmp_path / "run").model.layers[1]
    before = pretrained(config)
    changed = {
        layer.name
        for layer, old in zip(trained.layers, before.layers, strict=True)
        if any(not np.array_equal(a, b) for a, b in zip(layer.get_weights(), old.get_weights(), strict=True))
    }
    with_weights = [layer.name for layer in before.layers if layer.get_weights()]
    expected = {
        "none": [],
        "last_stage": [name for name in with_weights if name.startswith("stage_3")],
        "stage_1": [name for name in with_weights if name.startswith(("stage_2", "stage_3"))],
        "all": with_weights,
    }
    assert changed == set(expected[unfreeze])
    for a, b in zip(statistics(trained), statistics(before), strict=True):
        np.testing.assert_array_equal(a, b)


def statistics(backbone):
    """Of batch normalisation: means, each with its variance behind it."""
    return [weight.numpy() for weight in backbone.weights if "moving" in weight.path]


def test_batch_normalisation_learns_its_statistics_from_scratch(config, tmp_path):
    scratch = train(replace(config, train_from_scratch=True), tmp_path / "scratch").model.layers[1]
    assert all(np.abs(mean).max() > 0 for mean in statistics(scratch)[::2])


def test_the_head_on_cached_features_is_the_head_trained_the_slow_way(config, tmp_path):
    plain = replace(config, unfreeze="none", augment=False, dropout=0.0)
    fast = train(plain, tmp_path / "fast")
    slow = train(replace(plain, cache_gb=0.0), tmp_path / "slow")
    for a, b in zip(fast.model.get_weights(), slow.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    assert [row["val_loss"] for row in fast.history] == pytest.approx([row["val_loss"] for row in slow.history], 1e-4)


def test_features_that_find_no_room_are_not_cached_and_it_is_said(config, tmp_path, capsys):
    small = replace(config, unfreeze="none", cache=str(tmp_path / "small"), cache_gb=1e-6, epochs=1)
    train(small, tmp_path / "run")
    assert "find no room" in capsys.readouterr().out


def test_of_the_views_as_many_are_taken_as_find_room_beside_what_else_the_run_needs(config, tmp_path, capsys):
    # 21 training photos in two versions and a half, and they and 6 for validation as they are: each has eight numbers
    # in float32, and a key.
    room = (2.5 * 21 + 21 + 6) * (8 * 4 + row_store.KEY.itemsize)
    few = replace(config, unfreeze="none", views=4, cache=str(tmp_path / "small"), cache_gb=room / 2**30, epochs=1)
    train(few, tmp_path / "run")
    assert "Of 4 changed versions of each photo 2 find room" in capsys.readouterr().out

    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "small").rglob("*.bin")}
    train(few, tmp_path / "next run")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "small").rglob("*.bin")} == written


@pytest.mark.parametrize(
    ("unfreeze", "expected"),
    [
        ("last_stage", {0.01: "head", 0.001: "stage_3"}),
        ("stage_1", {0.01: "head", 0.001: "stage_3", 0.0001: "stage_2"}),
        ("all", {0.01: "head", 0.001: "stage_3", 0.0001: "stem stage_1 stage_2"}),
    ],
)
def test_the_earlier_a_stage_the_slower_it_is_trained(config, tmp_path, unfreeze, expected):
    base = resnet_transfer.backbone(config)
    config = replace(config, unfreeze=unfreeze)
    tuning, stage = _fine_tuning.FineTuning(config, base, None, None, tmp_path), _fine_tuning.stages(config, base)[-1]
    model = transfer.joined([transfer.copied(stage.tuned)], transfer.head(base.model.output_shape[-1], 3))
    trained = {}
    for optimizer, variables in tuning.rate_groups(stage, model, 100):
        peak = optimizer.get_config()["learning_rate"]["config"]["warmup_target"]
        # Of layers such as backbone/stage_2_1_norm and logits.
        layers = [variable.path.split("/")[-2].split("_") for variable in variables]
        trained[round(peak, 6)] = {"_".join(parts[: 1 + (parts[0] == "stage")]) for parts in layers}
    wanted = {rate: {"logits"} if names == "head" else set(names.split()) for rate, names in expected.items()}
    assert trained == wanted


def test_photos_that_no_stage_changes_are_said_to_be_as_they_are(config, tmp_path, capsys):
    train(replace(config, unfreeze="none", views=None, epochs=1), tmp_path / "run")
    assert "No photo was changed at random" in capsys.readouterr().out
    # By which the report has no sheet of changes.
    assert run_directory.remembered(tmp_path / "run", _stage_rows.CHANGED) is False


@pytest.mark.parametrize("mixed", [{"mixup": 1.0}, {"cutmix": 1.0}])
def test_the_report_shows_how_photos_were_mixed(config, tmp_path, mixed):
    base = resnet_transfer.backbone(config)
    rows = resnet_transfer.load(config).train
    plain = replace(config, augment=False)
    assert _stage_rows.changed_photos(plain, base, tmp_path, rows) is None
    section = _stage_rows.changed_photos(replace(plain, **mixed), base, tmp_path, rows)
    assert "those were mixed" in section.text
    assert [figure.name for figure in section.figures] == ["augmentation"]


def test_views_that_no_stage_has_a_use_for_are_said_to_be_unused(config, tmp_path, capsys):
    train(replace(config, unfreeze="all", views=3, head_epochs=1, epochs=1), tmp_path / "run")
    assert "--views 3 is not used" in capsys.readouterr().out


def test_a_stage_that_no_minutes_are_left_for_leaves_the_weights_before_it(config, tmp_path, monkeypatch, capsys):
    left = lambda self, stage, *rest, is_last: 0.0 if is_last else 1.0  # noqa: E731
    monkeypatch.setattr(_fine_tuning.FineTuning, "minutes_left", left)
    fitted = train(replace(config, minutes=2.0), tmp_path / "run")
    assert {row["stage"] for row in fitted.history} == {"head"}
    assert "The weights before it are kept." in capsys.readouterr().out


@pytest.mark.parametrize("unfreeze", ["last_stage", pytest.param("all", marks=pytest.mark.slow)])
def test_one_device_and_two_give_the_same_losses(config, tmp_path, unfreeze):
    alike = replace(config, unfreeze=unfreeze, dropout=0.0, mixup=0.3)
    histories = [train(replace(alike, devices=devices), tmp_path / devices).history for devices in ("cpu:1", "cpu:2")]
    for one, two in zip(*histories, strict=True):
        assert one["loss"] == pytest.approx(two["loss"], 1e-4)
        assert one["val_loss"] == pytest.approx(two["val_loss"], 1e-4)


@pytest.mark.parametrize("epoch", [1, pytest.param(3, marks=pytest.mark.slow), 4])
def test_a_run_cut_off_in_either_stage_goes_on_to_the_same_weights(config, refuse_other_weights, epoch):
    refuse_other_weights(partial(train, replace(config, cutmix=1.0)), epoch)


def test_a_stage_that_makes_it_worse_is_undone(config, tmp_path, capsys):
    wild = replace(config, backbone_rate=1e3, epochs=1)
    model = train(wild, tmp_path / "wild").model
    assert "did not lower the validation loss" in capsys.readouterr().out
    for a, b in zip(model.layers[1].get_weights(), pretrained(config).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backbone": "resnet5"}, "resnet50"),
        ({"feature_layer": "stage_9"}, "stage_3"),
        ({"unfreeze": "stage_9"}, "stage_2"),
        ({"image_size": (32, 32)}, "16x16"),
        ({"data": "nowhere"}, "nowhere"),
        ({"labels": "nowhere.csv"}, "nowhere.csv"),
        ({"cache": __file__}, "--cache .* is a file"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(config, tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        train(replace(config, **changes), tmp_path / "run")


@pytest.mark.parametrize(
    "changes",
    [
        {"views": 0},
        {"crop": 1.5},
        {"dropout": 1.0},
        {"learning_rate": 0.0},
        {"cache_gb": -1.0},
        {"image_size": (0, 9)},
        {"cutmix": 1.0, "unfreeze": "none"},
    ],
)
def test_a_setting_out_of_range_is_refused_by_its_flag(config, changes):
    name, *_ = changes
    with pytest.raises(InputError, match="--" + name.replace("_", "-")):
        replace(config, **changes)


def test_a_class_of_two_photos_is_refused(config, photos, tmp_path):
    few = tmp_path / "few"
    shutil.copytree(photos, few)
    for path in sorted((few / "red").iterdir())[2:]:
        path.unlink()
    with pytest.raises(InputError, match=r"'red' has 2"):
        resnet_transfer.load(replace(config, data=str(few)))


def test_photos_in_train_and_test_are_named_also_when_they_were_saved_anew(config, tmp_path):
    folder = tmp_path / "split"
    write_photos(folder / "train", 8)
    write_photos(folder / "test", 6, seed=1)
    scene = Image.fromarray(load_sample_image("flower.jpg")).resize((240, 160))
    scene.save(folder / "train" / "red" / "scene.jpg", quality=95)
    scene.save(folder / "test" / "red" / "scene_again.jpg", quality=60)
    shutil.copy(folder / "train" / "blue" / "00.jpg", folder / "test" / "blue" / "copy.jpg")
    warnings = " ".join(resnet_transfer.load(replace(config, data=str(folder))).warnings)
    for name in ("test/red/scene_again.jpg", "train/red/scene.jpg", "test/blue/copy.jpg", "train/blue/00.jpg"):
        assert name in warnings


def test_a_full_disk_while_features_are_kept_ends_with_what_to_do(config, tmp_path, monkeypatch):
    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(row_store.RowStore, "_write", full)
    with pytest.raises(EnvironmentFault, match=r"No space left on device. The disk is full: .* --cache-gb 0"):
        train(replace(config, cache=str(tmp_path / "full")), tmp_path / "run")


def test_a_photo_that_is_taken_away_while_the_model_trains_is_named(config, photos, tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    original = loop.Loop.train

    def taken_away(self, *arguments):
        for path in (folder / "green").iterdir():
            path.unlink()
        original(self, *arguments)

    monkeypatch.setattr(loop.Loop, "train", taken_away)
    # As if there were too many to be held in memory: photos are read while it trains.
    monkeypatch.setattr("kerasuite.data.cache.encoded_once", lambda examples, prepare: examples)
    settings = replace(config, data=str(folder), cache_gb=0.0, output=str(tmp_path / "run"))
    with pytest.raises(InputError, match=r"green.*after the run had looked at it"):
        run.start("resnet_transfer", settings)


def test_predict_turns_a_photo_by_its_exif_orientation_and_takes_folders(finished, tmp_path, capsys):
    upright = photo("red", 3, size=(40, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.save(tmp_path / "upright.png")
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "turned.jpg", quality=100, subsampling=0, exif=exif)
    assert cli.main(["predict", str(finished), str(tmp_path)]) == 0
    lines = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert len(lines) == 2
    turned, upright = ([float(line[f"p({name})"]) for name in COLOURS] for line in lines)
    assert turned == pytest.approx(upright, abs=0.02)


def test_photos_are_predicted_as_many_at_a_time_as_the_networks_own_size_lets(finished, tmp_path):
    network = json.loads((finished / "environment.json").read_text())["network"]
    assert "x".join(map(str, _images._image_size(finished))) == network["image size"]
    (tmp_path / "environment.json").write_text(json.dumps({"network": {"image size": "600x448"}}))
    assert _images._image_size(tmp_path) == (600, 448)
    assert _images.batch_size((600, 448)) == 11


def test_evaluate_reports_on_other_photos_and_on_those_it_was_trained_on(finished, photos, tmp_path, capsys):
    assert cli.main(["evaluate", str(finished), "--data", str(photos), "--output", str(tmp_path / "again")]) == 0
    metrics = metrics_of(tmp_path / "again")
    assert metrics["examples"]["test"] == 36
    assert "27 of these 36 images are exactly or nearly among" in capsys.readouterr().err
    assert metrics["without_seen"]["test"]["accuracy"]["n"] == 9


def saved_model(folder):
    """A backbone of one layer that cannot be cut, from pixels 0-1 to a vector."""
    module = tf.Module()
    module.kernel = tf.Variable(np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32))
    signature = [tf.TensorSpec((None, None, None, 3), tf.float32)]
    module.__call__ = tf.function(lambda x: tf.reduce_mean(tf.nn.relu(x @ module.kernel), (1, 2)), signature)
    tf.saved_model.save(module, str(folder))
    return str(folder)


def test_all_of_a_saved_model_can_be_trained(config, tmp_path):
    settings = replace(config, backbone=saved_model(tmp_path / "module"), unfreeze="all")
    before = pretrained(settings).get_weights()
    fitted = train(settings, tmp_path / "run")
    assert {row["stage"] for row in fitted.history} == {"head", "all"}
    assert np.abs(fitted.model.layers[1].get_weights()[0] - before[0]).max() > 0


@pytest.mark.parametrize("unfreeze", ["stage_9", "last_stage"])
def test_what_cannot_be_unfrozen_is_refused_before_a_photo_is_looked_at(config, tmp_path, monkeypatch, unfreeze):
    monkeypatch.setattr(files, "check", lambda *arguments: pytest.fail("a photo was looked at"))
    settings = replace(config, backbone=saved_model(tmp_path / "module"), unfreeze=unfreeze)
    with pytest.raises(InputError, match="cannot be cut"):
        run.start("resnet_transfer", replace(settings, output=str(tmp_path / "run")))


def interrupted(config, folder, monkeypatch):
    """A run that is cut off at the end of its first epoch."""
    original = loop.Loop.epoch

    def cut_off(self, *arguments):
        original(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "epoch", cut_off)
        with pytest.raises(KeyboardInterrupt):
            train(config, folder)


@pytest.mark.slow
def test_a_run_without_room_for_features_goes_on_without_them_once_there_is_room(config, tmp_path, monkeypatch):
    settings = replace(config, unfreeze="none", cache=str(tmp_path / "cache"))
    with monkeypatch.context() as patch:
        patch.setattr(features.FeatureCache, "features", lambda *arguments, **options: None)
        whole = train(settings, tmp_path / "whole")
        interrupted(settings, tmp_path / "cut", monkeypatch)
    again = train(settings, tmp_path / "cut")
    for a, b in zip(again.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_on_features_that_find_no_room_any_more_says_so(config, tmp_path, monkeypatch):
    settings = replace(config, unfreeze="none")
    interrupted(settings, tmp_path / "run", monkeypatch)
    monkeypatch.setattr(features.FeatureCache, "features", lambda *arguments, **options: None)
    with pytest.raises(EnvironmentFault, match=r"find no room any more.*kerasuite resume"):
        train(settings, tmp_path / "run")


def test_a_run_does_not_go_on_with_another_backbone(config, backbone, tmp_path, monkeypatch):
    path = tmp_path / "mine.keras"
    shutil.copy(backbone, path)
    settings = replace(config, backbone=str(path))
    interrupted(settings, tmp_path / "run", monkeypatch)
    model = keras.saving.load_model(path)
    model.get_layer("stem").kernel.assign(2 * model.get_layer("stem").kernel)
    model.save(path)
    with pytest.raises(InputError, match="backbone is not that with which"):
        train(settings, tmp_path / "run")


@pytest.mark.slow
def test_listed_photos_are_trained_on_and_evaluated_under_the_name_of_the_table(config, photos, tmp_path):
    rows = [(f"{colour}/{path.name}", colour) for colour in COLOURS for path in sorted((photos / colour).iterdir())]
    table = photos.parent / "photos.csv"
    table.write_text("path,label\n" + "".join(f"{photos.name}/{path},{label}\n" for path, label in rows))
    settings = replace(config, data="flowers", labels=str(table), unfreeze="none", epochs=1)
    run_dir = run.start("resnet_transfer", replace(settings, output=str(tmp_path / "run")))
    assert "tiny.keras on photos.csv" in (run_dir / "report.html").read_text()
    assert cli.main(["evaluate", str(run_dir), "--data", str(table), "--output", str(tmp_path / "again")]) == 0
    assert metrics_of(tmp_path / "again")["examples"]["test"] == 36
    assert "not there any more" not in (tmp_path / "again" / "report.html").read_text()


def test_a_test_photo_that_is_taken_away_is_named(config, photos, tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    original = resnet_transfer.finish

    def taken_away(config, fitted, splits, *others):
        for path in splits.test.inputs["path"].tolist():
            (tmp_path / path).unlink()
        return original(config, fitted, splits, *others)

    monkeypatch.setattr(resnet_transfer, "finish", taken_away)
    with pytest.raises(InputError, match="after the run had looked at it"):
        run.start("resnet_transfer", replace(config, data=str(folder), unfreeze="none", output=str(tmp_path / "run")))
