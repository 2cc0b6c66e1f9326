import os

import polars as pl
import pytest

from kerasuite.data import splits
from kerasuite.data.text_columns import Columns
from kerasuite.data.text_sources import NOT_UTF8, labelled_texts, text_of, text_splits
from kerasuite.errors import InputError

ROWS = "".join(f"film {k} is good,pos\nfilm {k} is bad,neg\n" for k in range(6))


def saved(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def refused(data, *words, **options):
    with pytest.raises(InputError) as error:
        text_splits([data], **options)
    for word in words:
        assert word in str(error.value)


def test_rows_of_a_table_become_examples_with_their_row_numbers_as_ids(tmp_path):
    source = text_splits([saved(tmp_path / "a.csv", "text,label\n" + ROWS)])
    assert source.train.class_names == ("neg", "pos")
    assert source.train.inputs["text"][:2].tolist() == ["film 0 is good", "film 0 is bad"]
    assert source.train.labels[:2].tolist() == [1, 0]
    # As a spreadsheet counts: the names of the columns are row 1.
    assert (source.train.ids[0], source.train.ids[11]) == ("a.csv[2]", "a.csv[13]")
    assert (source.validation, source.test, source.skipped, source.notes) == (None, None, (), ())


@pytest.mark.parametrize(
    ("names", "columns", "note"),
    [
        ("sentence,label", Columns(), "'sentence' as the text"),
        ("Review,Sentiment", Columns(), "'Review' as the text and 'Sentiment' as the label"),
        ("text,stars", Columns(), "'stars' as the label"),
        ("words,label", Columns(), "'words' as the text"),
        ("a,b", Columns("a", "b"), None),
        ("label,text", Columns("label", "text"), None),
    ],
)
def test_columns_are_guessed_where_that_is_clear_and_it_is_said(tmp_path, names, columns, note):
    source = text_splits([saved(tmp_path / "a.csv", f"{names}\n{ROWS}")], columns=columns)
    assert source.train.inputs["text"][0] == "film 0 is good"
    assert source.train.class_names == ("neg", "pos")
    assert [note] == [words for words in [note] if words and words in source.notes[0]] or source.notes == ()


@pytest.mark.parametrize(
    ("names", "columns", "words"),
    [
        ("a,b", Columns(), ("'a', 'b'", "--text-column")),
        ("text,a,b", Columns(), ("--label-column", "'a', 'b'")),
        ("text,label", Columns("words"), ("no column 'words'", "'text', 'label'")),
        ("text,label", Columns("text", "text"), ("'text'", "both the texts and the labels")),
        ("label,Label", Columns(), ("'label' and 'Label'",)),
        ("review,comment,label", Columns(), ("--text-column", "'review' and 'comment' may be it")),
        ("text,category,sentiment", Columns(), ("--label-column", "'category' and 'sentiment' may be it")),
    ],
)
def test_columns_that_are_not_clear_are_refused_with_those_there_are(tmp_path, names, columns, words):
    width = names.count(",") + 1
    rows = "".join(",".join(["x"] * width) + "\n" for _ in range(4))
    refused(saved(tmp_path / "a.csv", f"{names}\n{rows}"), *words, columns=columns)


def test_rows_that_cannot_be_used_are_named_with_the_reason(tmp_path):
    content = f"text,label\n{ROWS}  ,pos\nno label,\n".encode() + "caf\xe9,pos\n".encode("latin-1")
    source = text_splits([saved(tmp_path / "a.csv", content)])
    assert [tuple(skipped) for skipped in source.skipped] == [
        ("a.csv[14]", "no text"),
        ("a.csv[15]", "no label"),
        ("a.csv[16]", NOT_UTF8),
    ]
    assert len(source.train) == 12


def test_quotes_commas_and_newlines_within_a_cell_are_part_of_the_text(tmp_path):
    source = text_splits([saved(tmp_path / "a.csv", f'text,label\n"one, ""two""\nthree",pos\n{ROWS}')])
    assert source.train.inputs["text"][0] == 'one, "two"\nthree'
    assert len(source.train) == 13


def test_split_and_group_columns_are_honoured(tmp_path):
    rows = ["a,pos,x,train", "b,neg,y,train", "c,pos,z,dev", "d,neg,,valid", "e,pos,w,TEST", "f,neg,,"]
    source = text_splits([saved(tmp_path / "a.csv", "\n".join(["text,label,group,subset", *rows]))])
    texts = {name: part.inputs["text"].tolist() for name, part in source.parts.items()}
    assert texts == {"train": ["a", "b", "f"], "validation": ["c", "d"], "test": ["e"]}
    assert source.train.groups.tolist() == ["x", "y", "only a.csv[7]"]


def test_an_unknown_part_is_refused_by_row(tmp_path):
    refused(
        saved(tmp_path / "a.csv", "text,label,split\na,pos,train\nb,neg,holdout\n"), "row 3 has 'holdout'", "validation"
    )


def test_several_files_are_one_data_set_with_one_numbering(tmp_path):
    saved(tmp_path / "1.csv", "text,label\na,2\nb,10\ng,2\n")
    saved(tmp_path / "2.csv", "text,label\nc,1\nd,2\ne,10\nf,1\nh,10\ni,1\n")
    source = text_splits([str(tmp_path / "*.csv")])
    assert source.train.class_names == ("1", "2", "10")
    assert source.train.labels.tolist() == [1, 2, 1, 0, 1, 2, 0, 2, 0]
    assert source.train.ids.tolist()[2:4] == ["1.csv[4]", "2.csv[2]"]


def test_test_and_validation_data_are_files_of_their_own(tmp_path):
    train, other = (saved(tmp_path / name, f"text,label\n{ROWS}") for name in ("a.csv", "b.csv"))
    source = text_splits([train], validation=[other], test=[other])
    assert [len(part) for part in source.parts.values()] == [12, 12, 12]
    split = saved(tmp_path / "c.csv", "text,label,split\n" + ROWS.replace("\n", ",train\n") + "x,pos,test\n")
    refused(split, "has a part test already", test=[other])


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    data, test = (
        saved(tmp_path / "2023" / "a.csv", "text,label\n" + ROWS),
        saved(tmp_path / "2024" / "a.csv", "text,label\n" + ROWS),
    )
    source = text_splits([data], test=[test])
    assert (source.train.ids[0], source.test.ids[0]) == ("2023/a.csv[2]", "2024/a.csv[2]")
    splits.refuse_overlap(**{part: rows for part, rows in source.parts.items() if rows is not None})
    twice = text_splits([data], test=[data])
    with pytest.raises(InputError, match="stand both in train and in test"):
        splits.refuse_overlap(train=twice.train, test=twice.test)


def test_a_name_with_the_signs_of_a_pattern_is_one_file(tmp_path):
    for name in ("a[1].csv", "a1.csv"):
        saved(tmp_path / name, f"text,label\n{ROWS}{name},pos\n")
    source = text_splits([str(tmp_path / "a[1].csv")])
    assert source.train.inputs["text"][-1] == "a[1].csv"


def test_tables_named_by_their_part_are_its_parts(tmp_path):
    saved(tmp_path / "sst" / "train.tsv", "label\tsentence\n" + "".join(f"{k % 2}\tfilm {k}\n" for k in range(8)))
    saved(tmp_path / "sst" / "dev.tsv", "label\tsentence\n0\ta\n1\tb\n")
    source = text_splits([str(tmp_path / "sst")])
    assert {name: len(part) for name, part in source.parts.items()} == {"train": 8, "validation": 2}


def test_class_folders_of_texts_are_read_and_those_without_a_label_left_out(tmp_path):
    for part in ("train", "test"):
        for name in ("pos", "neg"):
            for k in range(3):
                saved(tmp_path / part / name / f"{k}.txt", f"{part} {name}\n{k}")
    saved(tmp_path / "train" / "unsup" / "0.txt", "no label")
    saved(tmp_path / "train" / "neg" / "bad.txt", b"\xff\xfe bad")
    source = text_splits([str(tmp_path)])
    assert source.train.ids.tolist()[:2] == ["train/neg/0.txt", "train/neg/1.txt"]
    assert source.train.inputs["text"][0] == "train neg\n0"
    assert (source.train.class_names, len(source.train), len(source.test)) == (("neg", "pos"), 6, 6)
    assert [tuple(skipped) for skipped in source.skipped] == [("train/neg/bad.txt", NOT_UTF8)]
    assert source.notes == ("1 texts of train in unsup have no label: not used.",)


def test_other_tables_beside_the_parts_are_named(tmp_path):
    for name in ("train.csv", "test.csv", "notes.csv"):
        saved(tmp_path / name, "text,label\n" + ROWS)
    assert any("notes.csv" in note and "not read" in note for note in text_splits([str(tmp_path)]).notes)


def test_lists_of_labels_want_to_be_asked_for(tmp_path):
    rows = "".join(f'{{"text": "t {k}", "label": ["a", "b"]}}\n' for k in range(9))
    refused(saved(tmp_path / "a.jsonl", rows), "[a, b]", "--multi-label")


def test_of_two_columns_of_one_name_the_flag_says_which(tmp_path):
    path = saved(tmp_path / "a.csv", "Text,text,label\n" + "".join(f"T {k},t {k},{k % 2}\n" for k in range(8)))
    refused(path, "'Text' and 'text'")
    assert text_splits([path], columns=Columns("Text")).train.inputs["text"][0] == "T 0"


def test_lists_of_labels_beside_strings_are_lists(tmp_path):
    rows = "".join(
        f'{{"text": "t {k}", "label": {names}}}\n' for k, names in enumerate(['"a"', '["a", "b"]', '"b"'] * 3)
    )
    train = text_splits([saved(tmp_path / "a.jsonl", rows)], columns=Columns(between="|")).train
    assert train.class_names == ("a", "b")
    assert train.labels.tolist() == [[1, 0], [1, 1], [0, 1]] * 3


def test_lists_as_pandas_writes_them_into_a_csv_are_lists(tmp_path):
    cells = ["['a', \"it's b|c\"]", "['a']", "[]"] * 3
    pl.DataFrame({"text": [f"t {k}" for k in range(9)], "label": cells}).write_csv(tmp_path / "a.csv")
    train = text_splits([str(tmp_path / "a.csv")], columns=Columns(between="|")).train
    assert train.class_names == ("a", "it's b|c")
    assert train.labels.tolist() == [[1, 1], [1, 0], [0, 0]] * 3
    refused(str(tmp_path / "a.csv"), "[a, it's b|c]", "--multi-label")


@pytest.mark.parametrize("names", [("[POS]", "[NEG]"), ("1.5", "2.0"), ("['a' 'b']", "['c']")])
def test_labels_that_are_no_lists_and_no_whole_numbers_stay_as_they_are(tmp_path, names):
    rows = "".join(f"t {k},{names[k % 2]}\n" for k in range(8))
    assert set(text_splits([saved(tmp_path / "a.csv", "text,label\n" + rows)]).train.class_names) == set(names)


def test_whole_numbers_that_pandas_wrote_with_a_point_are_those_without(tmp_path):
    whole = saved(tmp_path / "a.csv", "text,label\n" + "".join(f"t {k},{k % 2}\n" for k in range(8)))
    point = saved(tmp_path / "b.csv", "text,label\nlost,\n" + "".join(f"u {k},{k % 2}.0\n" for k in range(8)))
    source = text_splits([whole, point])
    assert source.train.class_names == ("0", "1")
    assert len(source.train) == 16


@pytest.mark.parametrize(
    ("names", "said"), [(("Good", "good"), "'Good' and 'good'"), (("1", "01"), "'01' and '1'"), (("1", "2"), "")]
)
def test_classes_that_may_be_meant_as_one_are_named(tmp_path, names, said):
    rows = "".join(f"t {k},{names[k % 2]}\n" for k in range(8))
    notes = text_splits([saved(tmp_path / "a.csv", "text,label\n" + rows)]).notes
    assert [said in note for note in notes if "differ only in capitals" in note] == ([True] if said else [])


def test_several_labels_want_one_at_least(tmp_path):
    path = saved(tmp_path / "a.csv", "text,labels,tags\n" + "".join(f"t {k},,x\n" for k in range(9)))
    with pytest.raises(InputError, match=r"a.csv has a label in the column 'labels'.*--label-column"):
        text_splits([path], columns=Columns(between="|"))


def test_a_class_folder_that_is_not_utf_8_is_skipped_by_name(tmp_path):
    for name in (b"a", b"b", b"caf\xe9"):
        folder = os.path.join(os.fsencode(tmp_path), name)
        os.mkdir(folder)
        for k in range(4):
            with open(os.path.join(folder, b"%d.txt" % k), "w") as file:
                file.write(f"text {k} of {name}")
    source = text_splits([str(tmp_path)])
    assert source.train.class_names == ("a", "b")
    assert [each.id for each in source.skipped] == [rf"caf\udce9/{k}.txt" for k in range(4)]
    assert {each.reason for each in source.skipped} == {NOT_UTF8}


def test_one_text_in_a_folder_is_called_by_its_file(tmp_path):
    for part, number in (("train", 5), ("test", 1)):
        for name in "ab" if part == "train" else "a":
            (tmp_path / part / name).mkdir(parents=True)
            for k in range(number):
                (tmp_path / part / name / f"{k}.txt").write_text(f"{part} {name} {k}")
    assert [*text_splits([str(tmp_path)]).test.ids] == ["test/a/0.txt"]


def test_a_list_of_one_label_is_that_label_whatever_stands_in_it(tmp_path):
    rows = "".join(f'{{"text": "t {k}", "label": [{names}]}}\n' for k, names in enumerate(['"a|b"', '"c"'] * 4))
    path = saved(tmp_path / "a.jsonl", rows)
    assert text_splits([path]).train.class_names == ("a|b", "c")
    assert text_splits([path], columns=Columns(between="|")).train.class_names == ("a|b", "c")


def test_texts_without_a_label_are_counted_and_of_lists_the_missing_are_left_out(tmp_path):
    rows = "".join(f"t {k},{'a|b' if k % 2 else 'a'}\n" for k in range(8)) + "bare,\n"
    source = text_splits([saved(tmp_path / "a.csv", "text,label\n" + rows)], columns=Columns(between="|"))
    assert source.notes == ("1 of 9 texts have no label: they count as of none of the classes.",)
    rows = "".join(
        f'{{"text": "t {k}", "label": {names}}}\n' for k, names in enumerate(['["a"]', '["b"]', "[]", "null"])
    )
    source = text_splits([saved(tmp_path / "b.jsonl", rows)], columns=Columns(between="|"))
    assert source.train.inputs["text"].tolist() == ["t 0", "t 1", "t 2"]
    assert [tuple(each) for each in source.skipped] == [("b.jsonl[4]", "no label")]


def test_a_rare_label_of_many_stops_nothing_and_is_named_where_it_is_missing(tmp_path):
    rows = "".join(f'{{"text": "t {k}", "label": ["a", "b"]}}\n' for k in range(40))
    rows += '{"text": "odd", "label": ["rare", "a"]}\n'
    source = text_splits([saved(tmp_path / "a.jsonl", rows)], columns=Columns(between="|"))
    whole = splits.complete(source, validation_fraction=0.2, test_fraction=0.2, seed=0)
    said = [words for words in whole.warnings if "'rare'" in words]
    assert len(said) == 2
    assert all("No row of" in words for words in said)


def test_a_label_may_have_the_usual_separator_in_it(tmp_path):
    rows = "".join(f'{{"text": "t {k}", "label": ["R&B|Soul", "b"]}}\n' for k in range(9))
    source = text_splits([saved(tmp_path / "a.jsonl", rows)], columns=Columns(between="|"))
    assert source.train.class_names == ("R&B|Soul", "b")
    assert source.notes == ("The classes 'R&B|Soul' hold the | that stands between the labels of predictions.",)
    rows = "text,label\n" + "".join(f't {k},"sci|fi; a"\n' for k in range(9))
    source = text_splits([saved(tmp_path / "a.csv", rows)], columns=Columns(between=";"))
    assert source.train.class_names == ("a", "sci|fi")


def test_several_labels_of_a_text_are_as_many_columns(tmp_path):
    rows = [
        {"text": text, "labels": labels} for text, labels in (("a", ["x", "y"]), ("b", []), ("c", ["y"]), ("d", ["x"]))
    ]
    rows += [{"text": "e", "labels": ["y", "x"]}, {"text": "f", "labels": ["y"]}]
    path = tmp_path / "a.jsonl"
    pl.DataFrame(rows).write_ndjson(path)
    train = text_splits([str(path)], columns=Columns(between="|")).train
    assert train.class_names == ("x", "y")
    assert train.labels.tolist() == [[1, 1], [0, 0], [0, 1], [1, 0], [1, 1], [0, 1]]
    parts = splits.hold_out(train, 0.5, 0)
    assert [len(part) for part in parts] == [3, 3]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text,label\n", ("has no row", "a text and a label")),
        ("text,label\na,\n", ("has no row", "a.csv[2]: no label")),
        ("text,label\na,x\nb,x\nc,x\n", ("one class only",)),
        (f"text,label\n{ROWS}once,rare\n", ("Class 'rare' has 1 row(s): a.csv[14]",)),
        (
            "text,label,split\na,x,train\nb,y,train\nc,x,validation\nd,z,test\ne,x,test\n",
            ("test part has the class(es) z", "a.csv[5]"),
        ),
        ("text,label,split\na,x,test\nb,y,test\n", ("none for training",)),
    ],
)
def test_data_that_cannot_be_learnt_from_are_refused_by_row(tmp_path, content, words):
    refused(saved(tmp_path / "a.csv", content), *words)


