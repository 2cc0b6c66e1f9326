"""A functional model as a graph: where it can be cut in two, and the same layers called on something else."""

from __future__ import annotations

import math
from collections import Counter
from difflib import get_close_matches
from typing import Any

import keras

from kerasuite.errors import InputError

_POOLING = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)
_MOST_NAMED = 12
# Share of the weights that lies before a last stage, at least: the cells of a NASNet each take the results of two, and
# all of them would be its last stage.
_LEAST_BEFORE = 0.01


def calls(model: keras.Model) -> list[Any]:
    """Every call of a layer or operation (Keras's nodes), each after those whose results it takes."""
    # Keras has no public way to the calls, only to the layers, and a layer can be called in other models too.
    by_depth = model._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def cuts(model: keras.Model) -> list[str]:
    """The layers where the model can be cut in two, in the order of their calls.

    Everything behind such a layer needs its output and nothing else from before it. The last layer is not among them.

    Args:
        model: functional, of one input and one output.

    Example:
        >>> pixels = keras.Input((8, 8, 3))
        >>> x = keras.layers.Conv2D(3, 1, name="first")(pixels)
        >>> y = keras.layers.Conv2D(3, 1, name="inside")(x)
        >>> y = keras.layers.Add(name="join")((x, y))
        >>> cuts(keras.Model(pixels, keras.layers.ReLU(name="last")(y)))
        ['first', 'join']
    """
    nodes = calls(model)
    return [nodes[place].operation.name for place in _places(nodes)]


def last_stage_cut(model: keras.Model) -> str:
    """The cut before the last stage: what works at the size of the last map that weights still change.

    Taken is the last cut whose map (height x width) is larger than the last one; then, of the cuts around it that
    leave the same stage behind it, the one that passes on the fewest values. So a stage that opens by widening its
    input (an inverted bottleneck) is cut before that, and one that opens by pooling behind that.

    Raises:
        InputError: no cut has a larger map and a hundredth of the weights before it.
    """
    nodes = calls(model)
    places = [*_places(nodes), len(nodes) - 1]
    pooled = next((place for place in places if isinstance(nodes[place].operation, _POOLING)), len(nodes))
    learned = next((place for place, node in enumerate(nodes) if _weights(node)), len(nodes))
    places = [place for place in places if learned <= place < pooled and len(_shape(nodes[place])) == 4]
    area = _area(nodes[places[-1]]) if places else 0
    for place in reversed(places):
        if _area(nodes[place]) > area:
            if any(_weights(node) for node in nodes[place + 1 : pooled]):
                cut = _narrowest(nodes, places, place)
                if _size(nodes[: cut + 1]) < _LEAST_BEFORE * _size(nodes):
                    break
                return nodes[cut].operation.name
            area = _area(nodes[place])
    raise InputError(
        "The backbone has no last stage to speak of: it cannot be cut where its map is larger than at its end, with "
        f"{_LEAST_BEFORE:.0%} of its weights or more before that. "
        f"Pass --unfreeze none, --unfreeze all, or one of its layers: {_shortened(cuts(model)) or 'it has none'}."
    )


def split(model: keras.Model, layer: str) -> tuple[keras.Model, keras.Model]:
    """The model up to the output of a layer, and from there on; both have the model's own layers and weights.

    Args:
        layer: one of `cuts(model)`.

    Raises:
        InputError: the model cannot be cut there.
    """
    known = cuts(model)
    if layer not in known:
        raise InputError(f"The backbone cannot be cut behind {layer!r}{_hint(layer, known)}.")
    between = output_of(model, layer)
    lower = keras.Model(model.inputs[0], between, name=f"{model.name}_lower")
    return lower, keras.Model(between, model.outputs[0], name=f"{model.name}_upper")


def output_of(model: keras.Model, layer: str) -> Any:
    """The symbolic output of a layer in this model.

    Raises:
        InputError: no layer of that name.
    """
    found = {node.operation.name: node.outputs[0] for node in calls(model) if not node.is_input}
    if layer not in found:
        raise InputError(f"There is no layer {layer!r}{_hint(layer, list(found))}.")
    return found[layer]


