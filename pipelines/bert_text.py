"""Texts to a fine-tuned BERT that takes strings: a table of your own, in batches of like lengths.

kerasuite run bert_text --data reviews.csv
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from kerasuite import config, devices, run_directory
from kerasuite.contracts import Examples, Splits
from kerasuite.errors import InputError
from kerasuite.pipelines import _classification, _running, _texts
from kerasuite.pipelines._classification import Task
from kerasuite.pipelines._text_tuning import TextTuning
from kerasuite.pipelines._texts import predict
from kerasuite.ranges import Count, NonNegative, Positive, PositiveShare, Share, at_least

if TYPE_CHECKING:
    import keras_tuner

    from kerasuite.data.text import TextPreparation, WholeTexts
    from kerasuite.data.text_columns import Columns
    from kerasuite.models.encoders import Encoder
    from kerasuite.training.fit import Fitted

__all__ = ["SAMPLE", "Config", "evaluate", "finish", "load", "predict", "run", "space", "train"]

# What a run remembers of an encoder that lies in a folder.
_FOLDER = "encoder folder"
# Settings for seconds, on the sentences of reviews that come with the package.
SAMPLE = {"data": ("reviews_sample",), "tuning": "frozen", "precision": "float32"}


@dataclass(frozen=True, kw_only=True)
class Config(config.Settings):
    """Settings of bert_text."""

    data: tuple[str, ...] = ("imdb",)
    """imdb (downloaded once), reviews_sample (bundled), tables of texts and labels (csv, tsv, jsonl, parquet), a folder
    of tables named train, validation or test, or a folder with one folder of .txt files for each class."""
    validation_data: tuple[str, ...] = ()
    """Files to validate on, in any form that --data takes; held out of the training rows if not given."""
    test_data: tuple[str, ...] = ()
    """Files to test on, in any form that --data takes; held out of all rows if not given."""
    text_column: str | None = None
    """Column of the texts; guessed, and said, if not given."""
    label_column: str | None = None
    """Column of the labels; guessed, and said, if not given."""
    multi_label: bool = False
    """A text may have several labels, or none: each is a question of its own."""
    label_separator: str = "|"
    """What stands between the labels of a text; lists in jsonl and parquet need none."""
    encoder: str = "minilm"
    """minilm (all-MiniLM-L6-v2, by pip), a KerasHub preset, a folder of one or of a Hugging Face checkpoint, a
    TensorFlow Hub URL or SavedModel folder; or from random weights, with a vocabulary of the training texts, small
    (KerasHub's BERT) or transformer (our own)."""
    dim: Annotated[int, at_least(2)] = 128
    """Width of small and transformer."""
    num_layers: Count = 2
    """Layers of small and transformer."""
    num_heads: Count = 2
    """Attention heads of small and transformer."""
    positions: Literal["learnt", "sinusoidal"] = "learnt"
    """What tells transformer the places of tokens."""
    pre_norm: bool = True
    """transformer normalises before each part, not behind."""
    vocabulary_size: Annotated[int, at_least(100)] = 8000
    """Most pieces of words in the vocabulary of small and transformer."""
    pooling: Literal["auto", "mean", "first", "pooler"] = "auto"
    """How the states of a text's tokens become one vector: their mean, the first one's, or what BERT's pooler makes of
    that; auto as the encoder was trained."""
    max_length: Annotated[int, at_least(3)] = 128
    """Tokens of a text at most; what is longer is cut, and counted."""
    tuning: str = "full"
    """full, last_N_layers, lora (narrow matrices beside the attention's queries and values), or frozen (the encoder
    runs once over each text, and a head is trained on its vectors)."""
    lora_rank: Count = 8
    """Width of lora's matrices."""
    batch_tokens: Annotated[int, at_least(3)] = 2048
    """Tokens a step at most, padding counted; a batch holds texts of like lengths."""
    batch_size: Count = 128
    """Texts a step at most, over all devices together."""
    epochs: Count | None = None
    """Passes over the training rows at most. If not given, 3 to 20, the more the fewer rows there are; of a frozen
    encoder's vectors 20 to 100."""
    learning_rate: Positive | None = None
    """Peak rate of the encoder's last layer. If not given, 2e-4 for one as wide as minilm (384), 1e-4 for one twice as
    wide, and so on."""
    head_rate: Positive = 1e-3
    """Peak rate of the new head."""
    layer_decay: PositiveShare = 0.9
    """Rate of each layer as a share of that of the layer above it."""
    weight_decay: NonNegative = 0.01
    """Decoupled weight decay, times the rate. Pretrained tables of tokens, of which a step trains some rows, have none;
    those in modules of TensorFlow Hub do."""
    dropout: Share = 0.1
    """Share of the vector's numbers dropped before the head."""
    label_smoothing: Share = 0.0
    """Share of the target spread over all classes."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced makes every class count alike in the loss."""
    cache: str | None = None
    """Folder for the vectors of a frozen encoder; KERASUITE_CACHE or the user's folder for caches if not given."""
    cache_gb: NonNegative = 8.0
    """Most that the vectors may take on disk, GB."""

    batch_by = ("batch_tokens", "batch_size")
    shared = config.Settings.shared | {
        *("validation_data", "test_data", "text_column", "label_column", "multi_label", "label_separator"),
        *("cache", "cache_gb"),
    }
    loss_by = frozenset({"label_smoothing"})

    def __post_init__(self):
        super().__post_init__()
        if self.multi_label and self.class_weights != "none":
            raise InputError("--class-weights is of one label a text; it does not go with --multi-label.")
        if not self.label_separator:
            raise InputError("--label-separator is empty; expected what stands between labels, such as '|'.")
        _layers_tuned(self.tuning)

    @property
    def layers_tuned(self) -> int | None:
        """How many of the encoder's last layers are trained; None where that is not the question."""
        return _layers_tuned(self.tuning)


def _layers_tuned(tuning: str) -> int | None:
    if tuning in ("full", "lora", "frozen"):
        return 0 if tuning == "frozen" else None
    match = re.fullmatch(r"last_([1-9]\d*)_layers", tuning)
    if not match:
        raise InputError(f"--tuning is {tuning}; expected full, lora, frozen, or last_N_layers, such as last_2_layers.")
    return int(match[1])


def space(hp: keras_tuner.HyperParameters, config: Config) -> Config:
    """What a sweep searches, if nothing else is said."""
    searched = {
        "head_rate": hp.Float("head_rate", 1e-4, 1e-2, sampling="log"),
        "weight_decay": hp.Float("weight_decay", 1e-3, 0.1, sampling="log"),
        "dropout": hp.Float("dropout", 0.0, 0.5),
    }
    if config.tuning != "frozen":
        searched["learning_rate"] = hp.Float("learning_rate", 1e-5, 1e-3, default=2e-4, sampling="log")
        searched["layer_decay"] = hp.Float("layer_decay", 0.6, 1.0)
    return replace(config, **searched)


def load(config: Config) -> Splits:
    """Read the texts, name what cannot be used, and hold out what came unsplit."""
    from kerasuite.data import duplicates, splits, text_sources

    columns = _columns(config)
    source = text_sources.text_splits(
        config.data, validation=config.validation_data, test=config.test_data, columns=columns
    )
    whole = splits.complete(
        source, validation_fraction=config.validation_fraction, test_fraction=config.test_fraction, seed=config.seed
    )
    return replace(whole, warnings=(*whole.warnings, *duplicates.warnings(whole, near=True)))


def encoder(config: Config, run_dir: Path, train: Examples | None = None) -> Encoder:
    """The encoder, ending in one vector a text; one from random weights takes the vocabulary of the training texts.

    Args:
        train: the training texts; not needed once the run has its vocabulary.
    """
    import keras

    from kerasuite.models import encoders

    if config.encoder not in encoders.FROM_SCRATCH:
        where = run_directory.remembered(run_dir, _FOLDER) or config.encoder
        return replace(encoders.load(where, config.pooling), name=config.encoder)
    pieces = _texts.vocabulary(run_dir / run_directory.VOCABULARY, config.vocabulary_size, train)
    sizes = {name: getattr(config, name) for name in ("dim", "num_layers", "num_heads")}
    own = {"positions": config.positions, "pre_norm": config.pre_norm} if config.encoder == encoders.TRANSFORMER else {}
    keras.utils.set_random_seed(config.seed)
    return encoders.from_scratch(config.encoder, pieces, longest=max(config.max_length, 8), **sizes, **own)


def preparation(config: Config, encoder: Encoder) -> TextPreparation | WholeTexts:
    """What makes token ids of texts for the encoder; nothing, where it does that by itself."""
    from kerasuite.data.text import TextPreparation, Vocabulary, WholeTexts, WordPiece

    if encoder.takes_strings:
        return WholeTexts()
    tokenize = encoder.tokenizer if encoder.pieces is None else WordPiece(encoder.pieces, encoder.lowercase)
    ends = encoder.start, encoder.end, encoder.pad
    vocabulary = Vocabulary(tokenize, *ends, encoder.longest, encoder.vocabulary_digest)
    return TextPreparation(vocabulary, config.max_length)


def train(config: Config, train: Examples, validation: Examples, run_dir: Path) -> Fitted:
    """Fit the model; goes on from the run directory's checkpoint if there is one."""
    import keras

    from kerasuite.data import text

    strategy = devices.strategy(config.devices, config.all_reduce)
    devices.refuse_too_few(strategy, len(train), config.batch_size if config.layers_tuned == 0 else None)
    run_directory.remember(run_dir, "machine", lambda: devices.describe(strategy))
    keras.utils.set_random_seed(config.seed)
    if (folder := Path(config.encoder).expanduser()).is_dir():
        # The run may be evaluated from another working directory.
        run_directory.remember(run_dir, _FOLDER, lambda: str(folder.resolve()))
    base = encoder(config, run_dir, train)
    run_directory.require_same(run_dir, "encoder", base.digest)
    prepare = preparation(config, base)
    train, validation = (text.tokenised(part, prepare) for part in (train, validation))
    if config.max_length > prepare.max_length:
        print(f"--max-length {config.max_length}: this encoder takes {prepare.max_length} tokens at most.")
    if note := text.cut_note("training", train, prepare.max_length):
        print(note)
        # The report lists what a run remembers.
        run_directory.remember(run_dir, "texts cut", lambda: note)
    return TextTuning(config, base, prepare, train, validation, run_dir).fit(strategy)


def task(config: Config, run_dir: Path) -> Task:
    """What scoring and the report need to know of this pipeline."""
    base = encoder(config, run_dir)
    run_directory.require_same(run_dir, "encoder", base.digest)
    prepare = preparation(config, base)
    return Task(
        "bert_text",
        config,
        f"{base.name}, {config.tuning}",
        prepare,
        _texts.rows(prepare, partial(read, config, run_dir), multi_label=config.multi_label),
        features=lambda examples: {"logistic_regression_on_words": examples.inputs["text"]},
        near=True,
        choose_penalty=True,
        sections=partial(_texts.sections, prepare),
    )


def read(config: Config, run_dir: Path, data: Sequence[str], class_names: Sequence[str]):
    """What `evaluate --data` names: texts and labels, in the columns that the run had."""
    from kerasuite.data import text_sources

    columns = replace(_columns(config), usual=_texts.usual_columns(run_dir))
    return text_sources.labelled_texts(data, class_names, columns)


def _columns(config: Config) -> Columns:
    from kerasuite.data.text_columns import Columns

    return Columns(config.text_column, config.label_column, config.label_separator if config.multi_label else None)


def finish(
    config: Config, fitted: Fitted, splits: Splits, run_dir: Path, seconds: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Export, score the export on the whole test set from strings, and write the report; metrics.json comes last."""
    run_directory.remember(run_dir, _texts.COLUMNS, lambda: dict(splits.columns))
    return _classification.finish(task(config, run_dir), fitted, splits, run_dir, seconds)


def run(config: Config, run_dir: Path) -> dict[str, Any]:
    """Load, train, finish."""
    return _running.run(config, run_dir, load, train, finish)


def evaluate(config: Config, run_dir: Path, data: Sequence[str], folder: Path) -> dict[str, Any]:
    """The report of a finished run on other labelled texts."""
    return _classification.evaluate(task(config, run_dir), run_dir, data, folder)


if __name__ == "__main__":
    from kerasuite.commands.run import script

    script(__file__)