def test_the_row_that_is_malformed_is_named_also_below_a_very_long_one(tmp_path):
    long = "word " * 40_000
    rows = [f"{long},x", *["short,y"] * 6, "a, b,x"]
    refused(saved(tmp_path / "a.csv", "text,label\n" + "\n".join(rows) + "\n"), "Row 9 has more cells", "a, b,x")


def test_texts_that_are_all_without_a_label_are_refused(tmp_path):
    saved(tmp_path / "train" / "unsup" / "0.txt", "so good")
    refused(str(tmp_path), "The texts of train", "all in unsup")


def test_a_mark_of_the_byte_order_is_no_part_of_a_text(tmp_path):
    saved(tmp_path / "a.txt", b"\xef\xbb\xbfso good\n")
    assert text_of(str(tmp_path / "a.txt")) == "so good"


@pytest.mark.parametrize(
    ("names", "called"),
    [("text,label", {"text": "text", "label": "label"}), ("words,label", {"text": "words", "label": "label"})],
)
def test_what_the_columns_were_called_goes_with_the_parts(tmp_path, names, called):
    source = text_splits([saved(tmp_path / "a.csv", f"{names}\n{ROWS}")])
    assert splits.complete(source, validation_fraction=0.2, test_fraction=0.2, seed=0).columns == called


