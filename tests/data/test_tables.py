import datetime
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


def test_numbers_booleans_and_lists_become_text(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "label": 1, "tags": ["x", "y"], "ok": true}\n{"text": "b", "label": null}\n')
    assert tables.read(path).frame.rows() == [
        ("a", "1", f"{tables.LISTED}x{tables.LISTED}y", "true"),
        ("b", None, None, None),
    ]


def test_lists_beside_strings_in_one_column_are_lists(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"label": "a"}\n{"label": ["a", "b c"]}\n{"label": "[b]"}\n\n{}\n{"label": []}\n{"label": 3}\n')
    found = tables.read(path).frame["label"].to_list()
    assert found == ["a", f"{tables.LISTED}a{tables.LISTED}b c", "[b]", None, tables.LISTED, "3"]
    assert [tables.members(each) for each in found if each] == [None, ["a", "b c"], None, [], None]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (["1", '{"k": 1}'], ["1", '{"k": 1}']),
        (["[]", "{}"], [tables.LISTED, "{}"]),
        (["true", "0"], ["true", "0"]),
        (["1", "[1, 2]"], ["1", f"{tables.LISTED}1{tables.LISTED}2"]),
        (["NaN", "2.0", "3"], [None, "2", "3"]),
        (["7612345678901234567", "true"], ["7612345678901234567", "true"]),
    ],
)
def test_values_of_several_types_in_one_column_of_jsonl_are_text(tmp_path, values, texts):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"text": "\\ud83d a", "score": 0.5, "any": {value}}}\n' for value in values))
    frame = tables.read(path).frame
    assert frame["any"].to_list() == texts
    assert frame["text"].to_list() == [tables.sound("\ud83d a")] * len(values)
    assert frame["score"].to_list() == ["0.5"] * len(values)


def test_half_a_pair_of_surrogates_is_no_character(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(r'{"text": "a \ud83d b"}' + "\n" + r'{"text": "a \ud83d\ude00 b"}')
    half, whole = tables.read(path).frame["text"]
    assert tables.NOT_TEXT in half
    assert whole == "a \N{GRINNING FACE} b"


def test_columns_of_any_kind_become_text(tmp_path):
    frame = pl.DataFrame(
        {
            "spans": [[[1, 2], [3]], None],
            "span": [{"from": 1}, {"from": 2}],
            "time": [datetime.timedelta(seconds=90), None],
            "large": [1e19, 2.0],
            "scores": [[0.5, None], []],
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    assert tables.read(tmp_path / "a.parquet").frame.to_dict(as_series=False) == {
        "spans": [f"{tables.LISTED}[1, 2]{tables.LISTED}[3]", None],
        "span": ['{"from": 1}', '{"from": 2}'],
        "time": ["0:01:30", None],
        "large": ["1e+19", "2.0"],
        "scores": [f"{tables.LISTED}0.5", tables.LISTED],
    }
    frame.drop("time").write_ndjson(tmp_path / "a.jsonl")
    assert tables.read(tmp_path / "a.jsonl").frame["spans"].to_list()[0] == f"{tables.LISTED}[1, 2]{tables.LISTED}[3]"


def test_whole_numbers_that_came_as_floats_are_whole_again(tmp_path):
    pl.DataFrame({"text": ["a", "b", "c"], "label": [1.0, None, 0.0], "score": [0.5, 1.0, None]}).write_parquet(
        tmp_path / "a.parquet"
    )
    frame = tables.read(tmp_path / "a.parquet").frame
    assert frame["label"].to_list() == ["1", None, "0"]
    assert frame["score"].to_list() == ["0.5", "1.0", None]


def test_not_a_number_is_a_cell_with_nothing_in_it(tmp_path):
    nan = float("nan")
    pl.DataFrame({"user": [1.0, nan, 2.0], "score": [0.5, nan, float("inf")]}).write_parquet(tmp_path / "a.parquet")
    frame = tables.read(tmp_path / "a.parquet").frame
    assert frame["user"].to_list() == ["1", None, "2"]
    assert frame["score"].to_list() == ["0.5", None, "inf"]


def test_bad_bytes_of_jsonl_and_parquet_spoil_their_own_row_alone(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "caf\xe9"}\n{"text": "fine\xe2\x80\xa8text"}\n')
    pl.DataFrame({"text": [b"caf\xe9", "fine\u2028text".encode()]}).write_parquet(tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.parquet"):
        assert tables.read(tmp_path / name).frame["text"].to_list() == [f"caf{tables.NOT_TEXT}", "fine\u2028text"]


def test_a_broken_archive_is_refused_with_a_reason(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(b"text,label\n")
    with pytest.raises(InputError, match=r"a.csv.gz cannot be read: \w+"):
        tables.read(tmp_path / "a.csv.gz")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "", "is empty"),
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