def last(model: keras.Model) -> str:
    """The name of the layer whose output the model's is."""
    return next(node.operation.name for node in calls(model) if node.outputs[0] is model.outputs[0])


def replayed(model: keras.Model, inputs: Any) -> Any:
    """The model's output for another symbolic input, by the same layers; those of models inside it one by one."""

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        inner = functional(operation)
        # Whether a model inside runs in inference mode is for those to say who train the whole.
        return operation(*args, **kwargs) if inner is None else replayed(inner, args[0])

    return model._run_through_graph(inputs, call_fn=call)


def functional(layer: Any) -> keras.Model | None:
    """The layer as a model whose calls are known; None where it is no model, or one with a `call` of its own."""
    if isinstance(layer, keras.Sequential) and layer.built:
        return keras.Model(layer.inputs, layer.outputs)
    return layer if isinstance(layer, keras.Model) and hasattr(layer, "_run_through_graph") else None


def before_classifier(model: keras.Model) -> str:
    """The name of the layer whose output the classifier at the end of the model takes; the last layer if there is none.

    A classifier is a Dense layer, or a convolution of a 1x1 map, with nothing behind it but layers without weights.
    """
    source = {id(tensor): node for node in calls(model) for tensor in node.outputs}
    last = node = source[id(model.outputs[0])]
    while not _weights(node) and not node.is_input and _values(node) == _values(last):
        node = source[id(node.input_tensors[0])]
    is_map = len(_shape(node)) == 4 and _area(node) > 1
    if is_map or not isinstance(node.operation, (keras.layers.Dense, keras.layers.Conv2D)):
        return last.operation.name
    node = source[id(node.input_tensors[0])]
    while isinstance(node.operation, keras.layers.Dropout):
        node = source[id(node.input_tensors[0])]
    return last.operation.name if node.is_input else node.operation.name


def _places(nodes: list[Any]) -> list[int]:
    """Where among the nodes the model can be cut: no tensor from before is used behind."""
    made = {id(tensor): place for place, node in enumerate(nodes) for tensor in node.outputs}
    last_used = [place for place, _ in enumerate(nodes)]
    for place, node in enumerate(nodes):
        for tensor in node.input_tensors:
            last_used[made[id(tensor)]] = place
    times = Counter(node.operation.name for node in nodes)
    found, furthest = [], 0
    for place, node in enumerate(nodes[:-1]):
        once = times[node.operation.name] == len(node.outputs) == 1
        if furthest <= place and once and not node.is_input:
            found.append(place)
        furthest = max(furthest, last_used[place])
    return found


def _narrowest(nodes: list[Any], places: list[int], place: int) -> int:
    """Of the cuts at most one kernel before this one, or behind it with no weights between, that of fewest values."""
    near = [place]
    for other in places:
        between = nodes[min(place, other) + 1 : max(place, other) + 1]
        kernels = sum(any(len(weight.shape) > 1 for weight in _weights(node)) for node in between)
        if (other < place and kernels <= 1) or (other > place and not any(map(_weights, between))):
            near.append(other)
    return min(near, key=lambda other: (_values(nodes[other]), -other))


def _weights(node: Any) -> list[keras.Variable]:
    return getattr(node.operation, "weights", [])


def _size(nodes: list[Any]) -> int:
    """How many numbers the weights of the nodes have, each layer counted once."""
    weights = {id(weight): weight for node in nodes for weight in _weights(node)}
    return sum(math.prod(weight.shape) for weight in weights.values())


def _shape(node: Any) -> tuple[int | None, ...]:
    return tuple(node.outputs[0].shape)


def _area(node: Any) -> int:
    return math.prod(_shape(node)[1:3])


def _values(node: Any) -> int:
    return math.prod(size or 1 for size in _shape(node)[1:])


def _hint(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=3)
    return (
        f" (did you mean {' or '.join(close)}?); there are {_shortened(known)}"
        if close
        else (f"; there are {_shortened(known)}" if known else "; it is one layer that nothing is known of")
    )


def _shortened(names: list[str]) -> str:
    """The last of the names, which are the likely ones, and how many more there are."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[-_MOST_NAMED:]) + (f" and {more} before them" if more > 0 else "")
