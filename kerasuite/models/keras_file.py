"""Any functional model in a .keras file as a backbone."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import keras

from kerasuite.errors import InputError
from kerasuite.models import graph
from kerasuite.models.applications import first_line


def load(path: Path) -> keras.Model:
    """The model in the file, functional, of one image input; nothing in the file is executed.

    Raises:
        InputError: the file is broken, of another kind, needs code that is not in Keras, or is no such model.
    """
    _config(path)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    # Keras raises whatever a broken config or layer makes of itself.
    except Exception as fault:
        raise InputError(
            f"{path} cannot be loaded: {_reason(fault)}. Expected a .keras file of Keras's own layers: "
            "Lambda and layers of your own need code that is not in the file."
        ) from fault
    found = graph.functional(model)
    if found is None:
        raise InputError(f"{path} is a model with its own call(), or was never built; expected one of known layers.")
    shapes = [tuple(tensor.shape) for tensor in found.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] != 3 or len(found.outputs) != 1:
        raise InputError(
            f"{path} takes inputs of shape {', '.join(map(str, shapes))} and has {len(found.outputs)} output(s); "
            "expected one input of RGB images (batch, height, width, 3) and one output."
        )
    return found


def _config(path: Path) -> dict[str, Any]:
    """The file's description of the model."""
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    try:
        with zipfile.ZipFile(path) as file:
            return json.loads(file.read("config.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as fault:
        raise InputError(
            f"{path} is no .keras file, or a broken one ({fault}). Expected what model.save('NAME.keras') writes in "
            "Keras 3; an .h5 file of weights goes to --weights, with the name of its network as --backbone."
        ) from fault


def _reason(fault: Exception) -> str:
    """The class that is missing, which Keras's message names on its last page."""
    missing = re.search(r"Could not locate \w+ '.+?'", str(fault))
    return missing.group() if missing else first_line(fault)
