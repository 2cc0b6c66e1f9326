import datetime
import gzip

import numpy as np
import polars as pl
import pytest

from kerasuite.data import interactions
from kerasuite.data.log_tables import LogColumns
from kerasuite.errors import InputError


@pytest.fixture
def log(tmp_path):
    """The log of a csv's text, or of another kind of file."""

    def log(text, name="log.csv", *, options=None, **columns):
        path = tmp_path / name
        raw = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
        return interactions.read([str(path)], LogColumns(**columns), **(options or {}))

    return log


def told(log):
    """(user, item) in the log's order, by their names."""
    return [(str(log.user_ids[user]), str(log.item_ids[item])) for user, item in zip(log.users, log.items)]


def test_rows_are_sorted_by_user_and_time_and_ties_keep_the_files_order(log):
    found = log("user,item,time\na,x,3\nb,y,9\na,z,1\na,w,3\n")
    assert told(found) == [("a", "z"), ("a", "x"), ("a", "w"), ("b", "y")]
    assert found.times.tolist() == [1, 3, 3, 9]
    assert any("not in order of time" in note for note in found.notes)
    assert any(note.startswith("1 interactions have the time of the user's one before") for note in found.notes)


def test_ids_are_text_with_their_zeros_commas_quotes_and_accents(log):
    found = log('user,item,time\n007,"a, b",1\n7,"say ""hi""",1\n007,naïve,2\n')
    assert told(found) == [("007", "a, b"), ("007", "naïve"), ("7", 'say "hi"')]


def test_columns_are_guessed_by_usual_names_and_said(log):
    found = log("userId,movieId,rating,timestamp\n1,2,3.5,964982703\n")
    assert told(found) == [("1", "2")]
    assert (found.ratings.tolist(), found.times.tolist()) == ([3.5], [964982703.0])
    assert any("'userId' as the user" in note and "'movieId' as the item" in note for note in found.notes)


def test_columns_that_are_named_are_taken(log):
    found = log("who,what,user\n1,2,9\n", user="who", item="what")
    assert told(found) == [("1", "2")]


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("who,what\n1,2\n", {}, "--user-column"),
        ("user,thing\n1,2\n", {}, "--item-column"),
        ("user,item,item_id\n1,2,3\n", {}, "2 columns that may hold the item"),
        ("user,item\n1,2\n", {"time": "when"}, "no column 'when' (--time-column); it has 'user', 'item'"),
        ("1,2,3\n4,5,6\n", {}, "3 columns and no names above them"),
        ("", {}, "is empty"),
        ("user,item\n,x\n", {}, "no row that can be used, the first is log.csv[2]: no user"),
    ],
)
def test_what_is_not_clear_is_refused_with_what_is_there(log, text, options, said):
    with pytest.raises(InputError) as refused:
        log(text, **options)
    assert said in str(refused.value)


def test_a_file_that_is_not_there_or_no_table_is_refused(tmp_path):
    (tmp_path / "log.pdf").write_text("user,item")
    for name in ("nothing.csv", "log.pdf"):
        with pytest.raises(InputError, match=name):
            interactions.read([str(tmp_path / name)], LogColumns())


def test_where_ratings_are_not_needed_a_row_may_have_none(log):
    text = "user,item,rating\na,x,\na,y,4\na,z,good\n"
    found = log(text, options={"needs_ratings": False})
    assert told(found) == [("a", "x"), ("a", "y"), ("a", "z")]
    assert (found.ratings, found.skipped) == (None, ())
    found = log(text, options={"needs_ratings": False}, rating="rating")
    assert told(found) == [("a", "x"), ("a", "y")]
    assert found.ratings is None
    assert [str(each) for each in found.skipped] == ["log.csv[4]: rating good is no number"]


@pytest.mark.parametrize("needs_ratings", [True, False])
def test_a_range_of_ratings_that_are_not_there_is_refused(log, needs_ratings):
    options = {"rating_range": (1.0, 5.0), "needs_ratings": needs_ratings}
    with pytest.raises(InputError) as refused:
        log("user,item,marks\na,x,9\n", options=options)
    assert "--rating-range is (1.0, 5.0), and " in str(refused.value)
    assert "log.csv has no column of ratings. Name it by --rating-column" in str(refused.value)
    assert told(log("user,item\na,x\n", options=options | {"may_lack_ratings": True})) == [("a", "x")]