@pytest.mark.parametrize("name", ["nowhere.csv", "no*.csv"])
def test_what_is_not_there_is_refused_with_what_can_be_named(name):
    refused(name, name, "imdb", ".parquet")


def test_a_file_that_is_no_table_is_refused(tmp_path):
    refused(saved(tmp_path / "a.docx", "x"), "not named as a table", ".csv")


def test_to_evaluate_the_test_part_is_taken_with_the_classes_of_the_model(tmp_path):
    path = saved(tmp_path / "a.csv", "text,label,split\na,x,train\nb,y,test\n")
    examples, _, notes = labelled_texts([path], ("w", "x", "y"))
    assert (examples.labels.tolist(), examples.class_names) == ([2], ("w", "x", "y"))
    assert "the 1 of 2 rows that are its test part" in notes[-1]
    whole = saved(tmp_path / "b.csv", "text,label\nc,x\n")
    assert labelled_texts([path, whole], ("x", "y"))[0].inputs["text"].tolist() == ["b", "c"]
    with pytest.raises(InputError, match="class.es. y; the model knows x"):
        labelled_texts([path], ("x",))


def test_the_sample_has_both_classes_and_its_reviews_as_groups():
    train = text_splits(["reviews_sample"]).train
    assert (len(train), train.class_names) == (2985, ("negative", "positive"))
    assert len(set(train.groups)) == 298
