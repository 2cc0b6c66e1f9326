import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from tokenizers import BertWordPieceTokenizer

from kerasuite.contracts import Examples
from kerasuite.data import batches
from kerasuite.data.lengths import LengthPlan
from kerasuite.data.text import (
    NUM_TOKENS,
    SPECIAL,
    TextPreparation,
    Vocabulary,
    WordPiece,
    cut_note,
    learnt_pieces,
    tokenised,
)

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film", "##s", "!", "cafe", "影", "한"]
TEXTS = ["Good films!", "bad", "Café 影影", "awful\u00a0film", "good " * 20, "[SEP] good"]
# By hand: 2 and 3 stand before and after.
IDS = [
    [2, 4, 6, 7, 8, 3],
    [2, 5, 3],
    [2, 9, 10, 10, 3],
    [2, 1, 6, 3],
    [2, *[4] * 6, 3],
    # Nobody can write the end of a text into a text.
    [2, 1, 1, 1, 4, 3],
]


@pytest.fixture(scope="module")
def prepare():
    vocabulary = Vocabulary(WordPiece(PIECES, lowercase=True), start=2, end=3, pad=0, longest=16)
    return TextPreparation(vocabulary, max_length=8)


def examples():
    return Examples({"text": np.array(TEXTS, object)}, np.array([0, 1, 0, 1, 0, 1]))


def test_texts_become_pieces_between_start_and_end_cut_to_the_length(prepare):
    found = tokenised(examples(), prepare)
    assert [row.tolist() for row in found.inputs["token_ids"]] == IDS
    assert found.facts[NUM_TOKENS].tolist() == [6, 3, 5, 4, 22, 6]
    assert found.labels.tolist() == [0, 1, 0, 1, 0, 1]


def test_what_is_served_is_what_was_trained_on(prepare):
    served = prepare.collate(prepare.serve_batch(tf.constant(TEXTS))).numpy()
    assert served.shape == (6, 8)
    for row, ids in zip(served, IDS):
        assert row.tolist() == ids + [0] * (8 - len(ids))


def test_capitals_count_in_training_as_in_serving_where_the_encoder_knows_them():
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "Good", "GOOD", "café"]
    cased = TextPreparation(Vocabulary(WordPiece(pieces, lowercase=False), start=2, end=3, pad=0, longest=16), 16)
    texts = ["Good café", "GOOD good"]
    trained = tokenised(Examples({"text": np.array(texts, object)}, np.array([0, 1])), cased)
    assert [ids.tolist() for ids in trained.inputs["token_ids"][np.arange(2)]] == [[2, 5, 7, 3], [2, 6, 4, 3]]
    assert cased.serve_batch(tf.constant(texts)).to_list() == [[2, 5, 7, 3], [2, 6, 4, 3]]


def test_ids_that_lie_in_a_file_are_the_same(prepare):
    on_disk = tokenised(examples(), prepare, limit_bytes=8).inputs["token_ids"]
    assert isinstance(on_disk.values, np.memmap)
    assert [row.tolist() for row in on_disk] == IDS


def test_batches_of_like_lengths_are_padded_to_their_own_longest(prepare):
    found = tokenised(examples(), prepare)
    plan = LengthPlan(found.inputs["token_ids"].lengths, max_tokens=12, max_rows=4, seed=0)
    seen = []
    for x, y, weight in batches.training(found, prepare, plan, epochs=1):
        assert x.shape[0] * x.shape[1] <= 12
        for ids, label, w in zip(x.numpy().tolist(), y.numpy(), weight.numpy()):
            row = IDS.index([id for id in ids if id])
            assert (label, w) == (row % 2, 1.0)
            seen.append(row)
    assert sorted(seen) == list(range(6))


def test_a_plan_that_starts_anywhere_goes_on_as_it_would_have(prepare):
    found = tokenised(examples(), prepare)
    plan = LengthPlan(found.inputs["token_ids"].lengths, max_tokens=12, max_rows=4, seed=0)
    whole = [x.numpy().tolist() for x, _, _ in batches.training(found, prepare, plan, epochs=3)]
    assert len(whole) == 3 * plan.steps_per_epoch
    for start in (1, plan.steps_per_epoch, 2 * plan.steps_per_epoch + 1):
        rest = batches.training(found, prepare, plan, epochs=3, start_step=start)
        assert [x.numpy().tolist() for x, _, _ in rest] == whole[start:]