def test_what_is_asked_about_without_a_time_comes_last(log):
    text = "user,item,time,rating\na,z,,\na,y,2,4\na,x,1,5\na,w,,3\n"
    found = log(text, options={"may_ask": True})
    assert told(found) == [("a", "x"), ("a", "y"), ("a", "z")]
    assert [each.id for each in found.skipped] == ["log.csv[5]"]


def test_so_many_rows_that_cannot_be_used_are_named_and_all_are_counted(log):
    text = "user,item\na,x\n" + "b,\n" * 1500
    assert [(len(each.skipped), each.num_skipped) for each in (log(text), log(text, options={"most_named": None}))] == [
        (1000, 1500),
        (1500, 1500),
    ]


def test_rows_that_cannot_be_used_are_named_with_the_reason(log):
    found = log(
        "user,item,time,rating\na,x,1,5\n,y,2,4\na,,3,4\na,z,soon,4\na,w,5,good\na,v,6,9\n",
        options={"rating_range": (1, 5)},
    )
    assert told(found) == [("a", "x")]
    assert [str(each) for each in found.skipped] == [
        "log.csv[3]: no user",
        "log.csv[4]: no item",
        "log.csv[5]: time soon is neither a number nor a date",
        "log.csv[6]: rating good is no number",
        "log.csv[7]: rating 9 is not from 1 to 5",
    ]
    assert interactions.skipped_sentence(found)[0].startswith("5 row(s) of the log were skipped: log.csv[3]: no user;")


@pytest.mark.parametrize("missing", ["NULL", "null", "NaN", "nan", "None", r"\N", "<NA>"])
def test_what_pandas_and_databases_write_for_a_missing_id_is_none(log, missing):
    found = log(f"user,item\na,x\n{missing},x\n{missing},y\na,{missing}\n")
    assert told(found) == [("a", "x")]
    assert [str(each) for each in found.skipped] == [
        f"log.csv[3]: no user, but {missing}",
        f"log.csv[4]: no user, but {missing}",
        f"log.csv[5]: no item, but {missing}",
    ]


def test_ids_that_only_resemble_a_missing_one_are_ids(log):
    found = log("user,item\nnone,NA\nN,Null\nNancy,N/A\n")
    assert told(found) == [("none", "NA"), ("N", "Null"), ("Nancy", "N/A")]


def test_of_very_many_rows_that_cannot_be_used_all_are_counted(log):
    found = log("user,item\n" + "a,x\n" + "b,\n" * 1500)
    assert found.num_skipped == 1500
    (sentence,) = interactions.skipped_sentence(found)
    assert sentence.startswith("1,500 row(s) of the log were skipped: log.csv[3]: no item")
    assert sentence.endswith("; and 1,480 more.")


def test_ids_that_are_not_utf_8_are_not_taken_for_one_another(log):
    found = log("user,item\na,x\nb,café\nc,cafè\n".encode("latin-1"))
    assert [str(each) for each in found.skipped] == [
        "log.csv[3]: item caf\N{REPLACEMENT CHARACTER} is not UTF-8",
        "log.csv[4]: item caf\N{REPLACEMENT CHARACTER} is not UTF-8",
    ]


def test_a_file_of_movielens_that_is_not_utf_8_is_read_as_latin_1_and_that_is_said(log):
    found = log("1::café::5::1\n".encode("latin-1"), "ratings.dat")
    assert told(found) == [("1", "café")]
    assert "ratings.dat is not UTF-8: it is read as Latin-1." in found.notes


def test_numbers_among_dates_are_not_compared_with_them(log):
    found = log("user,item,time\na,x,2023-05-01\na,y,2024\na,z,2022-05-01\n")
    assert told(found) == [("a", "z"), ("a", "x")]
    assert [str(each) for each in found.skipped] == ["log.csv[3]: time 2024 is a number, where most are dates"]
    found = log("user,item,time\na,x,5\na,y,2024-01-01\na,z,3\n")
    assert [str(each) for each in found.skipped] == ["log.csv[3]: time 2024-01-01 is a date, where most are numbers"]


