import os

import numpy as np
import pytest
from PIL import Image

from kerasuite.data import splits
from kerasuite.data.labels import read
from kerasuite.data.sources import image_splits, labelled_images
from kerasuite.errors import InputError


def photo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(int.from_bytes(path.name.encode(), "big")).integers(0, 256, (6, 5, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def table(folder, text, name="labels.csv"):
    """A csv beside the photos a.png to f.png."""
    for letter in "abcdef":
        photo(folder / f"{letter}.png")
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


PLAIN = "path,label\na.png,cat\nb.png,dog\nc.png,cat\nd.png,dog\ne.png,cat\nf.png,dog\n"


def refused(path, *words, data=None):
    with pytest.raises(InputError) as error:
        image_splits(data, labels=path)
    for word in (str(path), *words):
        assert word in str(error.value)
    return str(error.value)


def test_rows_become_examples_with_their_paths_as_ids(tmp_path):
    source = image_splits(None, labels=table(tmp_path, PLAIN))
    assert source.train.ids.tolist() == [f"{letter}.png" for letter in "abcdef"]
    assert source.train.inputs["path"][1] == str(tmp_path / "b.png")
    assert source.train.class_names == ("cat", "dog")
    assert source.train.labels.tolist() == [0, 1] * 3
    assert source.train.facts["height"].tolist() == [6] * 6
    assert (source.train.groups, source.test, source.skipped, source.notes) == (None, None, (), ())


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("labels.tsv", lambda text: text.replace(",", "\t")),
        ("labels.csv", lambda text: text.replace(",", ";")),
        ("labels.csv", lambda text: text.replace("\n", "\r\n")),
        ("labels.csv", lambda text: "\ufeff" + text),
        ("labels.csv", lambda text: text.replace("\n", "\n\n")),
        ("labels.csv", lambda text: "\n" + text.replace(",", ";")),
        ("labels.csv", lambda text: text.replace("b.png,dog", ' b.png ,"dog"')),
        ("labels.csv", lambda text: text.replace("path,label", " PATH,Label ")),
    ],
)
def test_tables_are_read_however_they_were_saved(tmp_path, name, change):
    parts = read(table(tmp_path, change(PLAIN), name)).parts
    assert [(file.id, file.class_name) for file in parts["train"]] == [
        (f"{letter}.png", "dog" if letter in "bdf" else "cat") for letter in "abcdef"
    ]


def test_other_names_of_columns_are_taken_and_told(tmp_path):
    text = "width,Filename,class,subset\n3,a.png,cat,Train\n3,b.png,dog,VAL\n3,c.png,dog,dev\n3,d.png,cat,test\n"
    listed = read(table(tmp_path, text))
    assert {part: [file.id for file in files] for part, files in listed.parts.items()} == {
        "train": ["a.png"],
        "validation": ["b.png", "c.png"],
        "test": ["d.png"],
    }
    assert listed.notes == (
        "The column 'Filename' of labels.csv is taken as the path.",
        "The column 'class' of labels.csv is taken as the label.",
        "The column 'subset' of labels.csv is taken as the split.",
    )


def test_columns_that_say_nothing_of_a_photo_may_share_a_name(tmp_path):
    listed = read(table(tmp_path, "note,path,Note,label,note\nx,a.png,y,cat,z\n"))
    assert [(file.id, file.class_name) for file in listed.parts["train"]] == [("a.png", "cat")]


def test_a_plain_name_goes_before_another(tmp_path):
    listed = read(table(tmp_path, "image,path,label\nnowhere.png,a.png,cat\n"))
    assert [file.id for file in listed.parts["train"]] == ["a.png"]
    assert listed.notes == ()


def test_paths_start_at_the_data_folder_then_at_the_table(tmp_path):
    path = table(tmp_path, f"path,label\na.png,cat\nb.png,dog\n{photo(tmp_path / 'far' / 'x.png')},cat\n")
    photo(tmp_path / "photos" / "a.png")
    places = [file.path for file in read(path, tmp_path / "photos").parts["train"]]
    assert places == [str(tmp_path / name) for name in ("photos/a.png", "b.png", "far/x.png")]


def test_a_data_set_by_name_is_not_used_with_labels_and_that_is_noted(tmp_path):
    source = image_splits("flowers", labels=table(tmp_path, PLAIN))
    assert len(source.train) == 6
    assert "--data flowers is not used" in source.notes[0]
    with pytest.raises(InputError, match="nowhere is no folder"):
        image_splits("nowhere", labels=tmp_path / "labels.csv")


