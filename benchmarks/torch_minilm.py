"""PyTorch training an encoder of MiniLM's shape on the CPU, rows a second, for benchmarks/bert_text.py.

    python benchmarks/torch_minilm.py batches.npz float32|bfloat16     (wants torch and NumPy, and nothing else)

The batches are those that kerasuite trains on: tokens (all ids), ends (of the rows), steps (rows of each batch, one
after another) and cuts (where a batch ends). Random weights are as fast as others.
"""

import json
import sys
import time

import numpy as np
import torch
from torch import nn

DIM, HEADS, LAYERS, WIDE, PIECES, LONGEST = 384, 12, 6, 1536, 30522, 512


class Encoder(nn.Module):
    """BERT of MiniLM's sizes, the mean of its states, and a head for two classes."""

    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(PIECES, DIM), nn.Embedding(LONGEST, DIM)
        self.norm, self.dropout = nn.LayerNorm(DIM, eps=1e-12), nn.Dropout(0.1)
        layer = nn.TransformerEncoderLayer(DIM, HEADS, WIDE, 0.1, "gelu", 1e-12, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, LAYERS)
        self.head = nn.Linear(DIM, 2)

    def forward(self, ids):  # noqa: D102
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        x = self.layers(self.dropout(self.norm(x)), src_key_padding_mask=ids == 0)
        is_token = (ids != 0).unsqueeze(-1)
        return self.head(self.dropout((x * is_token).sum(1) / is_token.sum(1)))


def main():
    with np.load(sys.argv[1]) as file:
        tokens, ends = torch.from_numpy(file["tokens"]).long(), file["ends"]
        batches = np.split(file["steps"], file["cuts"])
    rows = [tokens[start:end] for start, end in zip([0, *ends[:-1]], ends)]
    padded = [nn.utils.rnn.pad_sequence([rows[row] for row in batch], batch_first=True) for batch in batches]
    labels = [torch.from_numpy(batch % 2).long() for batch in batches]
    torch.manual_seed(0)
    model = Encoder().train()
    adam = torch.optim.AdamW(model.parameters(), 1e-4)
    loss = nn.CrossEntropyLoss()

    def steps(number):
        for ids, label in zip(padded[:number], labels):
            adam.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=sys.argv[2] == "bfloat16"):
                value = loss(model(ids), label)
            value.backward()
            adam.step()

    steps(len(padded) // 8)
    begun = time.perf_counter()
    steps(len(padded))
    seconds = time.perf_counter() - begun
    print(json.dumps({"a_second": sum(map(len, batches)) / seconds, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
