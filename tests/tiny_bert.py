"""A two-layer BERT of random weights as a Hugging Face checkpoint, and what it computes, by NumPy alone."""

import json
from math import erf, sqrt

import numpy as np
from safetensors.numpy import save_file

WORDS = (
    "good",
    "bad",
    "film",
    "great",
    "awful",
    "a",
    "the",
    "was",
    "very",
    "not",
    "plot",
    "cast",
    "dull",
    "fun",
    ".",
    "!",
)
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##s", "影"]
DIM, HEADS, LAYERS, WIDE, LONGEST = 16, 2, 2, 32, 24


def tensors(seed=0):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.normal(0, 0.3, shape).astype(np.float32)  # noqa: E731
    found = {
        "embeddings.word_embeddings.weight": draw(len(PIECES), DIM),
        "embeddings.position_embeddings.weight": draw(LONGEST, DIM),
        "embeddings.token_type_embeddings.weight": draw(2, DIM),
        "embeddings.LayerNorm.weight": 1 + draw(DIM),
        "embeddings.LayerNorm.bias": draw(DIM),
        "pooler.dense.weight": draw(DIM, DIM),
        "pooler.dense.bias": draw(DIM),
    }
    for k in range(LAYERS):
        shapes = {
            **{f"attention.self.{name}": (DIM, DIM) for name in ("query", "key", "value")},
            "attention.output.dense": (DIM, DIM),
            "intermediate.dense": (WIDE, DIM),
            "output.dense": (DIM, WIDE),
        }
        for name, shape in shapes.items():
            found[f"encoder.layer.{k}.{name}.weight"] = draw(*shape)
            found[f"encoder.layer.{k}.{name}.bias"] = draw(shape[0])
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            found[f"encoder.layer.{k}.{name}.weight"] = 1 + draw(DIM)
            found[f"encoder.layer.{k}.{name}.bias"] = draw(DIM)
    return found


def write(folder, weights=None, pieces=PIECES, **settings):
    """The checkpoint's files."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": "bert", "architectures": ["BertModel"], "vocab_size": len(PIECES), "hidden_size": DIM,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": WIDE, "hidden_act": "gelu",
        "max_position_embeddings": LONGEST, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config | settings))
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true, "tokenizer_class": "BertTokenizer"}')
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", "utf-8")
    save_file(tensors() if weights is None else weights, folder / "model.safetensors")
    return folder


def states(token_ids, weights):
    """What BERT says of one row of ids without padding: float64 (tokens, DIM)."""

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def dense(x, name):
        return x @ weights[f"{name}.weight"].T.astype(float) + weights[f"{name}.bias"]

    x = weights["embeddings.word_embeddings.weight"][token_ids].astype(float)
    x = (
        x
        + weights["embeddings.position_embeddings.weight"][: len(x)]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    x = norm(x, "embeddings.LayerNorm")
    for k in range(LAYERS):
        layer = f"encoder.layer.{k}"
        heads = [
            dense(x, f"{layer}.attention.self.{name}").reshape(len(x), HEADS, -1).transpose(1, 0, 2)
            for name in ("query", "key", "value")
        ]
        scores = heads[0] @ heads[1].transpose(0, 2, 1) / sqrt(DIM // HEADS)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ heads[2]
        mixed = dense(mixed.transpose(1, 0, 2).reshape(len(x), DIM), f"{layer}.attention.output.dense")
        x = norm(x + mixed, f"{layer}.attention.output.LayerNorm")
        wide = dense(x, f"{layer}.intermediate.dense")
        wide = wide * 0.5 * (1 + np.vectorize(erf)(wide / sqrt(2)))
        x = norm(x + dense(wide, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    return x


def pooled(token_ids, weights):
    """BERT's pooler on the first state: float64 (DIM,)."""
    first = states(token_ids, weights)[0]
    return np.tanh(first @ weights["pooler.dense.weight"].T.astype(float) + weights["pooler.dense.bias"])