def test_inference_keeps_every_row_in_order(prepare):
    found = tokenised(examples(), prepare)
    rows = [row for x in batches.inference(found, prepare, 4) for row in x.numpy().tolist()]
    assert [[id for id in row if id] for row in rows] == IDS


def test_what_was_cut_is_counted(prepare):
    found = tokenised(examples(), prepare)
    # 46 tokens in all, 14 of them beyond the eighth of their text.
    assert cut_note("test", found, 8) == (
        "1 of 6 test texts (16.7%) have over 8 tokens: they were cut, which leaves out 30.4% of all tokens."
    )
    assert cut_note("test", found, 22) == ""


def test_no_more_is_kept_than_the_encoder_takes():
    vocabulary = Vocabulary(WordPiece(PIECES, lowercase=True), start=2, end=3, pad=0, longest=4)
    served = TextPreparation(vocabulary, max_length=512).serve_batch(tf.constant(["good good good"]))
    assert served.row_lengths().numpy().tolist() == [4]


@pytest.mark.parametrize(
    "texts",
    [
        ["영화가 정말 좋다", "이 영화는 좋았다"],
        ["Ça va, crème brûlée", "İstanbul Straße"],
        # 1,500 characters.
        ["".join(chr(0x4E00 + k) for k in range(first, first + 50)) for first in range(0, 1500, 50)],
    ],
    ids=["Korean", "accents", "Chinese"],
)
def test_a_vocabulary_learnt_from_texts_knows_their_words(texts):
    rows = Examples({"text": np.array(texts * 20, object)}, np.zeros(20 * len(texts), int))
    pieces = learnt_pieces(rows, 8000)
    assert pieces[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    ids = WordPiece(pieces, lowercase=True)(tf.constant(texts)).flat_values.numpy()
    assert pieces.index("[UNK]") not in ids


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "wait… what?",
        "世界（上海）！，：",
        "m² and ½ cup of Straße",
        "ﬁne ﬂow ｆｕｌｌ Ⅷ №",
        "Café CAFÉ I\u0307stanbul",
        "हिन्दी की किताब مَرْحَبًا",
        "한국어 텍스트 日本語のがぎ ไทย",
        "tab\tnew\nline\r\0\7zero\u200bwidth no\u00a0break\u3000wide \ufeff \ufffd x",
        "😀 emoji 👩\u200d👧 don't stop-me_now",
    ],
)
def test_ids_are_those_of_hugging_faces_bert_tokenizer(text, lowercase):
    every = "".join(
        unicodedata.normalize(form, each) for form in ("NFC", "NFD", "NFKC") for each in (text, text.lower())
    )
    pieces = [*SPECIAL, *(mark + letter for letter in sorted(set(every) - set(" \t\n\r\0")) for mark in ("", "##"))]
    theirs = BertWordPieceTokenizer({piece: k for k, piece in enumerate(pieces)}, lowercase=lowercase)
    (ours,) = WordPiece(pieces, lowercase=lowercase)(tf.constant([text])).to_list()
    assert ours == theirs.encode(text, add_special_tokens=False).ids


def test_bytes_that_are_no_utf_8_are_no_end_of_a_text():
    (ids,) = WordPiece(PIECES, lowercase=True)(tf.constant([b"good \xff film \xc3 bad"])).to_list()
    assert [each for each in ids if each != 1] == [4, 6, 5]


def test_a_small_vocabulary_has_no_more_pieces_than_were_asked_for():
    texts = ["".join(chr(0x4E00 + k) for k in range(first, first + 50)) for first in range(0, 1500, 50)]
    rows = Examples({"text": np.array(["a good film", *texts] * 20, object)}, np.zeros(620, int))
    assert len(learnt_pieces(rows, 200)) <= 200


def test_a_word_of_a_hundred_characters_of_three_bytes_is_cut_into_pieces():
    pieces = WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "ก", "##ก"], lowercase=False)
    assert pieces(tf.constant(["ก" * 100, "ก" * 101])).to_list() == [[4, *[5] * 99], [1]]
