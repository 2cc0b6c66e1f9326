"""Texts to token ids: tokenised once, cut to a length, padded batch by batch; the same ops in training and serving."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text

from kerasuite.columns import Ragged
from kerasuite.contracts import Examples
from kerasuite.data import kept
from kerasuite.errors import InputError
from kerasuite.scripts import WORD

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
TEXT, TOKEN_IDS, NUM_TOKENS = "text", "token_ids", "num_tokens"
BATCH_SIZE = 256
LIMIT_BYTES = 2**30
_FEWEST_CHARACTERS = 1000
# BERT takes words of at most 100 characters, which are up to three bytes each in scripts without spaces.
_LONGEST_WORD_BYTES = 300

Tokenize = Callable[[tf.Tensor], tf.RaggedTensor]


@dataclass(frozen=True)
class Vocabulary:
    """How texts become token ids for one encoder.

    Args:
        tokenize: strings (batch,) to ids, int32 (batch, None), without start and end; in TensorFlow ops. A layer or
            tf.Module, so that what it holds is exported with it.
        start, end, pad: ids of what stands before and after a text, and behind the end of a shorter one.
        longest: most tokens that the encoder takes, start and end counted.
        key: tells it from every other; two without one are taken for the same.
    """

    tokenize: Tokenize
    start: int
    end: int
    pad: int
    longest: int
    key: str = ""


def learnt_pieces(examples: Examples, size: int) -> list[str]:
    """A vocabulary for WordPiece learnt from texts, lower case, with at most so many pieces; padding is the first.

    Raises:
        InputError: the texts have too little in them to learn from.
    """
    return kept.once(examples, f"pieces {size}", lambda: _learnt_pieces(examples, size))


def _learnt_pieces(examples: Examples, size: int) -> list[str]:
    from tensorflow_text.tools.wordpiece_vocab.bert_vocab_from_dataset import bert_vocab_from_dataset

    texts = tf.data.Dataset.from_tensor_slices(examples.inputs[TEXT].astype(object)).batch(BATCH_SIZE)
    texts = texts.map(partial(normalised, lowercase=True))
    # A character is two pieces, one for the beginning of a word and one for elsewhere: half of a large vocabulary, and
    # all of a small one. The learner takes one more of them than it is told.
    most = (size - len(SPECIAL)) // 2 - 1
    characters = {"max_unique_chars": min(max(size // 4, _FEWEST_CHARACTERS), most)}
    try:
        return bert_vocab_from_dataset(texts, size, list(SPECIAL), {}, characters)
    # Its search for a threshold ends in errors of its own where there are hardly any words.
    except (ValueError, IndexError, RuntimeError) as fault:
        raise InputError(
            f"No vocabulary of {size} pieces can be learnt from {len(examples):,} training texts: {fault}. Pass "
            "another --vocabulary-size, or --encoder minilm."
        ) from fault


def normalised(texts: tf.Tensor, *, lowercase: bool) -> tf.Tensor:
    """What BERT's tokenizer makes of texts before it parts their words: strings of the same shape.

    Characters that nobody sees are left out, and spaces of any kind are plain ones. In lower case accents are left out
    too: as the tokenizer has it that was published with Devlin et al. (2018), arXiv:1810.04805. tensorflow-text's own
    switch for that also folds what only looks alike (NFKC): an ellipsis to three points, the commas of Chinese to those
    of English, which have vectors of their own.
    """
    texts = tf.strings.regex_replace(texts, r"[^\P{C}\t\n\r]|\x{FFFD}", "")
    texts = tf.strings.regex_replace(texts, r"[^\P{Z} ]", " ")
    if not lowercase:
        return texts
    apart = tf_text.normalize_utf8(tf.strings.lower(texts, "utf-8"), "NFD")
    return tf.strings.regex_replace(apart, r"\p{Mn}+", "")


class WordPiece(tf.Module):
    """BERT's tokenizer by one op of tensorflow-text, much faster than KerasHub's, which builds it of several.

    KerasHub's also takes words that a no-break space parts for one word, and syllables of Korean for unknown: this one
    gives what BERT's own does there. Words of up to 300 bytes are cut into pieces; for BERT those of over 100
    characters are unknown.

    Args:
        vocabulary: a piece for each id.
        lowercase: lower the case and strip accents first.
    """

    def __init__(self, vocabulary: Sequence[str], lowercase: bool):
        super().__init__(name="word_piece")
        self._tokenizer = tf_text.FastBertTokenizer(
            list(vocabulary),
            max_bytes_per_word=_LONGEST_WORD_BYTES,
            token_out_type=tf.int32,
        )
        self._lowercase = lowercase

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Strings (batch,) to ids, int32 (batch, None)."""
        return self._tokenizer.tokenize(normalised(texts, lowercase=self._lowercase))


