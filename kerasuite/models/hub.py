"""A module of TensorFlow Hub, or any SavedModel, as a Keras layer whose weights can be trained."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from kerasuite.downloads import silence_bounded
from kerasuite.errors import InputError
from kerasuite.models.applications import first_line

DEFAULT_IMAGE_SIZE = (224, 224)
_SIGNATURES = ("serving_default", "default")


@keras.saving.register_keras_serializable(package="kerasuite")
class HubLayer(keras.layers.Layer):
    """What a module computes, with its variables as the layer's weights.

    A saved model holds the weights but not the computation: the handle must still exist when it is loaded.

    Args:
        handle: URL at tfhub.dev or kaggle.com, or the folder of a SavedModel, which is callable or has a signature
            `serving_default`.

    Raises:
        InputError: the module is not there, or has no way to be called with images alone.
    """

    def __init__(self, handle: str, **kwargs: Any):
        super().__init__(**kwargs)
        self.handle = handle if is_url(handle) else str(Path(handle).expanduser().resolve())
        module = _loaded(self.handle)
        # Held as a whole: variables are deleted with the module that they were loaded by.
        self.module = module
        self._compute = module if callable(module) else _signature(module, self.handle)
        # Also while its weights are trained: a pretrained backbone keeps the statistics of its normalisation.
        wants_training = callable(module) and "training" in inspect.getfullargspec(module.__call__).args
        self._options = {"training": False} if wants_training else {}
        self._register_variables()

    def _register_variables(self) -> None:
        """The variables that the functions of the module read become weights of this layer."""
        found = {id(each): each for function in self._concrete() for each in function.variables}
        declared = getattr(self.module, "trainable_variables", None)
        trained = {id(each) for each in declared} if declared else {id(v) for v in found.values() if v.trainable}
        for number, variable in enumerate(found.values()):
            name = f"{variable.name.split(':')[0].replace('/', '_')}_{number}"
            # Of the same storage, so that what an optimizer changes here is what the module computes with.
            weight = keras.Variable(variable, trainable=id(variable) in trained, dtype=variable.dtype.name, name=name)
            self._track_variable(weight)

    def _concrete(self) -> list[Any]:
        if callable(self.module):
            return self.module.__call__.concrete_functions
        return [self._compute]

    @property
    def image_size(self) -> tuple[int | None, int | None]:
        """Height and width that the module takes; None for any."""
        shape = self._images_spec().shape
        return (None, None) if shape.rank is None else (shape[1], shape[2])

    def _images_spec(self) -> tf.TensorSpec:
        args, kwargs = self._concrete()[0].structured_input_signature
        specs = [spec for spec in tf.nest.flatten((args, kwargs)) if isinstance(spec, tf.TensorSpec)]
        images = [spec for spec in specs if spec.shape.rank in (4, None)]
        if len(images) != 1 or len(specs) > 1:
            raise InputError(
                f"{self.handle} takes {', '.join(map(str, specs))}; expected images (batch, height, width, 3) alone."
            )
        return images[0]

    def call(self, pixels: tf.Tensor) -> tf.Tensor:
        """Pixels as the module expects them to its features, in inference mode."""
        spec = self._images_spec()
        pixels = tf.cast(pixels, spec.dtype)
        if not callable(self.module):
            return _single(self._compute(**{_argument(self._compute): pixels}), self.handle)
        return _single(self._compute(pixels, **self._options), self.handle)

    def get_config(self) -> dict[str, Any]:
        """What the layer is made from again: the handle."""
        return {**super().get_config(), "handle": self.handle}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> HubLayer:
        """Keras's own hides the message about a missing handle in pages of configuration."""
        return cls(**config)


