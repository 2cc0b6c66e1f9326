import pytest

from kerasuite.data import tables
from kerasuite.errors import InputError


def test_quotation_marks_that_enclose_nothing_are_plain_characters_in_a_tsv(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text('label\tsentence\n1\t" the end "\n0\t"unbalanced\n1\tit is 5" wide\n')
    table = tables.read(path)
    assert table.frame["sentence"].to_list() == ['" the end "', '"unbalanced', 'it is 5" wide']
    assert "plain characters" in table.notes[0]


def test_a_quotation_mark_within_a_cell_is_pointed_at(tmp_path):
    (tmp_path / "a.csv").write_text('text,label\nfine,pos\na 5" disk,pos\n')
    with pytest.raises(InputError, match="Look at line 3: a 5"):
        tables.read(tmp_path / "a.csv")


def test_bytes_that_are_no_utf_8_are_marked(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("text,label\ncafé,1\n".encode("latin-1"))
    assert tables.NOT_TEXT in tables.read(path).frame["text"][0]


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("text;label\na, b;1\n", ["text", "label"]),
        ('"Comment, if any";label\ngood, very;1\n', ["Comment, if any", "label"]),
        ("And what, pray, not?;label\nthis;1\n", ["And what, pray, not?", "label"]),
        ("Good, and what not?;label\nthis;1\n", ["Good, and what not?", "label"]),
        ('"Comment (good, bad, other)";label\n"a; b";1\n', ["Comment (good, bad, other)", "label"]),
        ("sep=;\r\na, b, c;label\r\ngood;1\r\n", ["a, b, c", "label"]),
        ("\ufeffsep=\t\na, b, c\tlabel\ngood\t1\n", ["a, b, c", "label"]),
        ("text\tlabel\na, b\t1\n", ["text", "label"]),
    ],
)
def test_the_separator_is_told_by_the_first_line(tmp_path, content, names):
    (tmp_path / "a.csv").write_text(content, newline="")
    assert tables.read(tmp_path / "a.csv").frame.columns == names


def test_rows_below_a_line_that_says_the_separator_have_the_numbers_of_a_spreadsheet(tmp_path):
    (tmp_path / "a.csv").write_text("sep=;\ntext;label\ngood;1\n")
    table = tables.read(tmp_path / "a.csv")
    assert (table.first_row, table.frame.rows()) == (3, [("good", "1")])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text,label\na,1\nb,1,2\n", "parted by ','. Row 3 has more cells.*: b,1,2"),
        ("sep=;\ntext;label\na;1\nb;1;2\n", "parted by ';'. Row 4 has more cells.*: b;1;2"),
        ('sep=;\ntext;label\nfine;pos\na 5" disk;pos\n', "Look at line 4: a 5"),
    ],
)
def test_a_row_that_is_no_row_is_pointed_at(tmp_path, content, words):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(InputError, match=words):
        tables.read(tmp_path / "a.csv")


def test_utf_16_is_refused_by_its_name(tmp_path):
    (tmp_path / "a.csv").write_text("text\tlabel\nso\t1\n", "utf-16")
    with pytest.raises(InputError, match="is UTF-16: save it as UTF-8"):
        tables.read(tmp_path / "a.csv")
