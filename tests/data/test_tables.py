import gzip

import polars as pl
import pytest

from kerasuite.data import tables
from kerasuite.errors import InputError

ROWS = [("good film", "1"), ('he said "no"', "0"), ("two\nlines, a comma", "1")]
FRAME = pl.DataFrame(ROWS, schema=["text", "label"], orient="row")


def saved(folder, name):
    path = folder / name
    if name.endswith(".parquet"):
        FRAME.write_parquet(path)
    elif name.endswith((".jsonl", ".ndjson")):
        FRAME.write_ndjson(path)
    else:
        FRAME.write_csv(path, separator="\t" if name.endswith(".tsv") else ",")
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.ndjson", "A.PARQUET".lower()])
def test_every_kind_gives_the_same_rows(tmp_path, name):
    table = tables.read(saved(tmp_path, name))
    assert table.frame.rows() == ROWS
    assert table.first_row == (2 if name.endswith("sv") else 1)
    assert table.notes == ()


def test_a_compressed_csv_is_read(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(saved(tmp_path, "a.csv").read_bytes()))
    assert tables.is_table(path)
    assert tables.read(path).frame.rows() == ROWS


def test_quotation_marks_that_enclose_nothing_are_plain_characters_in_a_tsv(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text('label\tsentence\n1\t" the end "\n0\t"unbalanced\n1\tit is 5" wide\n')
    table = tables.read(path)
    assert table.frame["sentence"].to_list() == ['" the end "', '"unbalanced', 'it is 5" wide']
    assert "plain characters" in table.notes[0]


def test_numbers_booleans_and_lists_become_text(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "label": 1, "tags": ["x", "y"], "ok": true}\n{"text": "b", "label": null}\n')
    assert tables.read(path).frame.rows() == [("a", "1", "x|y", "true"), ("b", None, None, None)]


def test_bytes_that_are_no_utf_8_are_marked(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("text,label\ncafé,1\n".encode("latin-1"))
    assert tables.NOT_TEXT in tables.read(path).frame["text"][0]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "text,label\na,1\nb,1,2\n", "Row 3 has more cells"),
        ("a.jsonl", '{"text": "a"}\nnothing\n', "line 2 is no JSON object: nothing"),
        ("a.jsonl", "", "is empty"),
        ("a.parquet", "no parquet", "cannot be read as parquet"),
        ("gone.csv", None, "No such file"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_with_the_reason(tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=words) as error:
        tables.read(path)
    assert str(path) in str(error.value)


def test_two_columns_of_a_wanted_name_are_refused(tmp_path):
    names = ["text", "Text ", "other", "Other"]
    assert tables.plain_names(tmp_path, names, ["label"])["text"] == "text"
    with pytest.raises(InputError, match=r"'text' and 'Text '"):
        tables.plain_names(tmp_path, names, ["text"])
