import os

import pytest

from kerasuite.contracts import Skipped
from kerasuite.data.text_columns import Columns
from kerasuite.data.text_sources import NOT_UTF8
from kerasuite.data.unlabelled_texts import texts, usable
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


def test_hidden_files_of_a_folder_are_no_texts_to_predict(tmp_path):
    for name in ("a.txt", ".ipynb_checkpoints/a-checkpoint.txt", "__MACOSX/._a.txt", ".b.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a good film")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere.txt")
    assert [name for name, _ in texts([str(tmp_path)])] == [str(tmp_path / "a.txt")]


def test_texts_to_predict_need_no_column_of_labels(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("review,stars\nso good,1\n")
    assert dict(texts([str(path)], Columns(None, "label"))) == {"a.csv[2]": "so good"}
    assert dict(texts([str(path)], Columns("stars"))) == {"a.csv[2]": "1"}
    assert dict(texts([str(path)], Columns("review"), column="stars")) == {"a.csv[2]": "1"}


def test_the_column_that_was_trained_on_is_taken_where_it_is_there_and_it_is_said(tmp_path):
    usual, said = Columns(usual={"text": "words", "label": "stars"}), []
    path = tmp_path / "a.csv"
    path.write_text("id,words,text\n7,so good,other\n")
    assert dict(texts([str(path)], usual, say=said.append)) == {"a.csv[2]": "so good"}
    assert said == ["Of a.csv, the column 'words' as the text is taken."]
    path.write_text("id,text\n7,other\n")
    assert dict(texts([str(path)], usual)) == {"a.csv[2]": "other"}
    assert dict(texts([str(path)], say=said.append)) == {"a.csv[2]": "other"}
    assert len(said) == 1  # and nothing of a label, of which there is no need
    assert dict(texts([str(path)], usual, column="id")) == {"a.csv[2]": "7"}


def test_texts_of_two_tables_of_one_name_have_names_of_their_own(tmp_path):
    for year in ("2023", "2024"):
        (tmp_path / year).mkdir()
        (tmp_path / year / "a.csv").write_text(f"text\nso {year}\n")
    found = texts([str(tmp_path / "2023" / "a.csv"), str(tmp_path / "2024")])
    assert dict(found) == {"2023/a.csv[2]": "so 2023", "2024/a.csv[2]": "so 2024"}


def test_names_of_files_that_are_not_utf_8_are_escaped_and_tables_of_such_names_refused(tmp_path):
    with open(os.path.join(os.fsencode(tmp_path), b"caf\xe9.txt"), "w") as file:
        file.write("so good")
    assert dict(texts([str(tmp_path)])) == {rf"{tmp_path}/caf\udce9.txt": "so good"}
    with open(os.path.join(os.fsencode(tmp_path), b"caf\xe9.csv"), "w") as file:
        file.write("text\nso good\n")
    with pytest.raises(InputError, match=r"caf\\udce9.csv is not UTF-8: rename it"):
        dict(texts([str(tmp_path)]))


def test_half_a_character_is_named():
    assert usable("text[1]", "caf\udce9") == Skipped("text[1]", NOT_UTF8)
    assert usable("text[1]", "café") == "café"


def test_a_file_that_is_not_there_is_refused_before_another_is_read(tmp_path):
    (tmp_path / "a.csv").write_text("text\nso good\n")
    with pytest.raises(InputError, match="nowhere.csv is neither"):
        next(texts([str(tmp_path / "a.csv"), "nowhere.csv"]))


def test_commas_in_a_tsv_of_one_column_part_nothing(tmp_path):
    (tmp_path / "a.tsv").write_text("text\nso good, really\n")
    assert dict(texts([str(tmp_path / "a.tsv")])) == {"a.tsv[2]": "so good, really"}


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


def test_the_column_of_labels_is_no_column_of_texts(tmp_path):
    (tmp_path / "a.csv").write_text("text,score\na,1\n")
    with pytest.raises(InputError, match=r"'score' of .* both the texts and the labels. Name another by --column"):
        list(texts([str(tmp_path / "a.csv")], Columns(None, "score", flag="--column"), column="score"))