@keras.saving.register_keras_serializable(package="kerasuite")
class TextModule(HubLayer):
    """What a module computes of texts: of strings, or of token ids with a mask and types beside them.

    Args:
        handle: as of `HubLayer`.
        output_name: of a module with several outputs, the one to take.
    """

    def __init__(self, handle: str, output_name: str | None = None, **kwargs: Any):
        super().__init__(handle, **kwargs)
        self.output_name = output_name

    @property
    def takes_strings(self) -> bool:
        """Whether the module makes token ids by itself."""
        return any(spec.dtype == tf.string for spec in tf.nest.flatten(self._given()))

    def _given(self) -> Any:
        """The specs of what the module is called with: one, or several by name."""
        args, kwargs = self._concrete()[0].structured_input_signature
        given = args[0] if args else kwargs
        return next(iter(given.values())) if isinstance(given, dict) and len(given) == 1 and not args else given

    def call(self, texts: tf.Tensor) -> tf.Tensor:
        """Strings (batch,), or token ids (batch, tokens) with 0 where padded, to the module's output."""
        given = self._given()
        if isinstance(given, dict):
            known = {"word": texts, "mask": tf.cast(texts != 0, texts.dtype), "type": tf.zeros_like(texts)}
            texts = {name: tf.cast(_matching(name, known, self.handle), spec.dtype) for name, spec in given.items()}
        if callable(self.module):
            outputs = self._compute(texts, **self._options)
        else:
            outputs = self._compute(**(texts if isinstance(texts, dict) else {_argument(self._compute): texts}))
        if not isinstance(outputs, dict):
            return outputs
        return outputs[self.output_name] if self.output_name in outputs else _single(outputs, self.handle)

    def named_outputs(self) -> dict[str, Any]:
        """The specs of the module's outputs by name; none where it has one without a name."""
        found = self._concrete()[0].structured_outputs
        return found if isinstance(found, dict) else {}

    def vocabulary(self) -> tuple[tuple[str, ...], bool]:
        """The pieces of WordPiece and whether the case is lowered, as the modules of BERT say them.

        Raises:
            InputError: the module does not say them.
        """
        file = getattr(self.module, "vocab_file", None)
        if file is None:
            raise InputError(f"{self.handle} takes token ids and has no vocab_file: nothing says which ids.")
        # Not splitlines(): a piece may be a character that ends a line elsewhere.
        lines = Path(file.asset_path.numpy().decode()).read_text("utf-8").split("\n")
        lines = lines[:-1] if not lines[-1] else lines
        lowercase = getattr(self.module, "do_lower_case", True)
        return tuple(lines), bool(lowercase.numpy() if hasattr(lowercase, "numpy") else lowercase)

    def get_config(self) -> dict[str, Any]:
        """What the layer is made from again."""
        return {**super().get_config(), "output_name": self.output_name}


def _matching(name: str, known: dict[str, tf.Tensor], handle: str) -> tf.Tensor:
    """What an input of a module of BERT stands for, by its name: input_word_ids, input_mask, input_type_ids."""
    found = [value for part, value in known.items() if part in name]
    if not found:
        raise InputError(f"{handle} has an input {name!r}; expected names with {', '.join(known)} in them.")
    return found[0]


def is_handle(name: str) -> bool:
    """Whether the name is that of a module: a URL, or a folder that holds a SavedModel."""
    return is_url(name) or (Path(name).expanduser() / "saved_model.pb").is_file()


def is_url(name: str) -> bool:
    """Whether the name begins with http:// or https://."""
    return name.startswith(("http://", "https://"))


def program(handle: str) -> bytes:
    """What a module computes, without the values of its variables: its file saved_model.pb."""
    return (Path(_folder(handle)).expanduser() / "saved_model.pb").read_bytes()


def _loaded(handle: str) -> Any:
    try:
        return tf.saved_model.load(_folder(handle))
    # A handle that cannot be resolved, a broken archive and an unknown op are errors of many kinds.
    except Exception as fault:
        mend = " (pip install 'setuptools<81' brings it)" if "pkg_resources" in str(fault) else ""
        raise InputError(
            f"The module {handle} cannot be loaded: {first_line(fault)}{mend}. It must be at that place, also to load "
            "a model that was saved with it. Without a network pass the folder of a downloaded and unpacked "
            "SavedModel, or what needs none: --backbone resnet14 for photos, --encoder minilm for texts."
        ) from fault


def _folder(handle: str) -> str:
    return _resolved(handle) if is_url(handle) else handle


def _resolved(url: str) -> str:
    """The folder that the module was downloaded to; TFHUB_CACHE_DIR in the environment says where they are kept."""
    # Needed for the download alone, and what it imports may be missing, or warn of its own end.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow_hub

    with silence_bounded():
        return tensorflow_hub.resolve(url)


def _signature(module: Any, handle: str) -> Callable[..., Any]:
    signatures = getattr(module, "signatures", {})
    for name in _SIGNATURES:
        if name in signatures:
            return signatures[name]
    raise InputError(
        f"{handle} is not callable and has no signature {' or '.join(_SIGNATURES)}; it has "
        f"{', '.join(signatures) or 'none'}. Expected a SavedModel that can be called."
    )


def _argument(function: Any) -> str:
    (name,) = function.structured_input_signature[1]
    return name


def _single(outputs: Any, handle: str) -> tf.Tensor:
    """The features: the only output, or the one called `default`."""
    if not isinstance(outputs, dict):
        return outputs
    if len(outputs) != 1 and "default" not in outputs:
        raise InputError(f"{handle} has the outputs {', '.join(outputs)}; expected one, or one called default.")
    return outputs["default"] if "default" in outputs else next(iter(outputs.values()))