def test_blank_lines_are_no_rows(log):
    found = log("user,item,time\na,x,1\n,,\na,y,2\n\n")
    assert told(found) == [("a", "x"), ("a", "y")]
    assert found.num_skipped == 0


def test_rows_that_stand_twice_count_once(log):
    found = log("user,item,time\na,x,1\na,x,1\na,x,2\n")
    assert len(found) == 2
    assert any(note.startswith("1 row(s) stood there twice") for note in found.notes)


@pytest.mark.parametrize("needs_ratings", [True, False])
def test_rows_that_any_other_column_tells_apart_all_count(log, needs_ratings):
    options = {"needs_ratings": needs_ratings}
    text = "order,user,item,date,rating\n1,a,x,2024-01-01,5\n2,a,x,2024-01-01,5\n02,a,x,2024-01-01,5\n"
    assert len(log(text + "2,a,x,2024-01-01T00:00:00,5\n2 ,a,x,2024-01-01,5\n", options=options)) == 3
    assert len(log("user,item,time,rating\na,x,1,5\na,x,1,4\na,x,1,5\n", options=options)) == 2


def test_rows_that_stand_in_two_files_count_once_whatever_the_order_of_their_columns(tmp_path):
    (tmp_path / "a.csv").write_text("user,item,time,order,shop\nu,x,2,7,\n")
    (tmp_path / "b.csv").write_text("shop,order,item,user,time\n,7,x,u,2\n,8,x,u,2\n")
    assert len(interactions.read([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], LogColumns())) == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.txt", "1 10\n1 20\n2 10\n"),
        ("log.txt.gz", "1 10\n1 20\n2 10\n"),
        ("u.data", "1\t10\t5\t1\n1\t20\t3\t2\n2\t10\t4\t1\n"),
        ("ratings.dat", "1::10::5::1\n1::20::3::2\n2::10::4::1\n"),
        ("log.csv", "1,10,5,1\n1,20,3,2\n2,10,4,1\n"),
        ("log.inter", "user_id:token\titem_id:token\ttimestamp:float\n1\t10\t1\n1\t20\t2\n2\t10\t1\n"),
        ("log.jsonl", '{"user": 1, "item": "10"}\n{"user": 1, "item": "20"}\n{"user": 2, "item": "10"}\n'),
    ],
)
def test_logs_come_in_many_files(log, name, text):
    assert told(log(text, name)) == [("1", "10"), ("1", "20"), ("2", "10")]


@pytest.mark.parametrize(
    ("name", "text"), [("log.txt", "user item\n1 10\n"), ("log.data", "userId\titem\tstars\n1\t10\t5\n")]
)
def test_a_line_of_names_is_no_row_where_none_is_expected_either(log, name, text):
    found = log(text, name)
    assert told(found) == [("1", "10")]
    assert f"The first line of {name} is taken as the names of its columns." in found.notes


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("log.inter", b""),
        ("log.txt", b"\n\n"),
        ("log.txt.gz", gzip.compress(b"1 10\n" * 99, mtime=0)[:20]),
        ("log.csv.gz", gzip.compress(b"user,item\n" + b"1,10\n" * 99, mtime=0)[:20]),
        ("log.txt.gz", b"1 10\n"),
    ],
)
def test_a_file_that_is_empty_or_cut_short_is_refused_by_name(tmp_path, name, raw):
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(InputError, match=name):
        interactions.read([str(tmp_path / name)], LogColumns())


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("user,item\n1,2\n", {"user": "item", "item": "item"}, "'item' of .* is said to hold the user and the item"),
        ("user,item,item\n1,2,3\n", {}, "several columns 'item'"),
        ("u1,i1\nu1,i2\n", {}, "put a line of names above it"),
    ],
)
def test_columns_that_are_mistaken_are_refused(log, text, options, said):
    with pytest.raises(InputError, match=said):
        log(text, **options)


