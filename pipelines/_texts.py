"""What a pipeline whose rows are texts hands to `_classification`, and how its encoder is fitted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasuite import __version__, config, frozen, progress, run_directory
from kerasuite.contracts import Examples, Plan, Skipped
from kerasuite.pipelines import _classification
from kerasuite.pipelines._answers import Answers, Asked
from kerasuite.pipelines._classification import Rows

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from kerasuite.data.text import TextPreparation, WholeTexts
    from kerasuite.evaluation.classification import Scores
    from kerasuite.evaluation.report import Section
    from kerasuite.models.encoders import Encoder
    from kerasuite.training.fit import Fitted

BATCH_SIZE, CHUNK = 64, 4096
ENOUGH_STEPS = 1000


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
    from kerasuite.data import text_sources
    from kerasuite.data.text_columns import Columns

    columns = Columns(asked.column or asked.settings["text_column"], asked.settings["label_column"])
    given = ((f"text[{number}]", text.strip()) for number, text in enumerate(asked.texts, 1))
    plain = ((name, text or Skipped(name, "no text")) for name, text in given)
    every = itertools.chain(plain, text_sources.unlabelled_texts(asked.files, columns))
    while some := list(itertools.islice(every, CHUNK)):
        bad = [text for _, text in some if isinstance(text, Skipped)]
        yield [(name, text.encode("utf-8", "replace")) for name, text in some if isinstance(text, str)], bad


def vocabulary(path: Path, size: int, train: Examples | None) -> list[str]:
    """The pieces of words that a run's texts are made of: learnt from the training texts once, then read."""
    from kerasuite.data import text

    if not path.is_file():
        run_directory.write(path, "".join(f"{piece}\n" for piece in text.learnt_pieces(train, size)))
    # Not splitlines(): a piece may be a character that ends a line elsewhere.
    return path.read_text("utf-8").split("\n")[:-1]


def fit_encoder(
    config: config.Settings,
    base: Encoder,
    prepare: TextPreparation,
    train: Examples,
    validation: Examples,
    run_dir: Path,
    strategy: tf.distribute.Strategy,
) -> Fitted:
    """Train a new head and what the settings name of the encoder, on batches of like lengths."""
    import keras

    from kerasuite.data import batches, lengths, text
    from kerasuite.models import encoders, transfer
    from kerasuite.training import fit, precision

    num_classes, replicas = len(train.class_names), strategy.num_replicas_in_sync
    head = transfer.head(base.model.output_shape[-1], num_classes, dropout=config.dropout)

    def build() -> keras.Model:
        network = encoders.copied(base.model)
        if config.tuning == "lora":
            encoders.add_lora(network, config.lora_rank)
        else:
            encoders.freeze_below(network, config.layers_tuned)
        return transfer.joined([network], transfer.copied(head, in_policy=False))

    def plan(examples: Examples, times: int, shuffle: bool) -> lengths.LengthPlan:
        return lengths.LengthPlan(
            text.lengths_of(examples, prepare),
            times * config.batch_tokens,
            times * config.batch_size,
            config.seed,
            shuffle,
            replicas,
        )

    planned = plan(train, 1, shuffle=True)
    epochs = num_epochs(config, planned.steps_per_epoch)
    weights = batches.class_weights(config.class_weights, train.labels, num_classes)
    training = batches.starting_at(train, prepare, planned, class_weights=weights)
    loss, measures = objective(config)
    arithmetic = run_directory.remember(
        run_dir, "precision", lambda: precision.choose(config.precision, build, training, loss)
    )
    keras.utils.set_random_seed(config.seed)
    fitted = fit.fit(
        build,
        training,
        batches.training(validation, prepare, plan(validation, 4, shuffle=False), epochs=1),
        loss=loss,
        measures=measures,
        optimizers=partial(rate_groups, config, epochs * planned.steps_per_epoch),
        epochs=epochs,
        steps_per_epoch=planned.steps_per_epoch,
        run_dir=run_dir,
        strategy=strategy,
        precision=arithmetic["used"],
        patience=config.patience,
        checkpoint_seconds=config.checkpoint_seconds,
    )
    *_, network, tuned = fitted.model.layers
    head.set_weights(tuned.get_weights())
    network = encoders.merged(base.model, network) if config.tuning == "lora" else network
    return replace(fitted, model=transfer.joined([network], head))