def test_groups_stay_on_one_side_and_photos_without_one_are_alone(tmp_path):
    text = "path,label,group\na.png,cat,x\nb.png,dog,y\nc.png,cat,x\nd.png,dog,y\ne.png,cat,\nf.png,dog,\n"
    source = image_splits(None, labels=table(tmp_path, text))
    assert source.train.groups.tolist() == ["x", "y", "x", "y", "only e.png", "only f.png"]
    assert "2 row(s)" in source.notes[0]
    kept, held = splits.hold_out(source.train, 0.4, seed=0)
    assert not set(kept.groups) & set(held.groups)


def test_an_empty_column_of_groups_is_none(tmp_path):
    source = image_splits(None, labels=table(tmp_path, PLAIN.replace("\n", ",\n").replace("label,", "label,group")))
    assert (source.train.groups, source.notes) == (None, ())


def test_a_group_in_two_parts_is_refused(tmp_path):
    rows = ["a.png,cat,x,train", "b.png,dog,y,train", "c.png,cat,z,val", "d.png,dog,v,val", "e.png,cat,x,test"]
    source = image_splits(None, labels=table(tmp_path, "\n".join(["path,label,group,split", *rows])))
    with pytest.raises(InputError, match=r"1 group\(s\) stand both in train and in test, the first is x"):
        splits.complete(source, validation_fraction=0.1, test_fraction=0.1, seed=0)


def test_all_missing_files_are_listed_with_their_rows(tmp_path):
    lines = "".join(f"gone/{row}.png,cat\n" for row in range(70))
    (tmp_path / "folder.png").mkdir()
    said = refused(table(tmp_path, PLAIN + lines + "folder.png,cat\n"), "71 file(s)", "row 78 (folder.png)")
    for row in range(70):
        assert f"row {row + 8} (gone/{row}.png)" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,label\na.png,cat\n,dog\n", ["1 row(s)", "no path", "row 3"]),
        ("path,label\na.png,\nb.png,dog\nc.png\n", ["2 row(s)", "no label", "row 2 (a.png), row 4 (c.png)"]),
        ("path,label\na.png,  \n", ["no label", "row 2 (a.png)"]),
        (
            "path,label,split\na.png,cat,train\nb.png,dog,holdout\n",
            ["row 3 has 'holdout'", "train, training, validation"],
        ),
        ("path,label,subset\na.png,cat,\n", ["row 2 has ''", "'subset'"]),
        ("path,label\n", ["no rows"]),
        ("path,label\n\n", ["no rows"]),
        ("", ["empty"]),
        ("path,species\na.png,cat\n", ["no column label or class or category", "'path', 'species'"]),
        ("a.png,cat\nb.png,dog\n", ["no column path", "'a.png', 'cat'"]),
        ("path,label,Label\na.png,cat,dog\n", ["'label' and 'Label'"]),
        ("path,label,label\na.png,cat,dog\n", ["'label' and 'label'. Keep one"]),
        (PLAIN.replace("\n", "\r"), ["lines end in CR alone"]),
        (
            'path,label,note\na.png,cat,"two\nlines"\nb.png,dog,x\nc.png,cat,x,y\n',
            ["Row 4", "more cells", "c.png,cat,x,y"],
        ),
        ('path,label\na.png,cat\n"b.png,dog\nc.png,cat\n', ["Row 3", "stray quotation mark", "b.png"]),
        ("path,label\na.png,cat\nb,c.png,dog\n", ["Row 3 has more cells", "b,c.png"]),
        ('path,label\na.png,cat\n"b.png,dog\n', ["Row 3", "stray quotation mark", "b.png"]),
        ('path,label\na.png,cat\nb.png,"dog" \n', ["Row 3", "stray quotation mark", "b.png"]),
        ("path,label\na.png,Käfer\n".encode("latin-1"), ["not UTF-8", "row 2 (a.png)"]),
        (PLAIN.encode("utf-16"), ["is UTF-16: save it as UTF-8"]),
        (b"\x89PNG\r\n\x1a\n\0\0\0", ["no column path"]),
        ("path,label\na.png,cat\n./a.png,dog\n", ["row 2 (a.png) and row 3 (./a.png)", "labels 'cat' and 'dog'"]),
        ("path,label,split\na.png,cat,train\na.png,cat,test\n", ["row 2", "row 3", "'train' and 'test'"]),
        ("path,label,group\na.png,cat,x\na.png,cat,y\n", ["row 2", "row 3", "groups 'x' and 'y'"]),
        ("path,label\na.png,cat\nb.png,cat\nc.png,cat\n", ["one class only (cat)"]),
        ("path,label,split\na.png,cat,test\nb.png,dog,test\n", ["none for training"]),
    ],
)
def test_unusable_tables_are_refused_by_row(tmp_path, text, words):
    refused(table(tmp_path, text), *words)