@pytest.mark.parametrize(
    ("name", "names"),
    [("log.inter", "user_id:token\titem_id:token\ta:float\ta:token"), ("log.dat", "user\titem\ta\ta")],
)
def test_names_that_stand_twice_are_refused_where_they_are_read_off_a_line_or_cut(log, name, names):
    with pytest.raises(InputError, match=rf"{name} has several columns 'a'\. Rename all but one"):
        log(f"{names}\n1\t2\t3\t4\n", name)


def test_a_folder_with_several_logs_is_refused(tmp_path):
    for name in ("a.inter", "b.inter"):
        (tmp_path / name).write_text("user_id:token\titem_id:token\n1\t2\n")
    with pytest.raises(InputError, match=r"a\.inter and b\.inter"):
        interactions.read([str(tmp_path)], LogColumns())


def test_the_log_of_a_data_sets_folder_is_found(tmp_path):
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,2,3,4\n")
    (tmp_path / "movies.csv").write_text("movieId,title\n2,Two\n")
    assert told(interactions.read([str(tmp_path)], LogColumns())) == [("1", "2")]


def test_several_files_are_one_log(tmp_path):
    for name, row in (("a.csv", "u,x,2"), ("b.csv", "u,y,1")):
        (tmp_path / name).write_text(f"user,item,time\n{row}\n")
    found = interactions.read([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], LogColumns())
    assert told(found) == [("u", "y"), ("u", "x")]


def test_files_may_have_their_columns_in_other_orders_and_under_other_names(tmp_path):
    (tmp_path / "a.csv").write_text("user,item,timestamp,rating\nu,x,1704189600,5\n")
    (tmp_path / "b.csv").write_text("rating,t_dat,item,user\n4,2024-01-01,y,u\n")
    found = interactions.read([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], LogColumns())
    assert told(found) == [("u", "x")]
    assert "time 2024-01-01 is a date, where most are numbers" in str(found.skipped[0])


def test_ratings_that_are_not_needed_may_be_in_one_of_the_files_alone(tmp_path):
    (tmp_path / "a.csv").write_text("user,item,rating\nu,x,2\n")
    (tmp_path / "b.csv").write_text("user,item\nu,y\n")
    paths = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]
    assert told(interactions.read(paths, LogColumns(), needs_ratings=False)) == [("u", "x"), ("u", "y")]
    with pytest.raises(InputError, match=r"b.csv has no column of the rating"):
        interactions.read(paths, LogColumns())


def test_files_of_which_one_has_no_times_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("user,item,time\nu,x,2\n")
    (tmp_path / "b.csv").write_text("user,item\nu,y\n")
    with pytest.raises(InputError, match=r"b.csv has no column of the time"):
        interactions.read([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], LogColumns())


def test_dates_are_times(log):
    found = log("user,item,date\na,x,2024-01-03\na,y,2024-01-02T10:00:00Z\n")
    assert told(found) == [("a", "y"), ("a", "x")]
    assert found.times.tolist() == [1704189600.0, 1704240000.0]


@pytest.mark.parametrize(
    "time",
    [
        *("2024-01-02 10:00:00 UTC", "2024-01-02 10:00:00 GMT", "2024-01-02 11:00:00+01:00", "2024-01-02T10:00"),
        *("2024-01-02 11:00:00 +0100", "2024-01-02 10:00:00+00", "2024-01-02 07:00:00.000-03", "2024-01-02 11:00+01"),
    ],
)
def test_a_date_may_have_a_zone_behind_it_and_no_seconds(log, time):
    assert log(f"user,item,time\na,x,{time}\n").times.tolist() == [1704189600.0]