class TextPreparation(tf.Module):
    """Token ids of texts, cut to a length.

    Args:
        vocabulary: of the encoder.
        max_length: tokens of a text at most, start and end counted.
    """

    encoded_column = TOKEN_IDS

    def __init__(self, vocabulary: Vocabulary, max_length: int):
        super().__init__(name="text_preparation")
        self.vocabulary, self.max_length = vocabulary, min(max_length, vocabulary.longest)
        # Tracked, so that its tables are exported.
        self._tokenize = vocabulary.tokenize

    def is_encoded(self, examples: Examples) -> bool:
        """Whether the texts are tokenised: `tokenised` does that, since ids of one row after another are slow."""
        return TOKEN_IDS in examples.inputs

    def encode(self, row: dict[str, tf.Tensor]) -> tf.Tensor:
        """The ids of one text, int32 (tokens,)."""
        return self.ids(row[TEXT][None])[0][0]

    def ids(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """Strings (batch,) to ids with start and end, int32 (batch, None), and how many each had before the cut."""
        words = self._tokenize(texts)
        counts = words.row_lengths() + 2
        words = words[:, : self.max_length - 2]
        edge = lambda id: tf.fill([words.nrows(), 1], tf.cast(id, words.dtype))  # noqa: E731
        return tf.concat([edge(self.vocabulary.start), words, edge(self.vocabulary.end)], axis=1), counts

    def collate(self, rows: tf.RaggedTensor) -> tf.Tensor:
        """Ids to int32 (batch, tokens), padded to the longest."""
        return rows.to_tensor(self.vocabulary.pad)

    def serve_batch(self, raw: tf.Tensor) -> tf.RaggedTensor:
        """Strings (batch,) to int32 (batch, None), which `collate` pads."""
        return self.ids(raw)[0]


class WholeTexts(tf.Module):
    """Texts as they are, for an encoder that makes token ids by itself."""

    encoded_column, max_length = TEXT, 2**31 - 1

    def is_encoded(self, examples: Examples) -> bool:
        """There is nothing to encode."""
        return True

    def encode(self, row: dict[str, tf.Tensor]) -> tf.Tensor:
        """The text, a string."""
        return row[TEXT]

    def collate(self, rows: tf.Tensor) -> tf.Tensor:
        """Strings (batch,), as they are."""
        return rows

    serve_batch = collate


def lengths_of(examples: Examples, prepare: TextPreparation | WholeTexts) -> np.ndarray:
    """Tokens of each tokenised text as it is trained on, int (n,)."""
    return np.minimum(examples.facts[NUM_TOKENS], prepare.max_length)


def tokenised(examples: Examples, prepare: TextPreparation | WholeTexts, limit_bytes: int = LIMIT_BYTES) -> Examples:
    """The examples with token ids in place of texts; how many tokens each had before the cut becomes a fact.

    Args:
        prepare: of whole texts, the texts stay, and their words are counted.
        limit_bytes: ids that take more lie in a temporary file, not in memory.
    """
    if isinstance(prepare, WholeTexts):
        words = np.array([len(re.findall(WORD, text)) for text in examples.inputs[TEXT]], np.int32)
        return replace(examples, facts=examples.facts | {NUM_TOKENS: words})
    key = f"tokens {prepare.vocabulary.key} {prepare.max_length}"
    return kept.once(examples, key, lambda: _tokenised(examples, prepare, limit_bytes))


def _tokenised(examples: Examples, prepare: TextPreparation, limit_bytes: int) -> Examples:
    texts = tf.data.Dataset.from_tensor_slices(examples.inputs[TEXT].astype(object)).batch(BATCH_SIZE)
    batches = texts.map(prepare.ids, tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)
    lengths, counts = [], []
    with tempfile.SpooledTemporaryFile(limit_bytes) as file:
        for ids, number in batches:
            file.write(ids.values.numpy().astype(np.int32).tobytes())
            lengths.append(ids.row_lengths().numpy())
            counts.append(number.numpy())
        values = _values(file, is_on_disk=file.tell() > limit_bytes)
    column = Ragged(values, np.concatenate([[0], np.cumsum(np.concatenate(lengths))]))
    facts = examples.facts | {NUM_TOKENS: np.concatenate(counts).astype(np.int32)}
    return replace(examples, inputs={TOKEN_IDS: column}, facts=facts)


def _values(file: tempfile.SpooledTemporaryFile, *, is_on_disk: bool) -> np.ndarray:
    if is_on_disk:
        # The file itself is gone from its folder already; it lives as long as this array.
        return np.memmap(file, np.int32, "r")
    file.seek(0)
    return np.frombuffer(file.read(), np.int32)


def cut_note(part: str, examples: Examples, max_length: int) -> str:
    """How many texts were cut, as a sentence; empty where none was."""
    counts = examples.facts[NUM_TOKENS]
    cut = int((counts > max_length).sum())
    if not cut:
        return ""
    lost = int(np.maximum(counts - max_length, 0).sum())
    return (
        f"{cut:,} of {len(counts):,} {part} texts ({cut / len(counts):.1%}) have over {max_length} tokens: they were "
        f"cut, which leaves out {lost / counts.sum():.1%} of all tokens."
    )
