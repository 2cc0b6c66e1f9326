"""The whole evaluation of a recommender: the numbers of metrics.json and the sections of its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars

from kerasuite.columns import Ragged
from kerasuite.evaluation import intervals, ranking
from kerasuite.evaluation.display import ConfusionMatrixDisplay, HistoryDisplay
from kerasuite.evaluation.drawing import png
from kerasuite.evaluation.intervals import Estimate
from kerasuite.evaluation.ranking import CUTS, HEADLINE, POPULARITY
from kerasuite.evaluation.report import Figure, Section, Table, metric_words

LENGTH_GROUPS = 5
MOST_GROUPS = 20
EXAMPLES_SHOWN, ITEMS_SHOWN = 8, 5
_OTHERS = "all others"


@dataclass(frozen=True)
class Rankings:
    """What a model, and its baselines, recommended to users of whom the next item is known.

    Args:
        targets: the next item of each user, int (n,), a position in item_ids.
        lists: the model's, int (n, k), best first.
        baselines: the same of each baseline, by name.
        best_baseline: the name of the one that was best on validation.
        ids: of the users.
        histories: items of each user before the target.
        item_ids: the catalogue; item_names: titles, or ids where there are none.
        counts: training interactions of each item.
        item_groups: the genre or category of each item, '' for none; None where nothing is known.
        optimum: what who knows the rule of made-up data would recommend, int (n, k).
    """

    targets: np.ndarray
    lists: np.ndarray
    baselines: Mapping[str, np.ndarray]
    best_baseline: str
    ids: Sequence[str]
    histories: Ragged
    item_ids: Sequence[str]
    item_names: Sequence[str]
    counts: np.ndarray
    item_groups: np.ndarray | None = None
    optimum: np.ndarray | None = None

    @cached_property
    def by_user(self) -> dict[str, np.ndarray]:
        """Each user's score by each measure."""
        return ranking.by_user(self.lists, self.targets)

    @property
    def is_known(self) -> np.ndarray:
        """Which users' next item was there in training at all."""
        return self.counts[self.targets] > 0


def numbers(rankings: Rankings) -> dict[str, Any]:
    """The part of metrics.json that is about quality.

    `test_of_known_items` has the metrics of the users whose next item is one that was seen in training.
    """
    of = lambda lists, rows=None: {  # noqa: E731
        name: estimate.as_dict()
        for name, estimate in ranking.estimates(ranking.by_user(lists, rankings.targets), rows).items()
    }
    best = ranking.by_user(rankings.baselines[rankings.best_baseline], rankings.targets)
    word, p = intervals.verdict(rankings.by_user[HEADLINE], best[HEADLINE])
    found = {
        "headline": HEADLINE,
        "test": of(rankings.lists),
        "baselines": {name: of(lists) for name, lists in rankings.baselines.items()},
        "best_baseline": rankings.best_baseline,
        "verdict": word,
        "p_value": p,
        "never_in_training": float((~rankings.is_known).mean()),
        "beyond_accuracy": ranking.beyond_accuracy(rankings.lists, rankings.counts),
    }
    if not rankings.is_known.all() and rankings.is_known.any():
        found["test_of_known_items"] = of(rankings.lists, np.flatnonzero(rankings.is_known))
    if rankings.optimum is not None:
        found["optimum"] = of(rankings.optimum)
        value = found["optimum"][HEADLINE]["value"]
        found["share_of_optimum"] = found["test"][HEADLINE]["value"] / value if value else None
    return found


def predictions(rankings: Rankings) -> polars.DataFrame:
    """A row each user: user, target, rank (from 1, empty where it is in no list), and the first ten items."""
    names = np.append(np.asarray(rankings.item_ids, str), "")  # -1 is no item
    places = ranking.places(rankings.lists, rankings.targets)
    ranks = [int(place) + 1 if place < rankings.lists.shape[1] else None for place in places]
    columns = {"user": [str(each) for each in rankings.ids], "target": names[rankings.targets], "rank": ranks}
    shown = {f"item_{place + 1}": names[rankings.lists[:, place]] for place in range(max(CUTS[:2]))}
    return polars.DataFrame(columns | shown, schema_overrides={"rank": polars.Int64})


