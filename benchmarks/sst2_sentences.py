"""Whole sentences of SST-2's train to choose settings by, and what of train has no part of them.

    python benchmarks/sst2_sentences.py --data sst2/train.tsv --output sst2_sentences
    kerasuite run bert_text --data sst2_sentences/train.tsv --test-data sst2_sentences/test.tsv

Most rows of train are phrases of its sentences: a random share of them, held out, asks about sentences that were
trained on. Here half of the sentences are the test, and every row that stands in one of them is in neither part.
"""

from __future__ import annotations

import argparse
import collections
import random
from pathlib import Path

SEED, FEWEST_WORDS = 7, 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="SST-2's train.tsv, of label and sentence")
    parser.add_argument("--output", type=Path, required=True, help="the folder for train.tsv and test.tsv")
    given = parser.parse_args()
    lines = given.data.read_text("utf-8").split("\n")[1:]
    rows = [(label, text.strip()) for label, text in (line.split("\t") for line in lines if line)]
    train, test = parted(rows)
    given.output.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", train), ("test", test)):
        content = "".join(f"{label}\t{text}\n" for label, text in [("label", "sentence"), *part])
        (given.output / f"{name}.tsv").write_text(content, "utf-8")
    print(f"{len(train):,} rows to train on, {len(test):,} whole sentences to test on.")


def parted(rows: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(label, text) of train and of test."""
    sentences, of_phrase = [], collections.defaultdict(set)  # which sentences a run of words stands in
    for text in sorted({text for _, text in rows}, key=lambda text: (-len(text.split()), text)):
        if text not in of_phrase:
            words = text.split()
            for start in range(len(words)):
                for end in range(start + 1, len(words) + 1):
                    of_phrase[" ".join(words[start:end])].add(len(sentences))
            sentences.append(text)
    generator = random.Random(SEED)
    whole = [number for number, text in enumerate(sentences) if len(text.split()) >= FEWEST_WORDS]
    held_out = set(generator.sample(whole, len(whole) // 2))
    label_of = {text: label for label, text in reversed(rows)}
    train = [(label, text) for label, text in rows if not of_phrase[text] & held_out]
    generator.shuffle(train)
    return train, [(label_of[sentences[number]], sentences[number]) for number in sorted(held_out)]


if __name__ == "__main__":
    main()
