"""Everything that a run needs to go on to the very same weights, in one file with its checksum."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kerasuite import whole_files
from kerasuite.errors import EnvironmentFault, InputError

if TYPE_CHECKING:
    from kerasuite.workers import Team

KEPT = 2

# What Keras calls the state of a generator of random numbers: a seed, and how often it was drawn from.
SEED_STATE = "seed_generator_state"

# A callback's plain state. Its whole __dict__ would bring its model and its bound functions along, and break it.
CALLBACK_STATE = (
    "best",
    "best_epoch",
    "best_weights",
    "cooldown_counter",
    "epoch",
    "history",
    "stopped_epoch",
    "wait",
)


def save(folder: Path, step: int, variables: Sequence[Any], state: dict[str, Any]) -> bool:
    """Write a checkpoint and delete all but the last two.

    Args:
        variables: Keras variables, in an order that `restore` will meet again.
        state: plain values and arrays: the host's side of the run.

    Returns:
        Whether it was written: a full disk leaves the last good one in place, with a warning.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        whole_files.write_checked(folder / f"step-{step:010d}.ckpt", _packed(variables, state))
    except EnvironmentFault as fault:
        print(f"Warning: no checkpoint at step {step}; the last good one is kept. {fault}", file=sys.stderr)
        return False
    for old in _files(folder)[:-KEPT]:
        old.unlink()
    return True


def restore(folder: Path, variables: Sequence[Any], team: Team) -> dict[str, Any] | None:
    """Set the variables from the newest sound checkpoint; those of all workers to what the first has.

    Returns:
        The state that was saved with it, or None where there is no checkpoint.

    Raises:
        InputError: the checkpoint is of another model.
    """
    content = _newest(folder) if team.rank == 0 else None
    if team.count > 1:
        # Where nothing was saved yet, all begin with the weights that the first has.
        content = team.bytes_of_first(content or (_packed(variables, None) if team.rank == 0 else None))
    if content is None:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = dict(file)
    _assign(folder, variables, arrays)
    return _put_arrays(json.loads(arrays["state"].tobytes()), arrays)


def _packed(variables: Sequence[Any], state: dict[str, Any] | None) -> bytes:
    arrays: dict[str, np.ndarray] = {}
    for k, variable in enumerate(variables):
        for r, copy in enumerate(_copies(variable)):
            arrays[f"variable.{k}.{r}"] = copy.numpy()
    text = json.dumps(_take_arrays(state, arrays))
    buffer = io.BytesIO()
    np.savez(buffer, state=np.frombuffer(text.encode(), np.uint8), **arrays)
    return buffer.getvalue()


def _newest(folder: Path) -> bytes | None:
    """What the newest sound checkpoint holds."""
    for path in reversed(_files(folder)):
        content = whole_files.read_checked(path)
        if content is not None:
            return content
        print(f"Warning: {path} is damaged; the checkpoint before it is used.", file=sys.stderr)
    return None


def part_draws(variables: Sequence[Any], team: Team) -> None:
    """Give each replica random numbers of its own, such as dropout's; those of the first stay as they are.

    Keras gives every replica the same state, and so the same mask.
    """
    for variable in variables:
        if variable.path.split("/")[-1] != SEED_STATE:
            continue
        first, *_ = copies = _copies(variable)
        seed, drawn = first.numpy()
        for replica, copy in enumerate(copies, team.rank * team.replicas):
            own = np.random.SeedSequence([int(seed), replica]).generate_state(1)[0] if replica else seed
            copy.assign(np.array([own, drawn], np.uint32))


def discard(folder: Path) -> None:
    """Delete the checkpoints of a run that needs them no more."""
    shutil.rmtree(folder, ignore_errors=True)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.ckpt"))


def _assign(folder: Path, variables: Sequence[Any], arrays: dict[str, np.ndarray]) -> None:
    copies = {f"variable.{k}.{r}": copy for k, v in enumerate(variables) for r, copy in enumerate(_copies(v))}
    saved = {name: array.shape for name, array in arrays.items() if name.startswith("variable.")}
    wanted = {name: tuple(copy.shape) for name, copy in copies.items()}
    if saved != wanted:
        raise InputError(
            f"{folder} holds {len(saved)} arrays where this model and its devices have {len(wanted)}, or their shapes "
            "differ: it is of a run with other settings or another number of devices. Resume with those of that run."
        )
    for name, copy in copies.items():
        copy.assign(arrays[name])


def _copies(variable: Any) -> Sequence[Any]:
    """A variable's copy on each replica: statistics that are not synchronised differ between them."""
    value = variable.value if isinstance(variable, keras.Variable) else variable
    return getattr(value, "values", None) or [value]


def callback_state(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """What a callback has to remember, by name."""
    return {name: getattr(callback, name) for name in CALLBACK_STATE if hasattr(callback, name)}


def _take_arrays(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The value with its arrays moved into `arrays`, and a reference left in their place."""
    if isinstance(value, np.ndarray):
        name = f"array.{len(arrays)}"
        arrays[name] = value
        return {"$array": name}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _take_arrays(each, arrays) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_take_arrays(each, arrays) for each in value]
    return value


def _put_arrays(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, dict):
        if set(value) == {"$array"}:
            return arrays[value["$array"]]
        return {key: _put_arrays(each, arrays) for key, each in value.items()}
    return [_put_arrays(each, arrays) for each in value] if isinstance(value, list) else value
