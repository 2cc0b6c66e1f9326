"""The values that a setting may take, said by its type: `dropout: Share = 0.1`. Does not import TensorFlow."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple


class Range(NamedTuple):
    """What holds of every value, and the words for it behind "it must"."""

    holds: Callable[[float], bool]
    words: str


def at_least(least: int) -> Range:
    """Of whole numbers: `dim: Annotated[int, at_least(2)] = 64`."""
    return Range(lambda value: value >= least, f"be at least {least}")


Count = Annotated[int, at_least(1)]
# What NumPy, Python and TensorFlow all take, with room to count up from it.
Seed = Annotated[int, Range(lambda value: 0 <= value < 2**31, "lie from 0 to 2,147,483,647")]
Positive = Annotated[float, Range(lambda value: 0 < value < math.inf, "be over 0")]
NonNegative = Annotated[float, Range(lambda value: 0 <= value < math.inf, "be 0 or more")]
Share = Annotated[float, Range(lambda value: 0 <= value < 1, "lie from 0 to under 1")]
OpenShare = Annotated[float, Range(lambda value: 0 < value < 1, "lie between 0 and 1")]
PositiveShare = Annotated[float, Range(lambda value: 0 < value <= 1, "be over 0 and at most 1")]


def broken(kind: Any, value: Any) -> Iterator[str]:
    """What must hold of a value of this type and does not.

    Example:
        >>> list(broken(tuple[Count, ...] | None, (3, 0)))
        ['be at least 1']
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if value is None:
        return
    if origin is Annotated:
        yield from (rule.words for rule in kind.__metadata__ if isinstance(rule, Range) and not rule.holds(value))
    elif origin in (typing.Union, types.UnionType):
        yield from (words for each in arguments if each is not types.NoneType for words in broken(each, value))
    elif origin is tuple:
        yield from (words for each in value for words in broken(arguments[0], each))