def sections(
    rankings: Rankings,
    found: Mapping[str, Any],
    confusion: ConfusionMatrixDisplay,
    history: Sequence[Mapping[str, float]] | None = None,
    neighbours: Sequence[tuple[int, np.ndarray]] = (),
) -> list[Section]:
    """The report's sections, most telling first.

    Args:
        found: what `numbers` gave.
        confusion: what `group_confusion` gave.
        neighbours: items, and for each those that the model holds for most like it.
    """
    made = [_optimum_section(found)] if "optimum" in found else []
    made += [
        _new_items_section(rankings, found),
        Section(
            "Which groups are taken for which",
            "Rows are the group of the next item, columns that of the first recommendation.",
            [
                Figure("Counts of users.", png(confusion), "confusion_matrix"),
                Figure("Share of each row.", png(confusion, normalize=True), "confusion_matrix_normalized"),
            ],
        ),
        _by_group_section(rankings),
        _beyond_section(rankings),
        _examples_section(rankings),
    ]
    if len(neighbours):
        names = rankings.item_names
        rows = [[names[item], ", ".join(str(names[other]) for other in others)] for item, others in neighbours]
        made.append(
            Section(
                "Items that the model takes for alike",
                "Of the items with the most interactions, those whose learnt vectors point the same way.",
                [],
                [Table("By the cosine of the vectors.", ["item", "nearest"], rows)],
            )
        )
    if history:
        curves = png(HistoryDisplay.from_history([{"epoch": k} | dict(row) for k, row in enumerate(history, 1)]))
        text = (
            "The weights of the epoch with the best lists for validation's users were kept. The losses are not of one "
            "kind: in training of every item of a history, in validation of the next one alone, among all items."
        )
        made.append(Section("Training", text, [Figure("Loss, and NDCG@10 of validation, by epoch.", curves)]))
    return made


def _optimum_section(found: Mapping[str, Any]) -> Section:
    rows = [
        [metric_words(name), found["test"][name]["value"], found["optimum"][name]["value"]] for name in found["optimum"]
    ]
    text = (
        "These data are made up, and what can be known of the next item is known: the model reaches "
        f"{100 * found['share_of_optimum']:.1f}% of it, by {metric_words(HEADLINE)}."
    )
    return Section("How far from the best possible", text, [], [Table("", ["metric", "model", "best possible"], rows)])


def _new_items_section(rankings: Rankings, found: Mapping[str, Any]) -> Section:
    number = int((~rankings.is_known).sum())
    text = (
        f"Of {len(rankings.targets):,} users, the next item of {number:,} ({100 * found['never_in_training']:.1f}%) "
        "was never seen in training: no model that knows items by their interactions can foresee it. They count in "
        "every number above."
    )
    if "test_of_known_items" not in found:
        return Section("Items never seen in training", text)
    parts = [found[part] for part in ("test", "test_of_known_items")]
    rows = [[metric_words(name), *(Estimate.from_dict(part[name]) for part in parts)] for name in parts[1]]
    columns = ["metric", f"all {len(rankings.targets):,} users", f"the {int(rankings.is_known.sum()):,} others"]
    return Section(
        "Items never seen in training", text, [], [Table("The same lists, scored both ways.", columns, rows)]
    )


def group_confusion(rankings: Rankings) -> ConfusionMatrixDisplay:
    """The group of the next item against the group of the first recommendation, of users who got one.

    Groups are genres or categories where they are known, the largest twenty; else of popularity.
    """
    said = rankings.lists[:, 0]
    if rankings.item_groups is None:
        of_item, names = ranking.popularity_groups(rankings.counts), POPULARITY
    else:
        of_item, names = _largest_groups(rankings)
    got = said >= 0
    return ConfusionMatrixDisplay.from_predictions(of_item[rankings.targets[got]], of_item[said[got]], names)


