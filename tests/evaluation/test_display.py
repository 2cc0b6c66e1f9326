import io
import warnings

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from kerasuite.errors import InputError
from kerasuite.evaluation.display import (
    ConfusionMatrixDisplay,
    HistoryDisplay,
    MistakesDisplay,
    PrecisionRecallDisplay,
    ReliabilityDisplay,
    RocDisplay,
    png,
)
from kerasuite.evaluation.drawing import _warn_about_letters
from kerasuite.evaluation.intervals import interval_words

matplotlib.use("Agg")

HISTORY = [{"epoch": k, "loss": 1 / k, "val_loss": 2 / k, "accuracy": 0.5, "val_accuracy": 0.4} for k in (1, 2, 3)]
NASTY = ["$x_1^", "_hidden", "a$b$c", "line\nbreak", "$\\frac{1"]


def rows(num_classes, n=200):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(num_classes, 0.3), n)
    labels = np.where(rng.random(n) < 0.7, probabilities.argmax(axis=1), rng.integers(num_classes, size=n))
    return labels, probabilities


def displays(num_classes, names=None):
    labels, probabilities = rows(num_classes)
    names = names or [f"class {k}" for k in range(num_classes)]
    return [
        ConfusionMatrixDisplay.from_predictions(labels, probabilities.argmax(axis=1), names),
        RocDisplay.from_predictions(labels, probabilities, names),
        PrecisionRecallDisplay.from_predictions(labels, probabilities, names),
        ReliabilityDisplay.from_predictions(labels, probabilities),
        MistakesDisplay.from_predictions(labels, probabilities, [f"$row_{k}$" for k in range(200)], names, n=5),
        HistoryDisplay.from_history(HISTORY),
    ]


