"""What a sweep searches and by which number it chooses, refused before anything begins if that cannot be done."""

from __future__ import annotations

import dataclasses
import runpy
import typing
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from kerasuite import cli, config, devices
from kerasuite.errors import InputError

if TYPE_CHECKING:
    import keras_tuner

_NOTHING, _LENGTHS = object(), {"epochs", "head_epochs"}


@dataclasses.dataclass(frozen=True)
class Searched:
    """The space, the objective, and the settings that every trial begins with.

    Args:
        name: of the pipeline.
        settings: those that every trial begins with.
        search: those of the sweep itself.
    """

    name: str
    settings: config.Settings
    search: Any

    @cached_property
    def module(self) -> Any:
        """The pipeline."""
        return cli.pipeline(self.name)

    @cached_property
    def objective(self) -> str:
        """The number of validation that decides."""
        there = self.settings.objectives
        wanted = self.search.objective or there[0]
        if wanted not in there:
            raise InputError(f"--objective is {wanted}; {self.name} with these settings has {', '.join(there)}.")
        return wanted

    @property
    def higher_is_better(self) -> bool:
        """Which way the objective goes."""
        from kerasuite.training import sweep

        return sweep.direction(self.objective) == "max"

    @cached_property
    def space(self) -> Callable[[keras_tuner.HyperParameters, Any], Any]:
        """From hyperparameters and the settings to a trial's settings."""
        from kerasuite.training import space

        if self.search.set:
            return space.of_words(self.search.set, typing.get_type_hints(type(self.settings), include_extras=True))
        if not self.search.space:
            return self.module.space
        try:
            found = runpy.run_path(self.search.space)
        except Exception as error:
            raise InputError(f"--space {self.search.space} cannot be run: {type(error).__name__}: {error}") from error
        if not callable(found.get("space")):
            raise InputError(f"--space {self.search.space} has no function space(hp, config).")
        return partial(_of_user, self.search.space, found["space"])

    def declared(self) -> keras_tuner.HyperParameters:
        """The hyperparameters, each with its range.

        Raises:
            InputError: the space or the objective cannot be used; says why.
        """
        devices.import_tensorflow(look=False)
        import keras_tuner

        objective = self.objective
        hp = keras_tuner.HyperParameters()
        made = self._made(hp)
        if not isinstance(made, type(self.settings)):
            raise InputError(
                f"space(hp, config) returned a {type(made).__name__}; expected the config, changed by "
                "dataclasses.replace."
            )
        if not hp.space:
            raise InputError("The space has nothing to choose from. Name what is searched by --set.")
        names = _searched(hp, self.settings, made)
        self._refuse_incomparable(names, objective)
        for each in hp.space:
            self._refuse_apart(each.name, getattr(each, "values", ()))
        if self.search.tuner == "hyperband":
            self._refuse_for_hyperband(names)
        return hp

    @cached_property
    def searches_length(self) -> bool:
        """Whether epochs are among what is searched, by their name or by what the space makes of the settings."""
        hp = self.declared()
        return bool(_LENGTHS & _searched(hp, self.settings, self._made(hp)))

    def own_values(self, declared: keras_tuner.HyperParameters) -> dict[str, Any]:
        """What the settings themselves have of what is searched; empty if any of that lies outside of the space.

        A setting of None, which leaves the choice to the model, has the default that the space declares.
        """
        from kerasuite.training import space

        found = {}
        for each in declared.space:
            value = getattr(self.settings, each.name, _NOTHING)
            value = each.default if value is None else value
            if hasattr(each, "min_value"):
                is_in = isinstance(value, int | float) and each.min_value <= value <= each.max_value
            else:
                value = value if value in each.values else space.shown(value)
                is_in = value in each.values
            if not is_in:
                return {}
            found[each.name] = value
        return found

    def _made(self, hp: keras_tuner.HyperParameters) -> Any:
        """What the space makes of the settings, and of hyperparameters that it declares or that are declared."""
        try:
            return self.space(hp, self.settings)
        except InputError as error:
            # Of all combinations some may be none; each is told of when it is tried.
            if not hp.space or isinstance(error, _SpaceError):
                raise
            return self.settings

    def _refuse_incomparable(self, searched: set[str], objective: str) -> None:
        if shared := searched & self.settings.shared:
            raise InputError(f"{', '.join(sorted(shared))} cannot be searched: all trials share it.")
        if objective == "val_loss" and (other := searched & self.settings.loss_by):
            raise InputError(
                f"{', '.join(sorted(other))} changes what the loss is, so losses cannot be compared: pass --objective "
                f"{self.settings.objectives[0]}, or search something else."
            )

    def _refuse_apart(self, name: str, values: Sequence[Any]) -> None:
        values = {*values, getattr(self.settings, name, _NOTHING)}
        apart = {value for value in values if (name, value) in self.settings.apart}
        if apart and apart != values:
            raise InputError(
                f"{name} cannot be searched over {', '.join(sorted(apart))} and {', '.join(sorted(values - apart))}: "
                "they answer different questions, so no number compares them. Give each its own sweep, and pass "
                f"{config.flag(name)}."
            )

    def _refuse_for_hyperband(self, searched: set[str]) -> None:
        if _LENGTHS & searched:
            raise InputError("--tuner hyperband chooses the epochs itself: they cannot be searched too.")
        if self.settings.total_epochs is None:
            raise InputError("--tuner hyperband parts the epochs: pass --epochs.")


def _of_user(path: str, space: Callable[..., Any], hp: keras_tuner.HyperParameters, settings: Any) -> Any:
    """What a user's own space makes; whatever goes wrong in it is theirs to mend."""
    try:
        made = space(hp, settings)
    except InputError:
        raise
    except Exception as error:
        raise _SpaceError(f"space of {path}: {type(error).__name__}: {error}") from error
    if isinstance(made, config.Settings) and made.objectives != settings.objectives:
        raise _SpaceError(
            f"space of {path}: its settings are measured by {', '.join(made.objectives)}, and those of the sweep by "
            f"{', '.join(settings.objectives)}; expected the same."
        )
    return made


class _SpaceError(InputError):
    """A user's own space is broken, not only a combination that it made."""


def _searched(hp: keras_tuner.HyperParameters, settings: config.Settings, made: config.Settings) -> set[str]:
    """Names of what is searched: of the hyperparameters, and of the settings that they change."""
    names = [field.name for field in dataclasses.fields(settings)]
    changed = {name for name in names if getattr(settings, name) != getattr(made, name)}
    return changed | {each.name for each in hp.space}