def _largest_groups(rankings: Rankings) -> tuple[np.ndarray, Sequence[str]]:
    groups = np.where(rankings.item_groups == "", "no group", rankings.item_groups)
    names, codes = np.unique(groups, return_inverse=True)
    weight = np.bincount(codes, weights=rankings.counts, minlength=len(names))
    kept = np.sort(np.argsort(-weight, kind="stable")[: MOST_GROUPS - 1]) if len(names) > MOST_GROUPS else None
    if kept is None:
        return codes, names.tolist()
    place = np.full(len(names), len(kept))
    place[kept] = np.arange(len(kept))
    return place[codes], [*names[kept].tolist(), _OTHERS]


def _by_group_section(rankings: Rankings) -> Section:
    lengths = rankings.histories.lengths
    edges = np.unique(np.quantile(lengths, np.arange(1, LENGTH_GROUPS) / LENGTH_GROUPS, method="higher"))
    of_length = np.searchsorted(edges, lengths, "right")
    named = [
        (f"{lengths[of_length == group].min()} to {lengths[of_length == group].max()}", of_length == group)
        for group in np.unique(of_length)
    ]
    of_target = ranking.popularity_groups(rankings.counts)[rankings.targets]
    popular = [(name, of_target == group) for group, name in enumerate(POPULARITY) if (of_target == group).any()]
    text = (
        "Of the items in the order of their training interactions, the head has the first third of these interactions, "
        "the middle the second, the tail the rest."
    )
    return Section(
        "By length of the history, and by popularity of the next item",
        text,
        [],
        [_measured(rankings, "items in the history", named), _measured(rankings, "the next item", popular)],
    )


def _measured(rankings: Rankings, what: str, groups: Sequence[tuple[str, np.ndarray]]) -> Table:
    names = (HEADLINE, "hit_rate@10")
    rows = []
    for name, mine in groups:
        found = ranking.estimates({each: rankings.by_user[each] for each in names}, np.flatnonzero(mine))
        rows.append([name, *(found[each] for each in names), int(mine.sum())])
    return Table("Small print is the 95% interval.", [what, *map(metric_words, names), "users"], rows)


def _beyond_section(rankings: Rankings) -> Section:
    every = {"model": rankings.lists} | dict(rankings.baselines)
    found = {name: ranking.beyond_accuracy(lists, rankings.counts) for name, lists in every.items()}
    rows = [[metric_words(name), *each.values()] for name, each in found.items()]
    text = (
        "Coverage is the share of all items that stand in somebody's list of ten. Novelty is how many bits the "
        "popularity of a recommended item is away from certainty. Popularity is the mean number of training "
        f"interactions of a recommended item; of the items that did come next it is "
        f"{rankings.counts[rankings.targets].mean():,.1f}. Gini is 0 where every item is recommended equally often."
    )
    columns = ["", "coverage@10", "novelty@10", "popularity@10", "Gini@10"]
    return Section("What is recommended, right or wrong", text, [], [Table("", columns, rows)])


def _examples_section(rankings: Rankings) -> Section:
    """Users, half of them with the next item in their list, drawn evenly over the users there are."""
    hit = ranking.places(rankings.lists, rankings.targets) < 10
    rows = []
    for which in (hit, ~hit):
        users = np.flatnonzero(which)
        rows += users[np.linspace(0, len(users) - 1, EXAMPLES_SHOWN // 2).astype(int)].tolist() if len(users) else []
    names = np.append(np.asarray(rankings.item_names, object), "")

    def told(row: int) -> list[str]:
        history, target = rankings.histories[row][-ITEMS_SHOWN:], rankings.targets[row]
        recommended = [
            f"[{names[item]}]" if item == target else names[item] for item in rankings.lists[row][:ITEMS_SHOWN]
        ]
        place = ranking.places(rankings.lists[row : row + 1], rankings.targets[row : row + 1])[0]
        rank = str(place + 1) if place < rankings.lists.shape[1] else f"over {rankings.lists.shape[1]}"
        return [str(rankings.ids[row]), ", ".join(names[history]), ", ".join(recommended), names[target], rank]

    columns = ["user", "last items", "recommended", "came next", "its place"]
    table = Table(
        "Half of them with the next item among the first ten.", columns, [told(row) for row in dict.fromkeys(rows)]
    )
    return Section("Some users", "", [], [table])
