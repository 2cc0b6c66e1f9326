import pytest

from kerasuite.errors import InputError
from kerasuite.evaluation import drawing
from kerasuite.evaluation.sweep_display import SweepDisplay


def trial(name, value, seconds=60.0, status="finished", **values):
    return {
        "name": name,
        "value": value,
        "seconds": seconds,
        "status": status,
        "values": values,
        "epochs": 3,
        "reason": "",
    }


TRIALS = [
    trial("0", 0.5, rate=1e-4, model="cnn"),
    trial("1", None, 0.0, "failed", rate=1e-3, model="mlp"),
    trial("2", 0.8, rate=1e-2, model="mlp"),
    trial("3", 0.7, 30.0, "stopped", rate=3e-3, model="mlp"),
]


@pytest.mark.parametrize(("higher", "expected"), [(True, [0.5, 0.8, 0.8]), (False, [0.5, 0.5, 0.5])])
def test_the_best_value_after_each_trial_that_has_one(higher, expected):
    display = SweepDisplay.from_trials(TRIALS, "val_accuracy", higher_is_better=higher)
    assert display.best_so_far.tolist() == expected


def test_each_trial_stands_at_the_time_it_ended():
    axes = SweepDisplay.from_trials(TRIALS, "val_accuracy", higher_is_better=True).plot().ax_
    finished, stopped = (collection.get_offsets().data.tolist() for collection in axes.collections)
    assert finished == [[1, 0.5], [2, 0.8]]
    assert stopped == [[2.5, 0.7]]
    assert axes.get_ylabel() == "val_accuracy"


def test_each_setting_has_a_panel_and_a_wide_range_a_logarithmic_one():
    display = SweepDisplay.from_trials(TRIALS, "val_accuracy", higher_is_better=True).plot_settings()
    rate, model = display.ax_
    assert (rate.get_title("left"), rate.get_xscale(), model.get_title("left")) == ("rate", "log", "model")
    assert [collection.get_offsets().data.shape[0] for collection in rate.collections] == [2, 1]


def test_the_frame_has_a_row_for_every_trial():
    frame = SweepDisplay.from_trials(TRIALS, "val_accuracy", higher_is_better=True).frame()
    assert frame["trial"].to_list() == ["0", "1", "2", "3"]
    assert frame["value"].to_list() == [0.5, None, 0.8, 0.7]


def test_the_same_trials_give_the_same_picture():
    display = SweepDisplay.from_trials(TRIALS, "val_loss", higher_is_better=False)
    assert drawing.png(display) == drawing.png(display)


def test_without_a_value_there_is_nothing_to_show():
    with pytest.raises(InputError, match="No trial has a value"):
        SweepDisplay.from_trials(TRIALS[1:2], "val_loss", higher_is_better=False)
