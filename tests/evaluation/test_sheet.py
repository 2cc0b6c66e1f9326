import numpy as np
from matplotlib.figure import Figure

from kerasuite.evaluation.sheet import SheetDisplay

IMAGES = [np.zeros((4, 5), np.uint8), np.ones((6, 3, 1), np.uint8), np.zeros((2, 2, 3), np.float32)]


def test_a_sheet_has_a_panel_each_picture_under_its_caption():
    sheet = SheetDisplay.from_labels(IMAGES, np.array([1, 0, 1]), ("cat", "dog_$x"), "Rows").plot(Figure(), columns=2)
    assert sheet.ax_.shape == (2, 2)
    shown = [panel.get_title() for panel in sheet.ax_.flat if panel.images]
    assert len(shown) == 3
    assert shown[1] == "cat"
    assert sheet.frame().rows() == [(sheet.captions[0], 4, 5), ("cat", 6, 3), (sheet.captions[2], 2, 2)]


def test_a_sheet_of_nothing_is_drawn_empty():
    assert SheetDisplay([], []).plot(Figure()).ax_.shape == (1, 1)
