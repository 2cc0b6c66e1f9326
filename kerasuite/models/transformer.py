"""The suite's own small encoder of texts, in the functional API: the model to read to understand the others.

Vaswani et al. (2017), Attention is all you need, arXiv:1706.03762; its encoder side. Positions are learnt, or those
sinusoids. Normalisation stands behind each addition as there, or before each part: Xiong et al. (2020),
arXiv:2002.04745, which trains without a careful warm-up.
"""

from __future__ import annotations

from typing import Literal

import keras
import numpy as np

from kerasuite.models.gelu import exact_gelu

Positions = Literal["learnt", "sinusoidal"]


def build(
    vocabulary_size: int,
    *,
    dim: int = 128,
    num_layers: int = 2,
    num_heads: int = 4,
    longest: int = 512,
    positions: Positions = "learnt",
    pre_norm: bool = True,
    dropout: float = 0.1,
    causal: bool = False,
) -> keras.Model:
    """Token ids int32 (batch, tokens), 0 where padded, to states float32 (batch, tokens, dim).

    Args:
        dim: width; a multiple of num_heads. The layer between is four times as wide.
        longest: most tokens.
        causal: each token sees those before it and itself alone.

    Example:
        >>> build(1000, dim=32, num_heads=2).output_shape
        (None, None, 32)
    """
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    x = keras.layers.ReversibleEmbedding(vocabulary_size, dim, name="tokens")(token_ids)  # (batch, tokens, dim)
    options = {"num_layers": num_layers, "num_heads": num_heads, "longest": longest, "positions": positions}
    states = encode(x, token_ids != 0, **options, pre_norm=pre_norm, dropout=dropout, causal=causal)
    return keras.Model(token_ids, states, name="transformer")


def encode(
    x: keras.KerasTensor,
    is_token: keras.KerasTensor,
    *,
    num_layers: int,
    num_heads: int,
    longest: int,
    positions: Positions = "learnt",
    pre_norm: bool = True,
    dropout: float = 0.1,
    causal: bool = False,
) -> keras.KerasTensor:
    """Vectors (batch, tokens, dim) to states of the same shape; is_token (batch, tokens) is False where padded."""
    dim = x.shape[-1]
    x = PositionEmbedding(longest, positions, name="positions")(x)
    if not pre_norm:
        x = _norm("embedding_norm")(x)
    x = keras.layers.Dropout(dropout, name="embedding_dropout")(x)
    for k in range(num_layers):
        attention = keras.layers.MultiHeadAttention(
            num_heads, dim // num_heads, dropout=dropout, name=f"block_{k}_attention"
        )
        wide = keras.layers.Dense(4 * dim, activation=exact_gelu, name=f"block_{k}_wide")
        narrow = keras.layers.Dense(dim, name=f"block_{k}_narrow")

        def attend(x, attention=attention):
            return attention(x, x, attention_mask=is_token[:, None, :], use_causal_mask=causal)

        def think(x, wide=wide, narrow=narrow):
            return narrow(wide(x))

        for part, name in ((attend, f"block_{k}_attention"), (think, f"block_{k}_feedforward")):
            norm, drop = _norm(f"{name}_norm"), keras.layers.Dropout(dropout, name=f"{name}_dropout")
            x = x + drop(part(norm(x))) if pre_norm else norm(x + drop(part(x)))
    return _norm("last_norm")(x) if pre_norm else x


def _norm(name: str) -> keras.layers.Layer:
    return keras.layers.LayerNormalization(epsilon=1e-6, name=name)


@keras.saving.register_keras_serializable(package="kerasuite")
class PositionEmbedding(keras.layers.Layer):
    """Adds to each token what tells its place.

    Args:
        longest: most tokens.
        kind: `learnt`, one vector a place; or `sinusoidal`: sines and cosines of the place, over wavelengths from 2 pi
            to 20,000 pi (section 3.5 of the paper), nothing of which is learnt.
    """

    def __init__(self, longest: int, kind: Positions = "learnt", **kwargs):
        super().__init__(**kwargs)
        self.longest, self.kind = longest, kind

    def build(self, input_shape):
        """Make the vectors, (longest, dim)."""
        shape = (self.longest, input_shape[-1])
        if self.kind == "learnt":
            self.places = self.add_weight(shape=shape, initializer="random_normal", name="places")
        else:
            self.places = sinusoids(*shape)

    def call(self, x):
        """(batch, tokens, dim) to the same shape."""
        number = keras.ops.shape(x)[1]
        return x + keras.ops.cast(keras.ops.convert_to_tensor(self.places)[:number], x.dtype)

    def get_config(self):
        """What the layer is made from again."""
        return {**super().get_config(), "longest": self.longest, "kind": self.kind}


def sinusoids(longest: int, dim: int) -> np.ndarray:
    """The vectors of places, float32 (longest, dim): sines in even columns, cosines of the same angles in odd ones.

    Example:
        >>> sinusoids(2, 4).astype(float).round(4).tolist()
        [[0.0, 1.0, 0.0, 1.0], [0.8415, 0.5403, 0.01, 0.9999]]
    """
    angles = np.arange(longest)[:, None] / 10_000 ** (np.arange(dim) // 2 * 2 / dim)
    return np.where(np.arange(dim) % 2, np.cos(angles), np.sin(angles)).astype(np.float32)
