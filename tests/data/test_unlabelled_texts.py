import pytest

from kerasuite.data.text_columns import Columns
from kerasuite.data.text_sources import NOT_UTF8
from kerasuite.data.unlabelled_texts import texts
from kerasuite.errors import InputError


def test_texts_to_predict_are_found_as_those_to_train_on_and_bad_ones_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"phrase,label\nso good,1\n,0\n" + "caf\xe9,1\n".encode("latin-1"))
    found = dict(texts([str(path)], Columns(None, "label")))
    assert found["a.csv[2]"] == "so good"
    assert [(each.id, each.reason) for each in (found["a.csv[3]"], found["a.csv[4]"])] == [
        ("a.csv[3]", "no text"),
        ("a.csv[4]", NOT_UTF8),
    ]


def test_texts_to_predict_need_no_column_of_labels(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("review,stars\nso good,1\n")
    assert dict(texts([str(path)], Columns(None, "label"))) == {"a.csv[2]": "so good"}
    assert dict(texts([str(path)], Columns("stars"))) == {"a.csv[2]": "1"}
    assert dict(texts([str(path)], Columns("review"), column="stars")) == {"a.csv[2]": "1"}


def test_a_column_that_is_not_there_is_refused_by_the_flag_that_named_it(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("so good\n")
    with pytest.raises(InputError, match=r"no column 'review' \(--column\); it has 'so good'"):
        list(texts([str(path)], Columns(flag="--column"), column="review"))


def test_it_is_said_that_a_first_line_was_taken_as_a_name(tmp_path):
    path, said = tmp_path / "a.csv", []
    path.write_text("so good\nso bad\n")
    assert dict(texts([str(path)], say=said.append)) == {"a.csv[2]": "so bad"}
    assert said == ["The first line of a.csv, 'so good', is taken as the name of its column, not as a text."]
    path.write_text("review\nso bad\n")
    assert dict(texts([str(path)], say=said.append)) == {"a.csv[2]": "so bad"}
    assert len(said) == 1
