import pytest

from kerasuite.data import item_table
from kerasuite.errors import InputError


def read(path, content, ids=("1", "2", "3")):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return item_table.read(path, ids)


def test_titles_and_groups_come_in_the_order_of_the_catalogue(tmp_path):
    found = read(tmp_path / "movies.csv", 'movieId,title,genres\n3,Three,Drama|Crime\n1,"One, first",Comedy\n9,Nine,\n')
    assert found.titles.tolist() == ["One, first", "", "Three"]
    assert found.groups.tolist() == ["Comedy", "", "Drama"]
    assert "Titles and groups of the items are those of movies.csv." in found.notes
    assert "1 of 3 items are not in it." in found.notes
    assert any("'genres' is taken as the group" in note for note in found.notes)


def test_long_titles_are_cut_and_counted_since_all_take_as_much_room_as_the_longest(tmp_path):
    found = read(tmp_path / "a.csv", f"id,title,genre\n1,{'t' * 3000},{'g' * 3000}\n2,Two,x\n3,Three,y\n")
    assert found.titles.tolist() == ["t" * 200, "Two", "Three"]
    assert found.groups.tolist() == ["g" * 200, "x", "y"]
    assert "1 titles of over 200 letters are cut." in found.notes


def test_movielens_and_recbole_files_are_read(tmp_path):
    dat = read(tmp_path / "movies.dat", "1::Amélie (2001)::Comedy|Romance\n2::Heat::Crime\n".encode("latin-1"))
    assert (dat.titles[:2].tolist(), dat.groups[:2].tolist()) == (["Amélie (2001)", "Heat"], ["Comedy", "Crime"])
    text = "item_id:token\tmovie_title:token_seq\tclass:token_seq\n1\tToy Story\tAnimation Comedy\n"
    item = read(tmp_path / "ml.item", text)
    assert (item.titles[0], item.groups[0]) == ("Toy Story", "Animation")


@pytest.mark.parametrize(
    ("name", "content", "titles", "groups"),
    [
        ("movies.dat", "id\ttitle\timdbID\n1\tHeat\t0113277\n2\tUp\t1049413\n", ["Heat", "Up"], ["", ""]),
        ("artists.dat", "url\tname\tartist\tid\nhttp://a\tDiary\tx\t2\n", ["", "Diary"], ["", ""]),
        ("own.item", "genres|movie_id\nDrama|1\n", ["", ""], ["Drama", ""]),
    ],
)
def test_a_first_line_of_names_says_which_column_is_which(tmp_path, name, content, titles, groups):
    found = read(tmp_path / name, content, ("1", "2"))
    assert (found.titles.tolist(), found.groups.tolist()) == (titles, groups)
    assert f"The first line of {name} is taken as the names of its columns." in found.notes


def test_a_first_item_that_is_called_as_columns_are_is_an_item(tmp_path):
    found = read(tmp_path / "movies.dat", "1::Item::Class\n2::Name::Brand\n")
    assert (found.titles.tolist(), found.groups.tolist()) == (["Item", "Name", ""], ["Class", "Brand", ""])


def test_the_flags_of_movielens_100k_are_read_as_genres(tmp_path):
    def line(number, title, *genres):
        flags = "|".join("1" if place in genres else "0" for place in range(19))
        return f"{number}|{title}|01-Jan-1995||http://example.org/?{number}|{flags}\n"

    lines = line(1, "Toy Story: first, 1995", 3, 4, 5), line(3, "Misérables, Les", 8, 14), line(2, "x")
    found = read(tmp_path / "u.item", "".join(lines).encode("latin-1"))
    assert found.titles.tolist() == ["Toy Story: first, 1995", "x", "Misérables, Les"]
    assert found.groups.tolist() == ["Animation", "", "Drama"]


def test_rows_without_an_id_and_those_of_an_item_that_came_before_are_counted(tmp_path):
    found = read(tmp_path / "items.csv", "item,title\n1,x\n,y\n1,z\n2,a\n3,b\n")
    assert found.titles.tolist() == ["x", "a", "b"]
    assert "1 row(s) of it have no id." in found.notes
    assert "1 row(s) of it have an id that stands there before." in found.notes


def test_of_several_columns_that_may_hold_the_ids_the_one_that_the_log_knows_is_taken(tmp_path):
    found = read(tmp_path / "items.csv", "id,isbn,title\n7,1,Heat\n8,2,Alien\n1,9,Up\n")
    assert found.titles.tolist() == ["Heat", "Alien", ""]
    assert "Of items.csv, 'isbn' is taken as the ids: most of its values are in the log." in found.notes


def test_groups_alone_are_enough(tmp_path):
    found = read(tmp_path / "items.jsonl", '{"item": "1", "category": ["a", "b"]}\n{"item": "2", "category": ["c"]}\n')
    assert (found.titles.tolist(), found.groups.tolist()) == (["", "", ""], ["a", "c", ""])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("items.csv", "number,title\n1,x\n", "No column of --items"),
        ("items.csv", "item,colour\n1,x\n", "no titles and no groups; it has 'item', 'colour'"),
        ("items.csv", "item,title\n77,x\n", "the first is '77', and the log's first is '1'"),
        ("items.pdf", "x", "not named as a table"),
        ("items.csv", "item,title\n", "has no item in it"),
        ("items.item", "item_id:token\ttitle:token_seq\n", "has no item in it"),
        ("items.item", "item_id:token\tyear:float\tyear:token\n1\t2\t3\n", "items.item has several columns 'year'"),
        ("items.dat", "id\ttitle\ttitle\n1\tx\ty\n", "several columns 'title'. Rename all but one"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_is_there(tmp_path, name, content, said):
    with pytest.raises(InputError) as refused:
        read(tmp_path / name, content)
    assert said in str(refused.value)


def test_the_table_beside_a_log_is_found(tmp_path):
    for name in ("ratings.csv", "movies.csv", "log.csv"):
        (tmp_path / name).write_text("x")
    assert item_table.beside(tmp_path / "ratings.csv") == tmp_path / "movies.csv"
    for name in ("u.item", "ml.item"):
        (tmp_path / name).write_text("x")
    assert item_table.beside(tmp_path / "u.data") == tmp_path / "u.item"
    assert item_table.beside(tmp_path / "ml.inter") == tmp_path / "ml.item"
    # Other tables beside a log in RecBole's form may be of other data.
    assert item_table.beside(tmp_path / "mine.inter") is None
    # A table of one's own has others of one's own beside it.
    assert item_table.beside(tmp_path / "log.csv") is None
