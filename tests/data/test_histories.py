import numpy as np
import pytest

from kerasuite.data import histories, order_sample
from kerasuite.data.interactions import Log
from kerasuite.errors import InputError


def made(rows, *, times=True):
    """A log of (user, item, time), in order."""
    users, items, when = zip(*sorted(rows, key=lambda row: (row[0], row[2])))
    user_ids, users = np.unique(users, return_inverse=True)
    item_ids, items = np.unique(items, return_inverse=True)
    return Log(
        users.astype(np.int32),
        items.astype(np.int32),
        np.array(when, float) if times else None,
        None,
        user_ids,
        item_ids,
    )


def told(examples):
    """{user: (history, what came next)}, by names."""
    names = np.array(examples.class_names)
    rows = enumerate(zip(examples.ids, examples.labels))
    return {str(user): ("".join(names[examples.inputs["history"][k]]), str(names[label])) for k, (user, label) in rows}


def random_log(seed=0):
    rng = np.random.default_rng(seed)
    rows = {(f"u{rng.integers(60):02d}", f"i{rng.integers(40):02d}"): rng.integers(1000) for _ in range(900)}
    return made([(user, item, time) for (user, item), time in rows.items()])


def parts(log, kind, **fractions):
    return histories.split(log, kind, **({"validation_fraction": 0.2, "test_fraction": 0.2} | fractions))


def test_the_last_item_is_the_tests_and_the_one_before_it_validations():
    found = parts(
        made([("a", item, time) for time, item in enumerate("vwxyz")] + [("b", "v", 0), ("b", "z", 1)]), "last"
    )
    assert told(found.test) == {"a": ("vwxy", "z")}
    assert told(found.validation) == {"a": ("vwx", "y")}
    # Of users who are too short to be tested everything is trained on.
    assert told(found.train) == {"a": ("vw", "x"), "b": ("v", "z")}
    assert found.notes == ("1 user(s) with fewer than three items are trained on, not tested.",)
    assert found.train.class_names == tuple("vwxyz")


@pytest.mark.parametrize("seed", range(8))
def test_nothing_that_is_to_be_foreseen_is_trained_on(seed):
    log = random_log(seed)
    found = parts(log, "last")
    everything = {(user, item) for user, item in zip(log.user_ids[log.users], log.item_ids[log.items])}
    held = {(user, next_) for part in (found.validation, found.test) for user, (_, next_) in told(part).items()}
    names = np.array(found.train.class_names)
    sequences = histories.sequences(found.train)
    trained = {(str(user), str(item)) for k, user in enumerate(found.train.ids) for item in names[sequences[k]]}
    assert not trained & held
    assert trained | held == everything


@pytest.mark.parametrize("seed", range(8))
def test_by_time_nothing_after_the_moment_is_trained_on_and_nothing_before_it_foreseen(seed):
    log = random_log(seed)
    found = parts(log, "time")
    when = {(log.user_ids[u], log.item_ids[i]): t for u, i, t in zip(log.users, log.items, log.times)}
    names = np.array(found.train.class_names)
    trained = [
        when[user, item]
        for k, user in enumerate(found.train.ids)
        for item in names[histories.sequences(found.train)[k]]
    ]
    foreseen = [[when[user, str(names[label])] for user, label in zip(part.ids, part.labels)] for part in found[1:3]]
    assert max(trained) < min(foreseen[0]) <= max(foreseen[0]) < min(foreseen[1])
    for part, times in zip(found[1:3], foreseen):
        for k, (user, time) in enumerate(zip(part.ids, times)):
            assert max(when[user, item] for item in names[part.inputs["history"][k]]) < time
    assert np.mean(log.times > max(trained)) == pytest.approx(0.36, abs=0.02)  # 1 - 0.8 * 0.8


def test_by_time_a_user_is_tested_on_the_first_item_after_the_moment_alone():
    # A fifth of ten interactions lies from 8 on, and a quarter of the eight before from 6 on.
    rows = [("a", item, time) for time, item in enumerate("0123456789")]
    found = parts(made(rows), "time", validation_fraction=0.25)
    assert told(found.test) == {"a": ("01234567", "8")}
    assert told(found.validation) == {"a": ("012345", "6")}
    assert told(found.train)["a"][1] == "5"


def test_users_who_come_after_the_moment_are_counted():
    rows = [("a", item, time) for time, item in enumerate("0123456789")] + [("late", "0", 9)]
    assert any(note.startswith("1 user(s) of test have nothing before it") for note in parts(made(rows), "time").notes)


@pytest.mark.parametrize(
    ("log", "kind", "said"),
    [
        (made([("a", "x", 0), ("b", "x", 1)]), "last", "one item alone (x)"),
        (made([("a", "x", 0), ("a", "y", 1)]), "last", "None of the log's 1 users has three items"),
        (made([("a", "x", 0), ("a", "y", 1)], times=False), "time", "--time-column"),
        (made([("a", "x", 5), ("a", "y", 5), ("b", "x", 5)]), "time", "have one time (5)"),
        (made([("a", "x", 0), ("b", "y", 1), ("c", "z", 2), ("d", "x", 9)]), "time", "No user has interactions both"),
    ],
)
def test_a_log_that_cannot_be_parted_is_refused(log, kind, said):
    with pytest.raises(InputError) as refused:
        parts(log, kind)
    assert said in str(refused.value)


def test_a_sequence_is_the_history_with_what_came_next_behind_it():
    examples = parts(made([("a", item, time) for time, item in enumerate("vwxyz")]), "last").test
    assert histories.sequences(examples)[0].tolist() == [0, 1, 2, 3, 4]
    assert histories.whole(examples).inputs["history"].lengths.tolist() == [5]


def test_times_travel_with_the_training_interactions():
    found = parts(made([("a", item, 10 * time) for time, item in enumerate("vwxyz")]), "last")
    assert found.train.facts["times"][0].tolist() == [0, 10, 20]


# The made-up log


def test_in_the_made_up_log_the_rule_holds_as_often_as_it_says():
    log = order_sample.log()
    items = log.items.reshape(-1, order_sample.LENGTH)
    expected = order_sample.follower(items[:, :-2], items[:, 1:-1])
    assert np.mean(expected == items[:, 2:]) == pytest.approx(order_sample.CERTAIN, abs=0.06)
    assert all(len(set(row)) == order_sample.LENGTH for row in items)


def test_who_knows_the_rule_recommends_the_follower_first_and_nothing_twice():
    examples = parts(order_sample.log(), "last").test.take(np.arange(50))
    history = examples.inputs["history"]
    lists = order_sample.best_lists(history, 20)
    for row in range(50):
        follower = order_sample.follower(history[row][-2], history[row][-1])
        assert follower in history[row] or lists[row, 0] == follower
        assert len(set(lists[row])) == 20
        assert not set(lists[row]) & set(history[row])