def num_epochs(config: config.Settings, steps_per_epoch: int) -> int:
    """As many as the settings say, or as make a thousand steps, within bounds.

    Mosbach et al. (2021), On the stability of fine-tuning BERT, arXiv:2006.04884: few rows want more passes, twenty
    where three are usual.
    """
    least, most = (20, 100) if config.layers_tuned == 0 else (3, 20)
    return config.epochs or min(max(-(-ENOUGH_STEPS // steps_per_epoch), least), most)


def objective(config: config.Settings) -> tuple[Callable, dict[str, Callable]]:
    """The loss of a row, and what else is measured of it."""
    from kerasuite.training import losses

    if config.multi_label:
        return losses.binary_cross_entropy(config.label_smoothing), {"accuracy": losses.label_accuracy}
    return losses.cross_entropy(config.label_smoothing), {"accuracy": losses.accuracy}


def rate_groups(config: config.Settings, total_steps: int, model: keras.Model) -> list[tuple[Any, Sequence[Any]]]:
    """(optimizer, variables) of the head and of each depth of the encoder: the deeper, the slower.

    Howard and Ruder (2018), arXiv:1801.06146, section 3.2; Clark et al. (2020), arXiv:2003.10555, has 0.8 a layer for
    small encoders and 0.9 for large ones.
    """
    from kerasuite.models import encoders
    from kerasuite.training import optimizers

    def group(rate: float, variables: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
        schedule = optimizers.schedule("warmup_linear", rate, total_steps)
        return optimizers.optimizer("adamw", schedule, weight_decay=config.weight_decay), variables

    *_, network, head = model.layers
    variables = network.trainable_variables
    depths = encoders.depths(variables)
    groups = [group(config.head_rate, head.trainable_variables)]
    for depth in sorted(set(depths), reverse=True):
        rate = config.learning_rate * config.layer_decay ** (max(depths) - depth)
        groups.append(group(rate, [variable for variable, own in zip(variables, depths) if own == depth]))
    return groups


def fit_head(
    config: config.Settings,
    base: Encoder,
    prepare: TextPreparation,
    train: Examples,
    validation: Examples,
    run_dir: Path,
    strategy: tf.distribute.Strategy,
) -> Fitted:
    """Run the encoder once over every text, and train a head on the vectors."""
    import keras

    from kerasuite.data import batches
    from kerasuite.data.features import FeaturePreparation, examples_of
    from kerasuite.models import encoders, transfer
    from kerasuite.training import fit, optimizers

    network = frozen_network(config, base, prepare, run_dir)
    found = [vectors(config, part, prepare, network) for part in (train, validation)]
    num_classes = len(train.class_names)
    head = transfer.head(base.model.output_shape[-1], num_classes, dropout=config.dropout)
    transfer.standardise(head, found[0])

    def build() -> keras.Model:
        return transfer.joined([], transfer.copied(head, in_policy=False))

    plan, own = Plan(len(train), config.batch_size, config.seed), FeaturePreparation()
    parts = [examples_of(part, column) for part, column in zip((train, validation), found)]
    weights = batches.class_weights(config.class_weights, train.labels, num_classes)
    epochs = num_epochs(config, plan.steps_per_epoch)
    rate = optimizers.schedule("warmup_linear", config.head_rate, epochs * plan.steps_per_epoch)
    loss, measures = objective(config)
    keras.utils.set_random_seed(config.seed)
    fitted = fit.fit(
        build,
        batches.starting_at(parts[0], own, plan, class_weights=weights),
        batches.training(parts[1], own, Plan(len(validation), 1024, 0, shuffle=False), epochs=1),
        loss=loss,
        measures=measures,
        optimizers=lambda model: [
            (optimizers.optimizer("adamw", rate, weight_decay=config.weight_decay), model.trainable_variables)
        ],
        epochs=epochs,
        steps_per_epoch=plan.steps_per_epoch,
        run_dir=run_dir,
        strategy=strategy,
        patience=config.patience,
        checkpoint_seconds=config.checkpoint_seconds,
    )
    head.set_weights(fitted.model.layers[-1].get_weights())
    return replace(fitted, model=transfer.joined([encoders.copied(base.model)], head))


def frozen_network(config: config.Settings, base: Encoder, prepare: TextPreparation, run_dir: Path):
    """The encoder as one function with constant weights, in the arithmetic that is fastest here."""
    import tensorflow as tf

    from kerasuite.data.features import Network

    arithmetic = run_directory.remember(
        run_dir,
        "precision of the frozen encoder",
        lambda: frozen.choose(config.precision, base.model, _some_texts(base)),
    )
    key = f"{__version__} {tf.__version__} {base.digest} {prepare.max_length} {arithmetic['used']}"
    return Network(frozen.forward(base.model, arithmetic["used"]), base.model.output_shape[1:], key)


def _some_texts(base: Encoder) -> tf.Tensor:
    """A batch to measure an encoder with."""
    import tensorflow as tf

    return tf.fill([BATCH_SIZE], "a text " * 16) if base.takes_strings else tf.fill([BATCH_SIZE, 32], base.start)


def vectors(config: config.Settings, examples: Examples, prepare: TextPreparation, network) -> np.ndarray:
    """What the network says of every text, float32 (n, dim): from the cache where there is room."""
    from kerasuite.data import features, text

    order = np.argsort(-text.lengths_of(examples, prepare), kind="stable")
    some, column = examples.take(order), None
    if config.cache_gb:
        folder = Path(config.cache).expanduser() if config.cache else features.default_folder()
        store = features.FeatureCache(folder, int(config.cache_gb * 2**30))
        with progress.bar("Passing texts through the encoder") as shown:
            column = store.features(some, prepare, network, progress=shown)
    found = features.worked_out(some, prepare, network) if column is None else np.asarray(column)
    return found[np.argsort(order)]


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
