"""What a pipeline whose rows are texts hands to `_classification`, and what it predicts."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kerasuite import run_directory, whole_files
from kerasuite.contracts import Examples, Skipped
from kerasuite.pipelines import _classification
from kerasuite.pipelines._answers import Answers, Asked
from kerasuite.pipelines._classification import Rows

if TYPE_CHECKING:
    import keras

    from kerasuite.data.text import TextPreparation, WholeTexts
    from kerasuite.evaluation.classification import Scores
    from kerasuite.evaluation.report import Section

BATCH_SIZE, CHUNK = 64, 4096
COLUMNS = "columns"


def rows(prepare: TextPreparation, read: Callable, *, multi_label: bool = False) -> Rows:
    """Texts, which `prepare` makes token ids of."""
    said = partial(answers, prepare, multi_label=multi_label)
    shown = ("texts", lambda examples: examples.inputs["text"].tolist())
    return Rows("texts", 'texts=tf.constant(["so good"])', read, raw, said, shown)


def raw(examples: Examples) -> list[bytes]:
    """The texts as they are served."""
    return [text.encode("utf-8", "replace") for text in examples.inputs["text"]]


def answers(
    prepare: TextPreparation, model: keras.Model, examples: Examples, *, multi_label: bool = False
) -> np.ndarray:
    """What a model in Python says of texts, float32 (rows, classes)."""
    from kerasuite.data import batches, text
    from kerasuite.evaluation import predict

    examples = text.tokenised(examples, prepare)
    order = np.argsort(-text.lengths_of(examples, prepare), kind="stable")
    rows = batches.inference(examples.take(order), prepare, BATCH_SIZE)
    found = predict.probabilities(model, rows, multi_label=multi_label)
    return found[np.argsort(order)]


def predict(asked: Asked) -> Answers:
    """What the exported model says of texts as they are, of those of tables and of .txt files."""
    asked.refuse_flags("texts, .txt files and tables", history=asked.histories)
    return _classification.predict(asked, _chunks(asked))


def _chunks(asked: Asked) -> Iterator[tuple[list[tuple[str, bytes]], list[Skipped]]]:
    from kerasuite.data import unlabelled_texts
    from kerasuite.data.text_columns import Columns

    said, usual = (asked.settings[name] for name in ("text_column", "label_column")), usual_columns(asked.run_dir)
    columns = Columns(*said, flag="--column", usual=usual)
    given = ((f"text[{number}]", text.strip()) for number, text in enumerate(asked.texts, 1))
    plain = ((name, unlabelled_texts.usable(name, text)) for name, text in given)
    say = partial(print, file=sys.stderr)
    every = itertools.chain(plain, unlabelled_texts.texts(asked.files, columns, column=asked.column, say=say))
    while some := list(itertools.islice(every, CHUNK)):
        bad = [text for _, text in some if isinstance(text, Skipped)]
        yield [(name, text.encode()) for name, text in some if isinstance(text, str)], bad


def usual_columns(run_dir: Path) -> dict[str, str]:
    """What the columns are called that a run was trained on: nothing where its texts were in no table."""
    return run_directory.remembered(run_dir, COLUMNS) or {}


def vocabulary(path: Path, size: int, train: Examples | None) -> list[str]:
    """The pieces of words that a run's texts are made of: learnt from the training texts once, then read."""
    from kerasuite.data import text

    if not path.is_file():
        whole_files.write(path, "".join(f"{piece}\n" for piece in text.learnt_pieces(train, size)))
    # Not splitlines(): a piece may be a character that ends a line elsewhere.
    return path.read_text("utf-8").split("\n")[:-1]


def sections(
    prepare: TextPreparation | WholeTexts,
    model: keras.Model,
    scores: Scores,
    examples: Examples,
    train: Examples | None,
) -> list[Section]:
    """The report's sections on lengths, and on what words did."""
    from kerasuite.data import text
    from kerasuite.evaluation import text_sections

    texts, tokens = examples.inputs[text.TEXT], text.tokenised(examples, prepare)

    def asked(some: Sequence[str]) -> np.ndarray:
        return answers(prepare, model, Examples({text.TEXT: np.array(some, object)}), multi_label=scores.multi_label)

    longest = None if isinstance(prepare, text.WholeTexts) else prepare.max_length
    cut = text.cut_note("test", tokens, longest) if longest else ""
    return [
        text_sections.by_length(scores, tokens.facts[text.NUM_TOKENS], longest, cut),
        text_sections.words(scores, texts, asked),
    ]
