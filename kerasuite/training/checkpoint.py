"""Everything that a run needs to go on to the very same weights, in one file with its checksum."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasuite import run_directory
from kerasuite.errors import EnvironmentFault, InputError

KEPT = 2

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
    arrays: dict[str, np.ndarray] = {}
    for k, variable in enumerate(variables):
        for r, copy in enumerate(_copies(variable)):
            arrays[f"variable.{k}.{r}"] = copy.numpy()
    text = json.dumps(_take_arrays(state, arrays))
    buffer = io.BytesIO()
    np.savez(buffer, state=np.frombuffer(text.encode(), np.uint8), **arrays)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run_directory.write_checked(folder / f"step-{step:010d}.ckpt", buffer.getvalue())
    except EnvironmentFault as fault:
        print(f"Warning: no checkpoint at step {step}; the last good one is kept. {fault}", file=sys.stderr)
        return False
    for old in _files(folder)[:-KEPT]:
        old.unlink()
    return True


def restore(folder: Path, variables: Sequence[Any]) -> dict[str, Any] | None:
    """Set the variables from the newest sound checkpoint.

    Returns:
        The state that was saved with it, or None where there is no checkpoint.

    Raises:
        InputError: the checkpoint is of another model.
    """
    for path in reversed(_files(folder)):
        data = run_directory.read_checked(path)
        if data is None:
            print(f"Warning: {path} is damaged; the checkpoint before it is used.", file=sys.stderr)
            continue
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = dict(file)
        _assign(path, variables, arrays)
        return _put_arrays(json.loads(arrays["state"].tobytes()), arrays)
    return None


def discard(folder: Path) -> None:
    """Delete the checkpoints of a run that needs them no more."""
    shutil.rmtree(folder, ignore_errors=True)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.ckpt"))


def _assign(path: Path, variables: Sequence[Any], arrays: dict[str, np.ndarray]) -> None:
    copies = {f"variable.{k}.{r}": copy for k, v in enumerate(variables) for r, copy in enumerate(_copies(v))}
    saved = {name: array.shape for name, array in arrays.items() if name.startswith("variable.")}
    wanted = {name: tuple(copy.shape) for name, copy in copies.items()}
    if saved != wanted:
        raise InputError(
            f"{path} holds {len(saved)} arrays where this model and its devices have {len(wanted)}, or their shapes "
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
