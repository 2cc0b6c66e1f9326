"""What a history says of the next item: recurrent and attentive encoders, and their scores of all items.

Item ids are 1 to num_items; 0 is padding, behind a shorter history.
"""

from __future__ import annotations

from typing import Literal

import keras

from kerasuite.models import transformer

Kind = Literal["lstm", "gru", "bidirectional", "transformer"]
KINDS: tuple[str, ...] = ("lstm", "gru", "bidirectional", "transformer")
# The table of items; its rows are also what states are compared with.
ITEMS = "tokens"


def encoder(
    kind: Kind,
    num_items: int,
    *,
    dim: int = 64,
    num_layers: int = 1,
    num_heads: int = 2,
    dropout: float = 0.2,
    longest: int = 50,
    scale: float = 0.05,
) -> keras.Model:
    """Item ids int32 (batch, items) to states float32 (batch, items, dim): what is known after each item.

    `bidirectional` reads a whole history both ways and has one state a history: (batch, 1, dim).

    Args:
        scale: of the table's initial weights, drawn evenly from -scale to scale.
    """
    if kind == "transformer":
        return transformer.build(
            num_items + 1,
            dim=dim,
            num_layers=num_layers,
            num_heads=num_heads,
            longest=longest,
            dropout=dropout,
            causal=True,
        )
    ids = keras.Input((None,), dtype="int32", name="item_ids")
    initial = keras.initializers.RandomUniform(-scale, scale)
    # Padding stands behind a history: what reads forwards comes to it last, what reads both ways must skip it.
    table = keras.layers.ReversibleEmbedding(
        num_items + 1, dim, embeddings_initializer=initial, mask_zero=kind == "bidirectional", name=ITEMS
    )
    x = table(ids)  # (batch, items, dim)
    x = keras.layers.Dropout(dropout, name="embedding_dropout")(x)
    layer = keras.layers.GRU if kind == "gru" else keras.layers.LSTM
    for k in range(num_layers):
        name = f"recurrent_{k}"
        if kind == "bidirectional":
            is_last = k == num_layers - 1
            x = keras.layers.Bidirectional(layer(dim, return_sequences=not is_last), name=name)(x)
        else:
            x = layer(dim, return_sequences=True, name=name)(x)
        x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
    if kind == "bidirectional":
        x = keras.layers.Reshape((1, 2 * dim), name="one_state")(x)
    states = keras.layers.Dense(dim, name="states")(x)  # (batch, items or 1, dim)
    return keras.Model(ids, states, name=kind)