def test_a_table_that_is_not_there_is_refused(tmp_path):
    refused(tmp_path / "none.csv", "No such file")
    refused(tmp_path, "Is a directory")


def test_a_table_as_data_is_refused_with_the_pipeline_that_takes_it(tmp_path):
    path = table(tmp_path, PLAIN, "LABELS.CSV")
    with pytest.raises(InputError, match=rf"is a table\. .*: kerasuite run resnet_transfer --labels {path}\."):
        image_splits(path)


def test_one_file_twice_counts_once(tmp_path):
    path = table(tmp_path, PLAIN + "./b.png,dog\na.png,cat\nlink.png,cat\n")
    os.link(tmp_path / "a.png", tmp_path / "link.png")
    source = image_splits(None, labels=path)
    assert len(source.train) == 6
    assert source.skipped == (
        ("./b.png", "row 8: the same file as row 3"),
        ("a.png", "row 9: the same file as row 2"),
        ("link.png", "row 10: the same file as row 2"),
    )


def test_broken_photos_are_skipped_and_progress_is_told(tmp_path):
    path = table(tmp_path, f"{PLAIN}g.png,cat\n")
    (photo(tmp_path / "g.png")).write_bytes(b"no picture")
    told = []
    source = image_splits(None, lambda done, total: told.append((done, total)), labels=path)
    assert (len(source.train), source.skipped[0].id) == (6, "g.png")
    assert told[-1] == (7, 7)


def test_to_evaluate_the_test_rows_are_taken_or_else_all(tmp_path):
    rows = ["a.png,cat,x,test", "b.png,dog,y,train", "c.png,cat,z,val"]
    path = table(tmp_path, "\n".join(["path,label,group,split", *rows]))
    examples, _, notes = labelled_images(None, ("dog", "cat"), labels=path)
    assert (examples.ids.tolist(), examples.labels.tolist(), examples.groups.tolist()) == (["a.png"], [1], ["x"])
    assert "test part" in notes[-1]
    path.write_text(path.read_text().replace(",test", ",train"))
    examples, *_ = labelled_images(None, ("dog", "cat"), labels=path)
    assert examples.ids.tolist() == ["a.png", "b.png", "c.png"]
    assert examples.groups.tolist() == ["x", "y", "z"]


def test_to_evaluate_a_photo_beside_the_table_comes_before_one_of_its_name_elsewhere(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        for k in range(3 if folder == new else 4):
            photo(folder / f"{k}.png")
    table = new / "test.csv"
    table.write_text("path,label\n" + "".join(f"{k}.png,{'cat' if k % 2 else 'dog'}\n" for k in range(4)))
    examples, _, notes = labelled_images(old, ("cat", "dog"), labels=table)
    assert [*examples.inputs["path"]] == [*(str(new / f"{k}.png") for k in range(3)), str(old / "3.png")]
    assert notes == (f"1 of the photos in test.csv are not beside it, and are those in {old}.",)


def test_a_folder_that_is_called_as_a_data_set_is_not_where_listed_photos_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("flowers", "own"):
        for k in range(8):
            photo(tmp_path / folder / f"{k}.png")
    table = tmp_path / "own" / "a.csv"
    table.write_text("path,label\n" + "".join(f"{k}.png,{'cat' if k % 2 else 'dog'}\n" for k in range(8)))
    assert image_splits("flowers", labels=table).train.inputs["path"][0] == str(tmp_path / "own" / "0.png")


def test_of_many_missing_files_some_are_named_and_backslashes_are_pointed_at(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("path,label\n" + "".join(f"photos\\{k}.png,cat\n" for k in range(500)))
    with pytest.raises(InputError, match=r"500 file\(s\) .* Write / in paths, not \\\. .* and 400 more") as error:
        image_splits(None, labels=table)
    assert len(str(error.value)) < 5000
