import numpy as np
import pytest

from kerasuite.data.arrays import of_arrays
from kerasuite.errors import InputError

BYTES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) * 11  # 0 to 253
UNIT, BITS, LABELS = BYTES / 253, BYTES % 2, np.array([0, 1])


def pixels(**parts):
    found, notes = of_arrays({part: (x, LABELS) for part, x in parts.items()}, "a.npz", None)
    return {part: examples.inputs["image"][..., 0] for part, examples in found.items()}, notes


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (
            {"train": UNIT, "test": BYTES},
            "pixels run from 0 to 1 in x_train, from 0 to 253 in x_test; .*Multiply x_train by 255",
        ),
        ({"train": BYTES, "test": UNIT}, "from 0 to 253 in x_train, from 0 to 1 in x_test; .*Multiply x_test by 255"),
        ({"train": UNIT, "test": BYTES * 0.99}, "from 0 to 250.47 in x_test; .*Multiply x_train by 255"),
        ({"train": UNIT, "validation": UNIT, "test": BYTES}, "Multiply x_train, x_validation by 255"),
    ],
)
def test_parts_of_two_scales_are_refused_with_the_range_of_each(parts, words):
    with pytest.raises(InputError, match=words):
        pixels(**parts)


@pytest.mark.parametrize("test", [UNIT * 1.002, BITS, UNIT * 2 - 1])
def test_pixels_of_about_0_to_1_are_never_to_be_rounded(test):
    with pytest.raises(InputError, match="with fractions") as error:
        pixels(train=UNIT, test=test)
    assert "np.round" not in str(error.value)


def test_a_part_of_0_and_1_is_noted_though_another_goes_to_255():
    found, (note,) = pixels(train=BITS, test=BYTES)
    np.testing.assert_array_equal(found["train"], BITS)
    assert note.startswith("Pixels of x_train are whole numbers from 0 to 1, taken as nearly black")