def texts(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


@pytest.mark.parametrize("num_classes", [2, 5, 40])
def test_every_display_draws_a_picture_without_warnings(num_classes):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for display in displays(num_classes):
            picture = np.asarray(Image.open(io.BytesIO(png(display, dpi=50))).convert("L"))
            assert picture.std() > 5, display


def test_names_with_dollars_and_underscores_are_drawn_as_they_are():
    for display in displays(5, NASTY)[:3]:
        png(display, dpi=50)
    confusion = displays(5, NASTY)[0].plot(Figure())
    ticks = [label.get_text() for label in confusion.ax_.get_yticklabels()]
    assert ticks == [r"\$x_1^", "_hidden", r"a\$b\$c", "line break", r"\$\frac{1"]
    roc = displays(5, NASTY)[1].plot(Figure())
    assert len(roc.ax_.get_legend().get_texts()) == 5


def test_plot_returns_the_display_and_draws_on_given_axes():
    for display in displays(3):
        figure = Figure()
        ax = figure.subplots()
        assert display.plot(ax) is display
        assert display.ax_ is ax
        assert display.figure_ is figure


def test_plot_without_axes_makes_a_pyplot_figure_and_png_leaves_none_open():
    import matplotlib.pyplot as plt

    display = displays(3)[0]
    png(display, dpi=40)
    assert plt.get_fignums() == []
    display.plot()
    assert plt.get_fignums() == [display.figure_.number]
    plt.close(display.figure_)


def test_drawing_leaves_matplotlibs_settings_alone():
    before = dict(matplotlib.rcParams)
    png(displays(3)[1], dpi=40)
    assert dict(matplotlib.rcParams) == before


def test_confusion_frame_has_a_row_a_true_class_and_a_column_a_predicted_one():
    display = ConfusionMatrixDisplay.from_predictions(np.array([0, 0, 1]), np.array([0, 1, 1]), ("cat", "dog"))
    assert display.frame().to_dict(as_series=False) == {"true": ["cat", "dog"], "cat": [1, 0], "dog": [1, 1]}


def test_confusion_frame_keeps_classes_of_one_name_apart():
    display = ConfusionMatrixDisplay(np.array([[1, 2], [3, 4]]), ("a", "a"))
    assert display.frame().columns == ["true", "a", "a [1]"]


def test_normalised_cells_are_shares_of_the_true_class():
    display = ConfusionMatrixDisplay(np.array([[3, 1], [0, 0]]), ("a", "b"))
    shown = texts(display.plot(Figure(), normalize=True).figure_)
    assert "0.75" in shown
    assert "0.25" in shown
    assert "nan" not in shown


def test_many_classes_have_thinned_labels_and_no_cell_text():
    confusion = displays(100)[0].plot(Figure())
    assert len(confusion.ax_.get_xticks()) == 34
    assert len(confusion.ax_.texts) == 0


def test_a_matrix_needs_a_name_for_each_class():
    with pytest.raises(InputError, match="has 1 class names"):
        ConfusionMatrixDisplay(np.eye(2, dtype=int), ("a",))


def test_roc_of_two_classes_is_the_seconds_curve():
    probabilities = np.array([[0.1, 0.9], [0.5, 0.5], [0.5, 0.5], [0.9, 0.1]])
    display = RocDisplay.from_predictions(np.array([1, 0, 1, 0]), probabilities, ("no", "yes"))
    frame = display.frame()
    assert frame["class"].unique().to_list() == ["yes"]
    assert frame["area"][0] == 0.875
    assert frame["fpr"].to_list() == [0.0, 0.0, 0.5, 1.0]


def test_more_than_ten_classes_draw_the_mean_and_the_five_worst():
    for display in displays(40)[1:3]:
        legend = [text.get_text() for text in display.plot(Figure()).ax_.get_legend().get_texts()]
        worst = sorted(display.curves, key=lambda curve: curve.area.value)[:5]
        assert legend[0] == f"{interval_words(display.mean_area)}  mean of {len(display.curves)} classes"
        assert legend[1:] == [f"{interval_words(curve.area)}  {curve.name}" for curve in worst]
        assert display.mean_area.value == pytest.approx(np.mean([curve.area.value for curve in display.curves]))


def test_areas_have_an_interval_which_is_wider_where_rows_come_in_groups():
    labels, probabilities = np.repeat(rows(3)[0], 10), np.repeat(rows(3)[1], 10, axis=0)
    groups = np.arange(2000) // 10
    for kind in (RocDisplay, PrecisionRecallDisplay):
        alone = kind.from_predictions(labels, probabilities, "abc").curves[1].area
        grouped = kind.from_predictions(labels, probabilities, "abc", groups=groups).curves[1].area
        assert alone.low < alone.value < alone.high
        assert alone.value == grouped.value
        assert (grouped.high - grouped.low) / (alone.high - alone.low) == pytest.approx(np.sqrt(10), rel=0.2)


def test_letters_that_no_font_has_are_warned_of_once_and_not_letter_by_letter():
    _warn_about_letters.cache_clear()
    display = ConfusionMatrixDisplay(np.eye(2, dtype=int), ("\U000100a5\U000100a6", "b"))  # Linear B
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        png(display, dpi=40)
        png(display, dpi=40)
    assert [str(warning.message)[:24] for warning in caught] == ["Some letters of the name"]


def test_classes_without_a_curve_are_named():
    labels, probabilities = np.array([0, 1, 0, 1]), np.full((4, 3), 1 / 3)
    display = RocDisplay.from_predictions(labels, probabilities, ("a", "b", "c"))
    assert [curve.name for curve in display.curves] == ["a", "b"]
    assert display.undefined == ["c"]


def test_a_test_set_of_one_class_has_no_curve_and_still_a_picture():
    display = RocDisplay.from_predictions(np.zeros(3, int), np.full((3, 2), 0.5), ("a", "b"))
    assert display.frame().height == 0
    assert "no class has both positives and negatives" in texts(display.plot(Figure()).figure_)


def test_reliability_frame_has_every_bin_with_empty_ones_null():
    display = ReliabilityDisplay.from_predictions(np.array([0, 0]), np.array([[0.9, 0.1], [0.7, 0.3]]), bins=2)
    assert display.frame().rows() == [(0.0, 0.5, None, None, 0), (0.5, 1.0, pytest.approx(0.8), 1.0, 2)]


def test_history_draws_the_loss_and_the_metric_that_has_a_twin():
    rows = [{"epoch": "1", "loss": "2", "ndcg@10": "0.1", "val_ndcg@10": "0.2", "seconds": "3"}]
    display = HistoryDisplay.from_history(rows).plot(Figure())
    assert [ax.get_title(loc="left") for ax in display.ax_] == ["Loss", "Ndcg@10"]
    assert display.frame()["loss"].to_list() == [2.0]


def test_an_empty_history_is_refused():
    with pytest.raises(InputError, match="no epoch"):
        HistoryDisplay.from_history([])


def test_mistakes_are_the_most_confident_first_and_name_their_rows():
    probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.9, 0.1]])
    display = MistakesDisplay.from_predictions(
        np.array([1, 1, 1, 0, 1]), probabilities, list("vwxyz"), ("no", "yes"), n=3
    )
    assert display.total == 4
    assert display.frame().rows() == [
        (1, "w", "yes", "no", 0.9),
        (4, "z", "yes", "no", 0.9),
        (3, "y", "no", "yes", 0.7),
    ]


@pytest.mark.parametrize("shape", [(8, 6), (8, 6, 1), (8, 6, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_sheet_shows_each_mistakes_image(shape, dtype):
    display = displays(3)[4]
    images = [np.full(shape, 40 * k, dtype) for k in range(5)]
    display.plot(Figure(), images=images, columns=2)
    assert display.ax_.shape == (3, 2)
    shown = [ax.images[0].get_array() for ax in display.ax_.flat if ax.images]
    assert [image.shape[:2] for image in shown] == [(8, 6)] * 5
    scale = 255 if len(shape) == 3 and shape[2] == 3 else 1
    assert shown[3].max() == pytest.approx(120 / scale)
    assert sum(r"\$row_" in text for text in texts(display.figure_)) == 5


def test_a_sheet_needs_one_image_a_mistake():
    with pytest.raises(InputError, match="2 images for 5 mistakes"):
        displays(3)[4].plot(Figure(), images=[np.zeros((2, 2))] * 2)


def test_no_mistakes_is_said():
    display = MistakesDisplay.from_predictions(np.array([0]), np.array([[0.9, 0.1]]), ["a"], ("no", "yes"))
    assert display.frame().height == 0
    assert "No mistakes" in texts(display.plot(Figure(), images=[]).figure_)
