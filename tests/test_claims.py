"""The ledger: verdicts computed again from the result files, by scipy's interval."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import flatlab
from flatlab.study import paper
from flatlab.study import recorded as recording
from flatlab.study.claims import CLAIMS
from flatlab.study.experiments import EXPERIMENTS
from flatlab.study.ledger import bounds, judge, ledger
from flatlab.study.recorded import Result
from flatlab.study.rules import Claim, Columns

RESULTS = Path(__file__).resolve().parent.parent / "results"


def claimed(**bounds):
    """A claim on the column "a"."""
    return Claim(name="c", words="", source="", experiment="table2", measure="a", effect=lambda c: c["a"], **bounds)


@pytest.mark.parametrize("count", range(2, 16))
def test_the_interval_is_students(count):
    values = np.random.default_rng(count).normal(size=count)
    mean, low, high = bounds(values)
    expected = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    assert (mean, low, high) == pytest.approx((values.mean(), *expected), rel=1e-9)
    assert bounds([3.0]) == (3.0, -math.inf, math.inf)


@pytest.mark.parametrize(
    "values, word", [([1, 1.1, 0.9], "holds"), ([-1, -1.1, -0.9], "fails"), ([1, -1, 0.5], "partly"), ([1], "partly")]
)
def test_a_verdict_is_where_the_interval_lies(values, word):
    claim = claimed(above=0)
    (verdict,) = judge(claim, Result("table2", "smoke", {"mlp": "mnist1d"}, (), {}, {"mlp": {"a": values}}, {}))
    assert verdict.word == word and verdict.seeds == len(values)


def test_between_two_bounds_is_both():
    claim = claimed(above=3, below=10)
    words = {}
    for middle in (2, 5, 12, 3):
        values = [middle - 0.1, middle, middle + 0.1]
        (verdict,) = judge(claim, Result("t", "smoke", {"mlp": "d"}, (), {}, {"mlp": {"a": values}}, {}))
        words[middle] = verdict.word
    assert words == {2: "fails", 5: "holds", 12: "fails", 3: "partly"}


@pytest.mark.parametrize(
    "bounds, words",
    [
        ({"above": 0, "unit": "points"}, "a, above 0 points"),
        ({"above": -1, "unit": "points"}, "a, above -1 point"),
        ({"above": -1, "below": 1, "unit": "points"}, "a, within 1 point"),
        ({"above": -0.6, "below": -0.4}, "a, between -0.6 and -0.4"),
        ({"below": 0.9, "unit": "nats", "remark": "later"}, "a, below 0.9 nats (later)"),
    ],
)
def test_the_words_of_a_rule_are_made_from_its_bound(bounds, words):
    assert claimed(**bounds).rule == words


def test_every_claim_belongs_to_an_experiment_and_has_a_rule():
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert claim.experiment in EXPERIMENTS and claim.rule and claim.source
        assert math.isfinite(claim.above) or math.isfinite(claim.below), claim.name


@pytest.mark.parametrize("claim, verdicts", ledger(), ids=lambda value: getattr(value, "name", ""))
def test_a_verdict_follows_from_the_result_file(claim, verdicts):
    recorded = {
        path.stem.split("-")[-1]
        for path in RESULTS.glob(f"{claim.experiment}-*.json")
        if path.stem.rsplit("-", 1)[0] == claim.experiment
    }
    assert bool(verdicts) == bool(recorded)
    for verdict in verdicts:
        result = json.loads((RESULTS / f"{claim.experiment}-{verdict.tier}.json").read_text())
        effects = np.array(claim.effect(Columns(result["values"][verdict.net])), float)
        if len(effects) == 1:
            low, high = -math.inf, math.inf
        elif np.ptp(effects) == 0:  # of seeds that agree the interval is a point, for which scipy has NaN
            low = high = effects.mean()
        else:
            low, high = stats.t.interval(0.95, len(effects) - 1, effects.mean(), stats.sem(effects))
        assert (verdict.effect, verdict.seeds) == (pytest.approx(effects.mean()), len(effects))
        word = (
            "holds"
            if low > claim.above and high < claim.below
            else "fails"
            if high < claim.above or low > claim.below
            else "partly"
        )
        assert verdict.word == word, (verdict, low, high)


def test_the_ledger_takes_the_largest_tier_of_each_net(monkeypatch):
    nets = {"smoke": ("mlp", "F1"), "colab": ("F1", "C1"), "paper": ("F1",)}

    def recorded(experiment, tier):
        if experiment != "table2" or tier not in nets:
            raise FileNotFoundError
        values = {
            net: {f"{part} {label}": [1.0, 2.0] for part in ("train", "test") for label in ("SB", "LB")}
            for net in nets[tier]
        }
        return Result(experiment, tier, dict.fromkeys(nets[tier], "data"), (), {}, values, {})

    monkeypatch.setattr(recording, "recorded", recorded)
    for claim, verdicts in ledger():
        tiers = {verdict.net: verdict.tier for verdict in verdicts}
        assert tiers == ({"F1": "paper", "C1": "colab", "mlp": "smoke"} if claim.experiment == "table2" else {})


# Prose. A finding is printed by a cell, from a result; what stands in the text itself is a choice, a definition or a fact of the data.

GIVEN = {
    "95 %": "the level of every interval",
    "19 times": "the same level, of 20",
    "1.96": "its factor",
    "1 %": "a rule's bound",
    "3 %": "a rule's bound",
    "99 %": "a rule's bound",
    "0.1": "a rule's bound, a guess, an exercise",
    "2.3": "the logarithm of ten, a guess",
    "20 times": "a drawn parabola",
    "0.9": "a drawn hollow",
    "0.2": "a drawn hollow",
    "0.02": "an exercise",
    "0.3": "an exercise",
    "10,000": "a factor to multiply by",
    "0.001": "Adam's rate",
    "1.5 million": "F1's size",
    "2.1": "the metric's number",
    "2.2": "a section's number",
    "11.7": "a section's number",
    "212,490": "mlp's size",
    "4,000": "MNIST-1D's rows",
    "1,000": "MNIST-1D's test rows",
    "1,437": "the digits' rows",
}
NUMBER = re.compile(r"(?<![\w.,])(?:\d{1,3}(?:,\d{3})+|\d+\.\d+(?: million)?|\d+ (?:%|times))(?![\w])")
NOT_PROSE = re.compile(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\]\([^)]*\)|https?://\S+", re.DOTALL)


@pytest.mark.parametrize("file", sorted((RESULTS.parent / "book").glob("*.ipynb")), ids=lambda file: file.stem)
def test_no_number_in_prose_is_a_finding(file):
    for cell in json.loads(file.read_text(encoding="utf8"))["cells"]:
        if cell["cell_type"] == "markdown":
            for number in NUMBER.findall(NOT_PROSE.sub(" ", "".join(cell["source"]))):
                assert number in GIVEN, (
                    f"{file.name}, cell {cell['id']}: {number} is typed; print it from a result, or say in GIVEN what it is"
                )


def test_the_facts_of_the_data_in_prose_are_facts():
    mnist1d, digits = flatlab.load("mnist1d", device="cpu"), flatlab.load("digits", device="cpu")
    assert (len(mnist1d.train), len(mnist1d.test), len(digits.train)) == (4000, 1000, 1437)
    assert flatlab.Objective("mlp", mnist1d.train).size == 212_490
    assert flatlab.Recipe().lr == 0.001 and round(paper.NETWORKS["F1"].parameters / 1e6, 1) == 1.5
