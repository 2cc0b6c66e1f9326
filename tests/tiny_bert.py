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


def write_distilbert(folder, weights, prefix="distilbert."):
    """The weights of a BERT without token types, under DistilBERT's names."""
    parts = {
        "attention.self.query": "attention.q_lin", "attention.self.key": "attention.k_lin",
        "attention.self.value": "attention.v_lin", "attention.output.dense": "attention.out_lin",
        "attention.output.LayerNorm": "sa_layer_norm", "intermediate.dense": "ffn.lin1", "output.dense": "ffn.lin2",
        "output.LayerNorm": "output_layer_norm",
    }  # fmt: skip
    found = {}
    for name, value in weights.items():
        if name.startswith("encoder."):
            _, _, layer, *part, kind = name.split(".")
            found[f"{prefix}transformer.layer.{layer}.{parts['.'.join(part)]}.{kind}"] = value
        elif "token_type" not in name and "pooler" not in name:
            found[prefix + name] = value
    sizes = {"n_layers": LAYERS, "n_heads": HEADS, "dim": DIM, "hidden_dim": WIDE, "dropout": 0.1}
    return write(folder, found, model_type="distilbert", architectures=["DistilBertModel"], activation="gelu", **sizes)


def write_roberta(folder, weights, prefix="roberta."):
    """The weights of a BERT with one token type, under RoBERTa's names, with its vocabulary of bytes."""
    # Its first two positions stand for nothing.
    positions = np.concatenate([np.full((2, DIM), 7, np.float32), weights["embeddings.position_embeddings.weight"]])
    types = weights["embeddings.token_type_embeddings.weight"][:1].copy()
    found = weights | {
        "embeddings.position_embeddings.weight": positions, "embeddings.token_type_embeddings.weight": types
    }  # fmt: skip
    found = {prefix + name: value for name, value in found.items() if "pooler" not in name}
    sizes = {"max_position_embeddings": LONGEST + 2, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
    dropout = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    write(folder, found, model_type="roberta", architectures=["RobertaModel"], **sizes, **dropout)
    (folder / "vocab.txt").unlink()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "RobertaTokenizer"}')
    # A few letters of their own; Ġ is the space before a word.
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *"abdefgilmnorstuw", "Ġ", "Ġf", "<mask>"]
    (folder / "vocab.json").write_text(json.dumps({piece: id for id, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\nĠ f\n", "utf-8")
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
