from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from kerasuite import config, ranges
from kerasuite.errors import InputError


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (ranges.Count, [1, 10**9], [0, -1]),
        (Annotated[int, ranges.at_least(3)], [3], [2]),
        (ranges.Positive, [1e-9, 5.0], [0.0, -1.0, float("inf"), float("nan")]),
        (ranges.NonNegative, [0.0, 5.0], [-1e-9, float("inf"), float("nan")]),
        (ranges.Share, [0.0, 0.999], [1.0, -0.1, float("nan")]),
        (ranges.OpenShare, [0.001, 0.999], [0.0, 1.0]),
        (ranges.PositiveShare, [0.001, 1.0], [0.0, 1.001]),
        (ranges.Count | None, [None, 1], [0]),
        (tuple[ranges.Count, ...], [(), (1, 2)], [(1, 0), (0, 1)]),
        (tuple[ranges.Count, ranges.Count] | None, [None, (1, 2)], [(1, 0)]),
        (Literal["a", "b"], ["a"], []),
        (float, [-1.0, float("nan")], []),
    ],
)
def test_a_type_says_which_values_fit(kind, good, bad):
    assert [value for value in [*good, *bad] if not list(ranges.broken(kind, value))] == good


@dataclass(frozen=True, kw_only=True)
class Config(config.Settings):
    data: str = "digits"
    epochs: ranges.Count | None = None
    dropout: ranges.Share = 0.1


def test_settings_refuse_a_value_out_of_the_range_of_their_type_and_name_the_flag():
    with pytest.raises(InputError, match=r"^--dropout is 1.5; it must lie from 0 to under 1\.$"):
        Config(dropout=1.5)
    with pytest.raises(InputError, match=r"^--epochs is 0; it must be at least 1\.$"):
        Config(epochs=0)
    assert Config(epochs=None).epochs is None