@pytest.mark.parametrize("time", ["15-03-23", "23-03-15", "015-03-23", "-2023-03-15"])
def test_a_date_whose_year_has_not_four_digits_is_not_guessed_at(log, time):
    found = log(f"user,item,time\na,x,2023-03-15\na,y,{time}\n")
    assert told(found) == [("a", "x")]
    assert [str(each) for each in found.skipped] == [f"log.csv[3]: time {time} is neither a number nor a date"]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_dates_of_parquet_may_have_a_zone(tmp_path, zone):
    when = datetime.datetime(2024, 1, 2, 10, tzinfo=datetime.UTC)
    times = pl.Series([when], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(zone)
    pl.DataFrame({"user": ["a"], "item": ["x"], "time": times}).write_parquet(tmp_path / "log.parquet")
    found = interactions.read([str(tmp_path / "log.parquet")], LogColumns())
    assert found.times.tolist() == [1704189600.0]


@pytest.mark.parametrize(
    ("name", "late", "early"), [("t_dat", "2024-01-03", "2024-01-02"), ("timeframe", "1704189600", "1704103200")]
)
def test_a_column_that_speaks_of_times_and_holds_some_is_the_time_and_that_is_said(log, name, late, early):
    found = log(f"user,item,{name}\na,x,{late}\na,y,{early}\n")
    assert told(found) == [("a", "y"), ("a", "x")]
    assert f"Of log.csv, the column '{name}' is taken as the time." in found.notes


def test_without_names_a_third_column_of_seconds_since_1970_is_the_time(log):
    found = log("1,10,964982703,5\n1,20,964982702,4\n", options={"needs_ratings": True})
    assert told(found) == [("1", "20"), ("1", "10")]
    assert found.ratings.tolist() == [4.0, 5.0]
    assert any("taken as user, item, time, rating" in note for note in found.notes)


def test_without_names_dates_may_have_a_space_before_them(log):
    found = log("1, 10, 2024-01-02, 5\n1, 20, 2024-01-01, 4\n", "log.txt")
    assert found.times.tolist() == [1704067200.0, 1704153600.0]


@pytest.mark.parametrize("text", ["a x \na y\n", "a  x\na   y\n", " a x\na y  \r\n"])
def test_spaces_that_stand_several_times_or_at_an_end_part_nothing_more(log, text):
    assert told(log(text, "log.txt")) == [("a", "x"), ("a", "y")]


@pytest.mark.parametrize(("name", "first"), [("playtime", "30"), ("InvoiceDate", "12/1/2010 8:26")])
def test_what_is_no_time_that_can_be_read_is_not_taken_for_one_and_that_is_said(log, name, first):
    found = log(f"user,item,{name}\na,x,{first}\na,y,20\n")
    assert found.times is None
    assert told(found) == [("a", "x"), ("a", "y")]
    assert any(f"the column '{name}' is not taken as the time: '{first}' is neither" in note for note in found.notes)


def test_of_several_columns_that_may_be_the_time_one_has_to_be_named(log):
    text = "user,item,order_date,ship_date\na,x,2024-01-02,2024-01-05\n"
    with pytest.raises(InputError, match="2 columns that may hold the time: 'order_date', 'ship_date'"):
        log(text)
    assert log(text, time="order_date").times.tolist() == [1704153600.0]


def test_a_second_time_with_an_item_is_left_out_and_counted(log):
    found = interactions.without_repeats(log("user,item,time\na,x,1\na,y,2\na,x,3\nb,x,1\n"))
    assert told(found) == [("a", "x"), ("a", "y"), ("b", "x")]
    assert found.notes[-1].startswith("1 interaction(s) were with an item that the user had already had")


def test_rare_items_and_users_go_until_none_is_left(log):
    # Without z, which comes once, c has one item left and goes; without c, y comes once and goes too.
    text = "user,item\na,x\na,w\nb,x\nb,w\nc,y\nc,z\nd,y\nd,x\nd,w\n"
    found = interactions.with_enough(log(text), 2, 2)
    assert told(found) == [("a", "x"), ("a", "w"), ("b", "x"), ("b", "w"), ("d", "x"), ("d", "w")]
    assert found.notes[-1].endswith("2 items, 1 users, 3 interactions, as counted in the whole log, test and all.")


def test_asking_for_more_than_there_is_is_refused(log):
    with pytest.raises(InputError, match="--min-item-count"):
        interactions.with_enough(log("user,item\na,x\nb,y\n"), 2, 1)


def test_what_is_left_of_a_log_has_only_the_users_and_items_that_occur(log):
    found = log("user,item\na,x\nb,y\nc,z\n").take(np.array([True, False, True]))
    assert (found.user_ids.tolist(), found.item_ids.tolist()) == (["a", "c"], ["x", "z"])
    assert told(found) == [("a", "x"), ("c", "z")]
