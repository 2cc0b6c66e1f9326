"""A frozen dataclass of settings <-> command-line flags <-> config.json. Does not import TensorFlow."""

from __future__ import annotations

import dataclasses
import difflib
import json
import shlex
import types
import typing
from pathlib import Path
from typing import Any, Literal, TypeVar

from kerasuite import ranges
from kerasuite.errors import InputError
from kerasuite.ranges import Count, NonNegative, OpenShare, Positive, Seed

C = TypeVar("C", bound="Settings")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What every pipeline can be told. A pipeline's own `Config` adds its data and its model."""

    data: str
    """Where the rows come from."""
    output: str | None = None
    """Run directory to make; runs/PIPELINE/DATE_TIME if not given."""
    seed: Seed = 0
    """Seed of the split, the initial weights, the order of rows and the augmentation."""
    seeds: Count = 1
    """Number of runs, with seeds counting up from --seed; more than one: mean and spread are reported."""
    epochs: Count = 10
    """Passes over the training rows at most."""
    batch_size: Count = 128
    """Rows a step, over all devices together."""
    patience: Count = 5
    """Epochs without a better result on validation before training stops; the best epoch's weights are kept."""
    validation_fraction: OpenShare = 0.1
    """Share of the training rows held out for validation where the data bring none."""
    test_fraction: OpenShare = 0.15
    """Share of all rows held out for the test where the data bring none."""
    devices: str = "auto"
    """auto (all GPUs, else the CPU), gpu:0,1 or cpu:2 (so many logical devices)."""
    all_reduce: Literal["auto", "nccl", "hierarchical", "ring"] = "auto"
    """How gradients are summed over devices; auto as tf.distribute chooses, hierarchical in one process, ring over
    several."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of training; auto measures the model's own steps. The test is always in float32."""
    checkpoint_seconds: NonNegative = 30.0
    """Seconds between checkpoints within an epoch; there is one at the end of each epoch too."""
    accumulate: Count = 1
    """Batches whose gradients make one step, as if they were one batch: for batches that memory has no room for."""
    clip_norm: Positive | None = None
    """A gradient whose norm, over all weights, is greater is made this long; not if not given."""
    minutes: Positive | None = None
    """Minutes of training: of the epochs only what fits, by measured time, and the learning rate ends with it. Reading
    data and passing rows through what is frozen are not counted, but between stages."""

    # Of a sweep: settings that say which rows there are, and where and how often things are run, which all its trials
    # share; and settings that change the loss, so that losses cannot be compared.
    shared = frozenset(
        {
            "data",
            "output",
            "seed",
            "seeds",
            "devices",
            "all_reduce",
            "precision",
            "validation_fraction",
            "test_fraction",
        }
    )
    loss_by = frozenset()
    # Settings with a value that answers another question than their others do: no number compares the two.
    apart = frozenset()
    # Those that say how large a batch is.
    batch_by = ("batch_size",)

    @property
    def loop(self) -> dict[str, Any]:
        """What every training is told, by the names that `fit.fit` has for it."""
        names = ("accumulate", "checkpoint_seconds", "clip_norm", "minutes", "patience")
        batch_flags = {flag(name): getattr(self, name) for name in self.batch_by}
        return {name: getattr(self, name) for name in names} | {"batch_flags": batch_flags}

    @property
    def of_all_workers(self) -> dict[str, Any]:
        """The settings in which the workers of one run must agree: all but those that name places to write."""
        given = dataclasses.asdict(self)
        return {flag(name): given[name] for name in given if name not in ("output", "cache")}

    @property
    def objectives(self) -> tuple[str, ...]:
        """What a sweep may choose by; the first, if nothing else is said."""
        return "val_accuracy", "val_loss"

    @property
    def total_epochs(self) -> int | None:
        """Epochs of a training at most, all its stages together; None where the rows decide."""
        return self.epochs

    def num_validated(self, rows: int) -> int:
        """How many of so many validation rows a number of validation is measured on."""
        return rows

    def __post_init__(self):
        refuse_out_of_range(self)


def refuse_out_of_range(settings: Any) -> None:
    """Hold each field of a dataclass against the range that its type says.

    Raises:
        InputError: one lies outside; names its flag.
    """
    for name, kind in typing.get_type_hints(type(settings), include_extras=True).items():
        value = getattr(settings, name)
        for words in ranges.broken(kind, value):
            raise InputError(f"{flag(name)} is {value}; it must {words}.")


