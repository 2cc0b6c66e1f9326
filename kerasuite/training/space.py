"""What a sweep searches: ranges of settings, from a person's words to Keras Tuner's hyperparameters."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from kerasuite.errors import InputError

if TYPE_CHECKING:
    import keras_tuner

C = TypeVar("C")
Space = Callable[["keras_tuner.HyperParameters", C], C]
_RANGE = re.compile(r"(?P<low>[^:,]+?)\.\.(?P<high>[^:,]+?)(?::(?P<how>.+))?")
_LOG = "log"


def of_words(words: Sequence[str], kinds: Mapping[str, Any]) -> Space:
    """The space that `--set` names: `learning_rate=1e-4..1e-2:log`, `dim=32..128:32` (steps), `model=cnn,mlp`.

    Args:
        kinds: the type of each setting.

    Raises:
        InputError: what cannot be read, or is no setting; says which words.
    """
    parsed = dict(_setting(each, kinds) for each in words)
    if len(parsed) < len(words):
        raise InputError("--set names a setting twice; each has one range.")

    def space(hp: keras_tuner.HyperParameters, config: C) -> C:
        return replace(config, **{name: draw(hp) for name, draw in parsed.items()})

    return space


def _setting(words: str, kinds: Mapping[str, Any]) -> tuple[str, Callable[[Any], Any]]:
    name, equals, values = words.partition("=")
    name = name.strip().replace("-", "_")
    if not equals or not values.strip():
        raise InputError(
            f"--set {words}: expected NAME=LOW..HIGH, NAME=LOW..HIGH:log, NAME=LOW..HIGH:STEP or NAME=A,B,C."
        )
    if name not in kinds:
        raise InputError(f"--set {words}: there is no setting {name}; there are {', '.join(kinds)}.")
    kind = _bare(kinds[name])
    if match := _RANGE.fullmatch(values):
        return name, _range(words, name, kind, **match.groupdict())
    choices = [_value(words, kind, text.strip()) for text in values.split(",")]
    if len(set(choices)) < 2:
        raise InputError(f"--set {words} leaves nothing to choose; expected two values or more.")
    # Keras Tuner has no choice between nothing and something: the places are drawn.
    return name, lambda hp: choices[[shown(each) for each in choices].index(hp.Choice(name, _all_shown(choices)))]


def _all_shown(choices: Sequence[Any]) -> list[Any]:
    return [shown(each) for each in choices]


def shown(value: Any) -> Any:
    """A choice's value as Keras Tuner has it: what is no number and no text by its text."""
    return value if isinstance(value, int | float | str) and not isinstance(value, bool) else str(value)


def _range(words: str, name: str, kind: Any, low: str, high: str, how: str | None) -> Callable[[Any], Any]:
    if kind not in (int, float):
        raise InputError(f"--set {words}: {name} is no number, so it has no range; expected {name}=A,B,C.")
    ends = [_value(words, kind, text.strip()) for text in (low, high)]
    if not ends[0] < ends[1]:
        raise InputError(f"--set {words}: expected the least value, then the greatest.")
    if how == _LOG and ends[0] <= 0:
        raise InputError(f"--set {words}: on a log scale every value is over 0.")
    sampling = {"sampling": "log"} if how == _LOG else {}
    step = {} if how in (None, _LOG) else {"step": _value(words, kind, how)}
    if step and not 0 < step["step"] <= ends[1] - ends[0]:
        raise InputError(f"--set {words}: the step is larger than the range, or not over 0.")
    return lambda hp: (hp.Int if kind is int else hp.Float)(name, *ends, **sampling, **step)


def _value(words: str, kind: Any, text: str) -> Any:
    """A value of a setting, from text."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    try:
        if origin is Literal:
            return next(each for each in arguments if str(each) == text)
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind in (int, float, str):
            return kind(text)
    except (ValueError, KeyError, StopIteration):
        pass
    if origin is Literal:
        expected = f"one of {', '.join(map(str, arguments))}"
    else:
        names = {int: "a whole number", float: "a number", bool: "true or false"}
        expected = names.get(kind, "a number, a word, or true or false: other settings are searched by --space")
    raise InputError(f"--set {words}: {text!r} does not fit; expected {expected}.")


def _bare(kind: Any) -> Any:
    """The type without its range, and without None."""
    if typing.get_origin(kind) is Annotated:
        return _bare(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        others = [each for each in typing.get_args(kind) if each is not type(None)]
        return _bare(others[0]) if len(others) == 1 else kind
    return kind
