import math
import re
from html.parser import HTMLParser

import pytest

from kerasuite.evaluation.intervals import Estimate
from kerasuite.evaluation.report import (
    Figure,
    Section,
    Table,
    headline_sentence,
    render_report,
    verdict_sentence,
    without_seen_sentence,
)

PNG = b"\x89PNG\r\n\x1a\nbytes"


def estimate(value, half=0.01, n=380):
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def results(**changes):
    return {
        "pipeline": "resnet_transfer",
        "examples": {"train": 1768, "validation": 379, "test": 380, "skipped": 2},
        "headline": "accuracy",
        "test": {"accuracy": estimate(0.93), "log_loss": estimate(0.25)},
        "baselines": {"majority": {"accuracy": estimate(0.2)}, "logistic_regression": {"accuracy": estimate(0.72)}},
        "best_baseline": "logistic_regression",
        "p_value": 0.003,
        "verdict": "better",
        "servable": {"checked": 380, "label_disagreements": 0, "max_difference": 1e-6},
        "seconds": {"load": 1.25, "train": 40.0},
    } | changes


class Page(HTMLParser):
    """Tags in order, and whether each that opens is closed in turn."""

    empty = ("meta", "img", "br", "link")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.attributes = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in self.empty:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def words(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html.split("</style>")[1]))


@pytest.mark.parametrize(
    ("word", "start"),
    [("better", "Better than"), ("not shown", "Not shown to be better than"), ("worse", "Worse than")],
)
def test_the_verdict_names_the_baseline_and_both_numbers(word, start):
    sentence = verdict_sentence(results(verdict=word))
    assert sentence == f"{start} logistic regression: 93.0% against 72.0% on the same 380 test rows (p = 0.003)."


def test_a_baseline_that_was_not_chosen_and_is_ahead_of_the_model_on_the_test_is_named_too():
    baselines = {"majority": {"accuracy": estimate(0.94)}, "logistic_regression": {"accuracy": estimate(0.72)}}
    sentence = verdict_sentence(results(baselines=baselines))
    assert sentence.startswith("Better than logistic regression: 93.0% against 72.0%")
    assert sentence.endswith("On these rows majority has 94.0%.")
    less = {"majority": {"accuracy": estimate(0.92)}, "logistic_regression": {"accuracy": estimate(0.72)}}
    assert "majority" not in verdict_sentence(results(baselines=less))


def test_without_a_chosen_baseline_the_strongest_one_is_named():
    metrics = results(best_baseline=None, p_value=None)
    assert verdict_sentence(metrics).startswith("Better than logistic regression")
    assert "(p" not in verdict_sentence(metrics)


def test_no_sentence_is_made_of_numbers_that_are_not_there():
    assert verdict_sentence(results(baselines={})) == ""
    assert headline_sentence(results(test={})) == ""


def test_the_headline_has_the_digits_that_its_interval_can_bear():
    wide = results(test={"accuracy": estimate(0.9312, half=0.06, n=40)})
    assert headline_sentence(wide) == "Accuracy 93% on 40 test rows (95% interval 87 to 99%)."
    ranking = results(headline="ndcg@10", test={"ndcg@10": estimate(0.04321, half=0.002, n=22363)})
    assert headline_sentence(ranking, "users") == (
        "NDCG@10 0.0432 on 22,363 test users (95% interval 0.0412 to 0.0452)."
    )


def test_a_number_without_an_interval_has_none_in_the_sentence():
    single = results(test={"accuracy": {"value": 0.5, "low": None, "high": None, "n": 2}})
    assert headline_sentence(single) == "Accuracy 50.0% on 2 test rows."


def test_what_others_named_is_escaped_everywhere():
    evil = '<script>alert("x")</script>'
    html = render_report(
        title=evil,
        summary=evil,
        metrics=results(baselines={evil: {"accuracy": estimate(0.2)}}, best_baseline=evil),
        warnings=[evil],
        sections=[Section(evil, evil, [Figure(f'" onerror="{evil}', PNG)], [Table(evil, [evil], [[evil]])])],
        config={evil: evil},
        environment={evil: {evil: [evil]}},
        command=evil,
        run_directory=evil,
    )
    page = Page(html)
    assert "script" not in page.tags
    assert "onerror" not in dict(page.attributes)
    assert html.count("&lt;script&gt;") >= 15


def test_the_page_is_well_formed_and_asks_the_network_for_nothing():
    html = render_report(
        title="t", summary="s", metrics=results(), sections=[Section("Pictures", figures=[Figure("one", PNG)])]
    )
    page = Page(html)
    assert page.open == []
    sources = [value for name, value in page.attributes if name in ("src", "href")]
    assert sources == ["data:image/png;base64,iVBORw0KGgpieXRlcw=="]
    assert not re.search(r"https?://|@import|url\(", html)


def test_the_page_says_first_things_first():
    html = render_report(
        title="Waste",
        summary="Sorts photos.",
        metrics=results(),
        warnings=["4 test photos are in train too."],
        sections=[
            Section("Classes", "First.\n\nSecond.", tables=[Table("By class", ["class", "F1"], [["glass", 0.5]])])
        ],
        config={"epochs": 12},
        environment={"packages": {"keras": "3.15.1"}},
        command="kerasuite run resnet_transfer --epochs 12",
        run_directory="runs/my run",
        date="22 November 2026",
    )
    text = words(html)
    order = [
        "Waste",
        "22 November 2026",
        "Sorts photos.",
        "Accuracy 93.0% on 380 test rows",
        "Better than logistic regression",
        "4 test photos are in train too.",
        "Results on the test set",
        "92.0 to 94.0",
        "1,768",
        "By class",
        "glass 0.5",
        "kerasuite predict &#39;runs/my run&#39; FILE",
        "tf.saved_model.load(&#39;runs/my run/servable&#39;)",
        "380 test rows: 0 labels differ",
        "epochs 12",
        "packages.keras 3.15.1",
        "load 1.2",
        "kerasuite run resnet_transfer --epochs 12",
    ]
    # Each is looked for after the one before it.
    position = 0
    for part in order:
        position = text.find(part, position)
        assert position >= 0, part
    assert "<p>First.</p>\n<p>Second.</p>" in html


def test_a_baseline_without_a_metric_has_a_dash_there():
    row = re.search(r"log loss</th>(.*?)</tr>", render_report(title="t", summary="s", metrics=results()), re.S)[1]
    assert row.count("–") == 2


def test_a_page_of_almost_nothing_is_still_a_page():
    text = words(render_report(title="Empty", summary="", metrics={}))
    assert "Empty" in text
    assert "Results" not in text
    assert "None" not in text


def test_the_headline_without_rows_seen_in_training_stands_right_under_it():
    found = results(without_seen={"test": {"accuracy": estimate(0.91, n=379)}})
    sentence = "Without the one row that is also in train or validation: accuracy 91.0% on 379 rows (90.0 to 92.0%)."
    assert without_seen_sentence(found) == sentence
    text = words(render_report(title="t", summary="s", metrics=found))
    assert text.find("Accuracy 93.0%") < text.find(sentence) < text.find("Better than")
    assert without_seen_sentence(results()) == ""


def test_an_estimate_in_a_table_has_its_interval_in_small_print():
    table = Table("", ["class", "F1"], [["glass", Estimate(0.5, 0.4, 0.6, 9)], ["metal", Estimate(math.nan, 0, 1, 0)]])
    html = render_report(title="t", summary="s", metrics={}, sections=[Section("Classes", tables=[table])])
    assert '<td class="number">0.500<span class="interval">0.400 to 0.600</span></td>' in html
    assert '<td class="number">–</td>' in html