def flag(name: str) -> str:
    """The command-line flag of a setting.

    Example:
        >>> flag("batch_size")
        '--batch-size'
    """
    return "--" + name.replace("_", "-")


def parse(
    config_class: type[C],
    sample: dict[str, Any],
    args: list[str],
    prog: str,
    description: str,
    default: C | None = None,
) -> C:
    """Settings from flags; defaults < `--sample` < `--config FILE` < the other flags.

    Args:
        sample: what `--sample` sets.
        default: the settings to begin with, if not those of the class.

    Ends the process with status 2 where a flag is unknown (the nearest is suggested) or a value does not fit.
    """
    import tyro

    # The two that choose the defaults are read first; the rest is tyro's.
    chosen, rest = _take_flags(args)
    values = dict(sample) if chosen["sample"] else {}
    if chosen["config"]:
        values |= _read(config_class, Path(chosen["config"]))
    default = dataclasses.replace(default or config_class(), **values)
    description += (
        "\n\nTwo more flags choose what the defaults are: --sample (bundled data, settings for seconds) and "
        "--config FILE (the config.json of a run, or a best.json). Other flags count on top of them."
    )
    return tyro.cli(config_class, default=default, args=rest, prog=prog, description=description)


def _take_flags(args: list[str]) -> tuple[dict[str, Any], list[str]]:
    chosen, rest = {"sample": False, "config": None}, []
    queue = list(args)
    while queue:
        arg = queue.pop(0)
        if arg == "--sample":
            chosen["sample"] = True
        elif arg == "--config":
            if not queue:
                raise InputError("--config needs a file: the config.json of a run, or a best.json.")
            chosen["config"] = queue.pop(0)
        elif arg.startswith("--config="):
            chosen["config"] = arg.removeprefix("--config=")
        else:
            rest.append(arg)
    return chosen, rest


def _read(config_class: type[C], path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--config {path} cannot be read: {error}.") from None
    except json.JSONDecodeError as error:
        raise InputError(f"--config {path} is not JSON: {error}.") from None
    if not isinstance(values, dict):
        raise InputError(f"--config {path} holds a {type(values).__name__}; expected an object of settings.")
    values = values.get("settings", values)
    # A run's own place and number are not settings to repeat.
    values.pop("output", None)
    made = from_dict(config_class, values, f"--config {path}")
    return {name: getattr(made, name) for name in values}


def from_dict(config_class: type[C], values: dict[str, Any], source: str) -> C:
    """Settings from a dictionary such as JSON gives.

    Raises:
        InputError: a name that is no setting, or a value of another type; says which, and in which source.
    """
    kinds = typing.get_type_hints(config_class)
    for name, value in values.items():
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(kinds)}."
            raise InputError(f"{source} has a setting {name!r}, which does not exist: {hint}")
        if not _fits(value, kinds[name]):
            raise InputError(f"{source}: {name} is {value!r}; expected {_spell(kinds[name])}.")
    made = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return config_class(**made)


def _fits(value: Any, kind: Any) -> bool:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, each) for each in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        return isinstance(value, list | tuple) and all(_fits(each, arguments[0]) for each in value)
    if kind is type(None):
        return value is None
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _spell(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    return kind.__name__ if isinstance(kind, type) else str(kind)


def changed(settings: C, default: C | None = None) -> dict[str, Any]:
    """The settings that differ from others, or from the defaults."""
    default = default or type(settings)()
    pairs = ((field.name, getattr(settings, field.name)) for field in dataclasses.fields(settings))
    return {name: value for name, value in pairs if value != getattr(default, name)}


def command(pipeline: str, *settings: Any, verb: str = "run") -> str:
    """The command line that repeats a run; with more than the pipeline's own settings, what another verb did."""
    words = ["kerasuite", verb, pipeline]
    kinds = {name: kind for each in settings for name, kind in typing.get_type_hints(type(each)).items()}
    given = [pair for each in settings for pair in changed(each).items()]
    for name, value in given:
        if name == "output":
            continue
        # A flag that may be neither takes a word.
        if kinds[name] is bool:
            words.append(flag(name) if value else "--no-" + name.replace("_", "-"))
        else:
            words += [flag(name), *(map(str, value) if isinstance(value, tuple) else [str(value)])]
    return shlex.join(words)
