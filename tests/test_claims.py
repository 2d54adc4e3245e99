"""The ledger: verdicts computed again from the result files, by scipy's interval."""

import ast
import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import flatlab
from flatlab.study import columns, paper
from flatlab.study import ledger as ledgers
from flatlab.study import recorded as recording
from flatlab.study.claims import CLAIMS
from flatlab.study.controls import SCALE_FREE, SEARCHED
from flatlab.study.experiments import EXPERIMENTS
from flatlab.study.ledger import Entry, bounds, judge, ledger, smallest_effect, together, verdict
from flatlab.study.recorded import Result
from flatlab.study.rules import AFTERWARDS, Claim, Columns, least_factor

RESULTS = Path(__file__).resolve().parent.parent / "results"
README = RESULTS.parent / "README.md"


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


def judged(claim, values, net="mlp"):
    """The claim's judgement on a result with these values."""
    (found,) = judge(claim, Result("table2", "smoke", {net: "mnist1d"}, {}, {}, {net: {"a": values}}, {}))
    return found


@pytest.mark.parametrize(
    "values, word",
    [
        ([1, 1.1, 0.9, 1, 1], "holds"),
        ([-1, -1.1, -0.9, -1, -1], "fails"),
        ([1, -1, 0.5, 2, -2], "undecided"),
        ([1, 1.1, 0.9, 1], "undecided"),  # four seeds
        ([1], "undecided"),
    ],
)
def test_a_verdict_is_where_the_interval_lies_and_takes_five_seeds(values, word):
    found = judged(claimed(above=0), values)
    assert found.word == word and found.seeds == len(values)
    assert (found.p < 0.05) == (word != "undecided")


@pytest.mark.parametrize("bounds", [{"above": 0.3}, {"below": 0.3}, {"above": -0.5, "below": 0.5}])
@pytest.mark.parametrize("seed", range(20))
def test_p_is_below_a_twentieth_exactly_where_the_interval_decides(bounds, seed):
    """By scipy's t-test at the bounds; a claim with two of them holds where both one-sided tests say so."""
    values = np.random.default_rng(seed).normal(0.4 * (seed % 5 - 2), 0.4, 5 + seed % 4)
    found = judged(claimed(**bounds), values.tolist())
    sides = [
        [stats.ttest_1samp(values, bound, alternative=side).pvalue for bound, side in zip(bounds.values(), sides)]
        for sides in (
            [{"above": "greater", "below": "less"}[name] for name in bounds],
            [{"above": "less", "below": "greater"}[name] for name in bounds],
        )
    ]
    assert found.p == pytest.approx(min(1, 2 * min(max(sides[0]), min(sides[1]))))
    assert (found.p < 0.05) == (found.word != "undecided")


def test_networks_that_disagree_are_mixed_and_those_that_do_not_decide_say_nothing():
    up, down, wide = [1, 1.1, 0.9, 1, 1], [-1, -1.1, -0.9, -1, -1], [1, -1, 0.5, 2, -2]
    for values, word in (
        ((up, up), "holds"),
        ((up, wide), "holds"),
        ((down, wide), "fails"),
        ((up, down, wide), "mixed"),
        ((wide,), "undecided"),
        ((), "not run"),
    ):
        found = tuple(judged(claimed(above=0), each, f"net {k}") for k, each in enumerate(values))
        assert Entry(claimed(above=0), found).word == word


def test_a_claim_of_several_parts_holds_where_all_of_them_do():
    for words, whole in (
        (("holds", "holds"), "holds"),
        (("fails", "fails"), "fails"),
        (("holds", "undecided"), "undecided"),
        (("fails", "undecided"), "undecided"),
        (("holds", "fails", "undecided"), "mixed"),
    ):
        assert together(words) == whole
    assert verdict([1, 1.1, 0.9, 1, 1]) == "holds"  # without a bound there is nothing to miss
    assert verdict([1, 1.1, 0.9, 1, 1], above=2) == "fails"


def test_a_seed_without_an_effect_is_left_out():
    found = judged(claimed(above=0), [1, None, 1.1, 0.9, 1, math.nan, 1])
    assert (found.seeds, found.word) == (5, "holds")
    nothing = judged(claimed(above=0), [None, None])
    assert nothing.seeds == 0 and nothing.word == "undecided" and nothing.p == 1


def test_a_seed_whose_effect_is_infinite_is_not_left_out():
    """Such as the logarithm of a sharpness of 0: of all seeds it may speak most against the claim."""
    for endless in (math.inf, -math.inf):
        found = judged(claimed(above=0), [1, 1.1, 0.9, 1, 1, endless])
        assert (found.seeds, found.word, found.p, found.amount) == (6, "undecided", 1, "infinite for a seed")


@pytest.mark.parametrize("effects, bound", [([0.3] * 10, {"below": 0.3}), ([98.1 - 98.2] * 5, {"above": -0.1})])
def test_rounding_decides_nothing(effects, bound):
    """The mean of ten times 0.3 is not 0.3, and 98.1 - 98.2 is not -0.1."""
    found = judged(claimed(**bound), effects)
    assert (found.word, found.p, {found.effect, found.low, found.high}) == ("undecided", 1, set(bound.values()))


def test_a_claim_judges_the_networks_it_speaks_of():
    claim, values = claimed(above=0, nets=("many",)), {"a": [1, 2, 1, 2, 1]}
    result = Result("table2", "smoke", {"few": "d", "many": "d"}, {}, {}, {"few": values, "many": values}, {})
    assert [found.net for found in judge(claim, result)] == ["many"]


def test_the_smallest_visible_effect_is_seen_four_times_in_five():
    random = np.random.default_rng(0)
    for seeds in (5, 10):
        size = smallest_effect(2.0, seeds)
        samples = random.normal(size, 2.0, (20_000, seeds))
        seen = (stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05).mean()
        assert 0.74 < seen < 0.86  # the formula takes the sum of two quantiles for the noncentral one
    assert smallest_effect(2.0, 4) == math.inf


@pytest.mark.parametrize("net, scatter", [("calm", 1.0), ("wild", 3.0), ("wild, half", 3.0)])
def test_the_visible_effect_is_from_the_pilot_of_the_network_itself(net, scatter, monkeypatch):
    def spread(width):
        return {"a": [-width, width, -width, width]}

    values = {"calm": spread(1.0), "wild": spread(3.0)}
    pilot = Result("table2", "smoke", dict.fromkeys(values, "d"), {}, {}, values, {})
    monkeypatch.setattr(ledgers, "recorded", lambda name, tier: pilot)
    found = dataclasses.replace(judged(claimed(above=0), [1.0] * 10, net), tier="reduced")
    likely = scatter * math.sqrt(4 / 3) * math.sqrt(3 / stats.chi2.ppf(0.2, 3))
    expected = smallest_effect(likely, 10)
    assert ledgers.visible(claimed(above=0), found) == pytest.approx(expected)


def test_the_pilot_of_other_networks_tells_nothing_of_this_one(monkeypatch):
    pilot = Result("table2", "smoke", {"mlp": "d"}, {}, {}, {"mlp": {"a": [-9.0, 9.0]}}, {})
    monkeypatch.setattr(ledgers, "recorded", lambda name, tier: pilot)
    values = np.random.default_rng(0).normal(1, 0.1, 10)
    found = dataclasses.replace(judged(claimed(above=0), values.tolist(), "F1"), tier="paper")
    assert ledgers.visible(claimed(above=0), found) == pytest.approx(smallest_effect(np.std(values, ddof=1), 10))


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_scatter_that_a_pilot_leaves_likely_is_too_small_one_time_in_five(seeds):
    draws = np.random.default_rng(0).normal(0, 2.0, (4000, seeds))
    above = np.mean([ledgers.scatter_at_most(draw) > 2.0 for draw in draws])
    assert above == pytest.approx(0.8, abs=0.02)


def test_where_the_seeds_scatter_more_than_their_pilot_said_the_visible_effect_is_theirs(monkeypatch):
    pilot = Result("table2", "smoke", {"mlp": "d"}, {}, {}, {"mlp": {"a": [1.0, 1.01]}}, {})
    monkeypatch.setattr(ledgers, "recorded", lambda name, tier: pilot)
    values = np.random.default_rng(0).normal(1, 2, 10)
    found = dataclasses.replace(judged(claimed(above=0), values.tolist()), tier="reduced")
    assert ledgers.visible(claimed(above=0), found) == pytest.approx(smallest_effect(np.std(values, ddof=1), 10))


def test_no_visible_effect_is_promised_that_its_interval_breaks():
    for entry in ledger():
        for one in entry.judgements:
            assert math.isnan(one.visible) or one.visible >= (one.high - one.low) / 2, (one.claim, one.net)


def test_a_pilot_whose_seeds_agree_tells_no_visible_effect(monkeypatch):
    pilot = Result("table2", "smoke", {"mlp": "d"}, {}, {}, {"mlp": {"a": [0.0, 0.0]}}, {})
    monkeypatch.setattr(ledgers, "recorded", lambda name, tier: pilot)
    found = dataclasses.replace(judged(claimed(above=0), [1.0] * 10), tier="reduced")
    assert math.isnan(ledgers.visible(claimed(above=0), found))


def test_more_data_favour_the_larger_batch_where_its_lead_grows_with_them():
    (claim,) = (claim for claim in CLAIMS if claim.name == "more data favour the larger batch")
    values = {"1/1 8": [70, 70], "1/1 32": [72, 69], "1/16 8": [30, 30], "1/16 32": [29, 30]}
    assert claim.effect(Columns(values)) == pytest.approx([3, -1])


@pytest.mark.parametrize("at_the_start, at_the_end, limit", [(0.1, 0.03, 0.05), (0.02, 0.03, 0.02), (0.5, 0.5, 0.05)])
def test_few_directions_are_steep_where_fewer_are_than_the_paper_names_and_than_there_were(
    at_the_start, at_the_end, limit
):
    (claim,) = (claim for claim in CLAIMS if claim.name == "few steep directions")
    effect = claim.effect(Columns({"start flat share": [1 - at_the_start], "LB flat share": [1 - at_the_end]}))
    assert effect == pytest.approx(math.log10(at_the_end / limit))


@pytest.mark.parametrize("last, evidence, counted", [(70, 3.0, 3.0), (90, 3.0, 0.0), (90, -1.0, -1.0)])
def test_a_curve_that_rises_has_no_threshold_however_well_a_break_fits_it(last, evidence, counted):
    values = Columns({"test_acc": [[80, 80, last]] * 2, "evidence of a threshold": [evidence] * 2})
    for claim in (claim for claim in CLAIMS if claim.name.startswith("a threshold exists")):
        assert claim.effect(values) == pytest.approx([counted] * 2), claim.name


def test_a_rule_that_the_papers_own_tables_miss_says_so():
    found = {claim.name: claim for claim in CLAIMS}
    claim = found["one to two orders of magnitude"]
    orders = {net: math.log10(row["LB 1e-3"].mean / row["SB 1e-3"].mean) for net, row in paper.TABLE3.items()}
    *others, last = [net for net in orders if orders[net] > claim.below]
    (below,) = [net for net in orders if orders[net] < claim.above]
    assert f"{', '.join(others)} and {last} lie above and {below} below" in claim.remark
    (worse,) = [net for net, row in paper.TABLE7.items() if row["test LB"].mean < paper.TABLE2[net]["test LB"].mean]
    assert f"{worse} is less accurate with it" in found["conservative training helps"].remark
    claim = found["trained alike"]
    (other,) = [
        net for net, row in paper.TABLE2.items() if abs(row["train SB"].mean - row["train LB"].mean) > claim.below
    ]
    assert claim.remark == f"by the means of the paper's own Table 2, {other} differs by more"


def test_half_of_the_gap_is_closed_above_the_middle_of_both_batches():
    found = {claim.name: claim for claim in CLAIMS if "half of the gap" in claim.name}
    for name, run in (("the root rule", "LB root"), ("tuning the large batch alone", "LB tuned")):
        values = Columns({"test SB": [72, 72], "test LB": [62, 62], f"test {run}": [68, 66]})
        assert found[f"{name} closes half of the gap"].effect(values) == pytest.approx([1, -1])


def test_no_two_claims_of_a_network_are_one_number_of_two_experiments():
    """They would count twice: the waterfall's run at the root rule is that of the experiment on rates."""
    root = [claim for claim in CLAIMS if "root rule" in claim.name and "threshold" not in claim.experiment]
    found = {claim.name: claim for claim in root if claim.nets != ("F1",)}  # of which one experiment alone is recorded
    assert {claim.experiment for claim in found.values()} == {"learning-rate"}
    assert found["at the root rule the large batch is no sharper"].below == pytest.approx(0.3)


def test_no_margin_is_wider_than_the_gap_of_the_network_that_it_is_asked_of():
    """F1 on MNIST has a gap of tenths of a point: to within a point all of its runs are equal."""
    for claim in CLAIMS:
        margin = max(abs(bound) for bound in (claim.above, claim.below) if math.isfinite(bound))
        if claim.unit == "points" and claim.name != "trained alike" and "F1" in (claim.nets or ("F1",)):
            runs = EXPERIMENTS[claim.experiment].settings.get("colab", ())
            assert margin <= 0.1 or "F1" not in [setting.net for setting in runs], claim.name


def test_a_search_that_stops_where_it_starts_is_judged_apart():
    found = {claim.name: claim for claim in CLAIMS if claim.experiment == "maximiser"}
    values = {f"{label} {name}": [phi] for label, phi in (("SB", 1), ("LB", 10)) for name in ("lbfgs 10", "lbfgs 20")}
    values |= {"SB apgd 20": [2], "LB apgd 20": [10], "SB scipy 10": [1], "LB scipy 10": [0.01]}
    assert found["sharper by each of three searches"].effect(Columns(values)) == pytest.approx([math.log10(5)])
    assert found["sharper by the paper's own search"].effect(Columns(values)) == pytest.approx([-2])


def test_a_rule_that_turned_a_verdict_says_that_it_came_after_it():
    """The least over all four searches, the paper's own among them, was the rule of the first record."""
    (claim,) = (claim for claim in CLAIMS if claim.name == "sharper by each of three searches")
    values = recording.recorded("maximiser", "reduced").values["mlp"]
    words = {
        verdict(least_factor("LB", "SB", searches)(Columns(values)), above=0): searches
        for searches in (SCALE_FREE, tuple(SEARCHED))
    }
    assert words == {"holds": SCALE_FREE, "fails": tuple(SEARCHED)}
    assert claim.remark.startswith(f"{AFTERWARDS} of four searches, by which it failed")


def recorded_column(experiment, net, column):
    """A column of the reduced tier, a row for each seed."""
    return np.array(recording.recorded(experiment, "reduced").values[net][column], float)


def assert_taken_where_fitted(claim, net, column, taken, left):
    """A rule takes two places of a curve where the recorded nets fit their rows, passes over one where they do not, and
    says so. A net that is not trained is flat, and bad, for another reason."""
    fitted = recorded_column(claim.experiment, net, column).mean(0)
    assert min(fitted[list(taken)]) > 99 > fitted[left]
    assert "earlier rule took" in claim.remark and "not fit their rows" in claim.remark


@pytest.mark.parametrize(
    "name, net, taken, plain",
    [
        ("a stronger SAM is flatter", "mlp", 3, 0),
        ("a stronger SAM is flatter", "mlp, half", 3, 0),
        ("enough noise flattens", "mlp", 2, 4),
        ("enough noise flattens", "mlp, half", 1, 4),
    ],
)
def test_a_dose_is_compared_where_the_nets_fit_their_rows(name, net, taken, plain):
    """With the smallest dose, or with none where the smallest one is noise: `plain` is how much sharper that is."""
    (claim,) = (claim for claim in CLAIMS if claim.name == name)
    assert_taken_where_fitted(claim, net, "cure_train", (0, taken), taken + 1)
    values = {column: recorded_column(claim.experiment, net, column)[:1] for column in ("dose", "cure_train")}
    values |= {"cure_1e-3": [[10.0**-k for k in range(5)]], "LB 1e-3": [1e4]}
    assert claim.effect(Columns(values)) == pytest.approx([taken + plain])


def test_the_smallest_noise_is_no_baseline():
    (claim,) = (claim for claim in CLAIMS if claim.name == "enough noise flattens")
    assert "with which a network can be sharper than without" in claim.remark
    noisy, plain = (recorded_column("gradient-noise", "mlp, half", name) for name in ("cure_1e-3", "LB 1e-3"))
    assert verdict(np.log10(noisy[:, 0] / plain), above=0) == "holds"


def test_a_rule_that_took_the_place_of_another_says_when():
    assert [one.name for one in CLAIMS if "earlier" in one.remark and AFTERWARDS not in one.remark] == []


def test_momentum_is_judged_at_one_rate_and_at_steps_of_equal_length():
    found = {claim.name: claim for claim in CLAIMS if claim.name.startswith("momentum flattens")}
    values = Columns({"none 1e-3": [10], "momentum 1e-3": [1], "cure_1e-3": [[1, 5, 10]]})
    assert found["momentum flattens"].effect(values) == pytest.approx([1])
    assert found["momentum flattens beside its rate"].effect(values) == pytest.approx([-1])
    assert "at one rate" in found["momentum flattens"].measure


@pytest.mark.parametrize("name", ["a larger ratio is flatter", "a larger ratio generalises"])
def test_two_ratios_are_compared_where_the_nets_fit_their_rows(name):
    (claim,) = (claim for claim in CLAIMS if claim.name == name)
    assert (recorded_column("ratio", "plain-mlp", "rate_train")[:, :2] >= 99).all()
    assert "did not fit their rows in 40 epochs" in claim.remark
    values = {"rate_lambda": [[1.0, 10.0, 1e5, 1e5]], "rate_test": [[9.0, 8.0, 1.0, 1.0]]}
    assert claim.effect(Columns(values)) == pytest.approx([1])


def test_a_remark_on_what_was_recorded_is_true():
    found = {claim.name: claim for claim in CLAIMS}
    assert "do not fit 99 % of their rows" in found["a small batch's own noise flattens"].remark
    assert (recorded_column("sampled-noise", "mlp", "cure_train")[:, 1] < 99).all()
    assert "on half of the rows and for 40 epochs" in found["only the ratio matters: accuracy"].remark
    (setting,) = EXPERIMENTS["ratio"].settings["reduced"]
    assert (setting.rows, setting.epochs) == (4000, 100)
    assert "batch 500 do not fit their rows" in found["sharpness of 512 over 32"].remark
    assert (recorded_column("ratio", "plain-mlp", "rate_train")[:, -1] < 99).all()
    for name in ("decay serves no accuracy to the small batch", "decay gives the small batch no speed"):
        assert "prefers the smallest dose tried for every seed" in found[name].remark
    assert all((recorded_column("regularisers", net, "L2 dose") == 0).all() for net in ("mlp", "plain-mlp"))
    assert "the highest falling rate tried" in found["online learning needs a falling rate"].remark
    jobs = EXPERIMENTS["online"].jobs(EXPERIMENTS["online"].settings["reduced"][0], 0)
    tried = [job.recipe.lr for label, job in jobs.items() if label.startswith("1 decaying")]
    assert 0 < (recorded_column("online", "plain-mlp", "1 decaying rate") == max(tried)).mean() < 1
    assert "100 % with either" in found["batch 1 ends worse than batch 32"].remark
    assert all((recorded_column("online", "plain-mlp", f"train {m} constant") == 100).all() for m in (1, 32))


@pytest.mark.parametrize(
    "name, experiment, drop, words",
    [
        (
            "tuning the large batch alone closes F1's gap",
            "learning-rate",
            ("test SB", "test LB"),
            "gap is {:.2f} points",
        ),
        (
            "the root rule closes F1's gap",
            "rate-and-statistics",
            ("test SB", "test LB"),
            "this record's, {:.1g} points",
        ),
        ("F1 is level at the root rule", "fig4", ("test_acc", "test_acc"), "falls by {:.2f} points"),
    ],
)
def test_a_bound_on_f1_is_said_beside_the_gap_of_its_record(name, experiment, drop, words):
    (claim,) = (claim for claim in CLAIMS if claim.name == name)
    values = Columns(recording.largest_with(experiment, "F1").values["F1"])
    first, last = (values[column] for column in drop)
    if first.ndim == 2:
        first, last = first[:, 0], last[:, -1]
    assert words.format((first - last).mean()) in claim.remark


def test_a_small_batchs_own_noise_is_that_of_32_rows_whichever_dose_is_the_most_accurate():
    values = {"dose": [[8, 32, 128]] * 2, "cure_test": [[30, 44, 60], [31, 45, 61]], "cure_1e-3": [[1, 5, 50]] * 2}
    values |= {"test cure": [60, 61], "cure 1e-3": [50] * 2, "test SB": [50] * 2, "test LB": [40] * 2}
    found = {
        claim.name: claim.effect(Columns(values | {"LB 1e-3": [50] * 2}))
        for claim in CLAIMS
        if "own noise" in claim.name
    }
    assert found["a small batch's own noise flattens"] == pytest.approx([1, 1])
    assert found["a small batch's own noise closes half of the gap"] == pytest.approx([-1, 0])


def test_the_best_batch_is_chosen_on_the_validation_split():
    (claim,) = (claim for claim in CLAIMS if claim.name == "the best batches are small")
    test = [[70, 75, 60, 74, 50, 40]]  # 75 and 74 are the best by the test rows
    validation = [[72, 71, 60, 50, 66, 40]]
    assert claim.effect(Columns({"ratio_test": test, "ratio_validation": validation})) == pytest.approx([70 - 50])


def test_the_pull_of_a_conservative_step_is_told_from_its_three_steps():
    (claim,) = (claim for claim in CLAIMS if claim.name == "the pull of a conservative step helps")
    values = {"dose": [[1e-3, 1, 10, 100]] * 2, "cure_test": [[67, 65, 62, 59], [66, 67, 62, 59]]}
    assert claim.effect(Columns(values | {"test cure": [67, 67]})) == pytest.approx([-2, 1])


def test_a_net_that_fits_nearly_all_rows_has_converged_though_others_fit_a_few_more():
    (claim,) = (claim for claim in CLAIMS if claim.name == "too small does not converge")
    for least, word in ((96, "fails"), (30, "holds")):
        effects = claim.effect(Columns({"train_acc": [[least + k / 10, 100, 75] for k in range(5)]}))
        assert verdict(effects, claim.above, claim.below) == word


def test_the_best_rate_between_the_ends_is_not_chosen_by_the_rows_that_judge_it():
    (claim,) = (claim for claim in CLAIMS if claim.name == "an interior best rate")
    values = {"SB_test": [[70, 79, 71, 60], [70, 79, 71, 72]], "SB_validation": [[60, 71, 72, 50], [60, 71, 72, 61]]}
    assert claim.effect(Columns(values)) == pytest.approx([71 - 70, 71 - 72])
    nan = float("nan")
    values = {"SB_test": [[70, 79, 71, nan], [nan, nan, 71, 72]]}
    values |= {"SB_validation": [[60, 71, 72, nan], [nan, nan, 72, 61]]}
    assert claim.effect(Columns(values)) == pytest.approx([71 - 70, 71 - 72]), "what diverged is not chosen"


def test_the_best_size_of_the_sweep_is_not_chosen_by_the_rows_that_judge_it():
    (claim,) = (claim for claim in CLAIMS if claim.name == "an optimum in accuracy")
    values = {"test_acc": [[71, 73, 72, 46], [71, 73, 72, 46]], "validation_acc": [[70, 71, 72, 45], [70, 73, 72, 75]]}
    assert claim.effect(Columns(values)) == pytest.approx([72 - 71, 73 - 46])


@pytest.mark.parametrize("name, effect", [("L1 makes sparse", 0.4), ("L2 makes small", -1)])
def test_a_penalty_is_judged_at_its_middle_dose_though_validation_chose_a_milder_one(name, effect):
    (claim,) = (claim for claim in CLAIMS if claim.name == name)
    values = {"L1_near zero": [[0.1, 0.5, 0.9]], "none near zero": [0.1], "L1 near zero": [0.1]}
    values |= {"L2_norm": [[40, 4, 1]], "none norm": [40], "L2 norm": [40]}
    assert claim.effect(Columns(values)) == pytest.approx([effect])


def test_between_two_bounds_is_both():
    claim = claimed(above=3, below=10)
    words = {}
    for middle in (2, 5, 12, 3):
        values = [middle - 0.1, middle, middle + 0.1, middle, middle]
        words[middle] = judged(claim, values).word
    assert words == {2: "fails", 5: "holds", 12: "fails", 3: "undecided"}


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


def test_the_words_of_a_claim_can_be_read_alone():
    # a reader opens one claim, and it depends on the page which one stands above it
    leaning = r"“?(and|but|nor|or|so|then|also|along which|before that)\b"
    assert [claim.name for claim in CLAIMS if re.match(leaning, claim.words)] == []


@pytest.mark.parametrize("entry", ledger(), ids=lambda entry: entry.claim.name)
def test_a_verdict_follows_from_the_result_file(entry):
    claim, verdicts = entry.claim, entry.judgements
    recorded = [
        net
        for path in RESULTS.glob(f"{claim.experiment}-*.json")
        if path.stem.rsplit("-", 1)[0] == claim.experiment
        for net in json.loads(path.read_text())["values"]
        if not claim.nets or net in claim.nets
    ]
    assert bool(verdicts) == bool(recorded)
    for found in verdicts:
        result = json.loads((RESULTS / f"{claim.experiment}-{found.tier}.json").read_text())
        effects = np.array(claim.effect(Columns(result["values"][found.net])), float)
        effects = effects[np.isfinite(effects)]
        if not len(effects):  # a target that no seed has reached
            assert (found.seeds, found.word, found.amount) == (0, "undecided", "no seed has this number")
            continue
        if len(effects) == 1:
            low, high = -math.inf, math.inf
        elif np.ptp(effects) == 0:  # of seeds that agree the interval is a point, for which scipy has NaN
            low = high = effects.mean()
        else:
            low, high = stats.t.interval(0.95, len(effects) - 1, effects.mean(), stats.sem(effects))
        assert (found.effect, found.seeds) == (pytest.approx(effects.mean()), len(effects))
        holds, fails = low > claim.above and high < claim.below, high < claim.above or low > claim.below
        word = "undecided" if len(effects) < 5 else "holds" if holds else "fails" if fails else "undecided"
        assert found.word == word, (found, low, high)


def test_the_false_discovery_rate_is_that_of_all_judgements_together():
    found = [judgement for entry in ledger() for judgement in entry.judgements]
    order = sorted(found, key=lambda judgement: judgement.p)
    expected = 1.0
    for rank in range(len(order), 0, -1):  # Benjamini and Hochberg 1995, from the largest p downwards
        expected = min(expected, order[rank - 1].p * len(order) / rank)
        assert order[rank - 1].q == pytest.approx(expected)


def test_the_ledger_takes_the_largest_tier_of_each_net(monkeypatch):
    """Whatever the settings of it are called that a tier has."""
    halves = ("mlp, half", "mlp, tenth")
    nets = {"smoke": ("mlp", "plain-mlp", "F1"), "reduced": halves, "colab": ("F1", "C1"), "paper": ("F1",)}

    def recorded(experiment, tier):
        if experiment != "table2" or tier not in nets:
            raise FileNotFoundError
        values = {
            net: {f"{part} {label}": [1.0, 2.0] for part in ("train", "test") for label in ("SB", "LB")}
            for net in nets[tier]
        }
        return Result(experiment, tier, dict.fromkeys(nets[tier], "data"), {}, {}, values, {})

    monkeypatch.setattr(recording, "recorded", recorded)
    for entry in ledger():
        tiers = {verdict.net: verdict.tier for verdict in entry.judgements}
        found = {"F1": "paper", "C1": "colab", "plain-mlp": "smoke"} | dict.fromkeys(halves, "reduced")
        assert tiers == (found if entry.claim.experiment == "table2" else {})


# Prose. A finding is printed by a cell, from a result; what stands in the text itself is a choice, a definition or a
# fact of the data.

GIVEN = {
    "95 %": "the level of every interval",
    "19 times": "the same level, of 20",
    "1.96": "its factor",
    "1 %": "a rule's bound",
    "3 %": "a rule's bound",
    "99 %": "a rule's bound",
    "0.1": "a rule's bound, a guess, an exercise",
    "2.3": "the logarithm of ten, a guess",
    "16 times": "a rule's rate",
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
    "2,000": "a batch size",
    "4,000": "MNIST-1D's rows",
    "5,000": "the rows that an Objective takes at once",
    "1,000": "MNIST-1D's test rows",
    "1,437": "the digits' rows",
    "1,000,000": "a question's batch",
    "1,024": "a source's batch",
    "100,000": "an experiment's rows",
}
NUMBER = re.compile(r"(?<![\w.,])(?:\d{1,3}(?:,\d{3})+|\d+\.\d+(?: million)?|\d+ (?:%|times))(?![\w])")
NOT_PROSE = re.compile(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\]\([^)]*\)|https?://\S+", re.DOTALL)


@pytest.mark.parametrize("file", sorted((RESULTS.parent / "book").glob("*.ipynb")), ids=lambda file: file.stem)
def test_no_number_in_prose_is_a_finding(file):
    for cell in json.loads(file.read_text(encoding="utf8"))["cells"]:
        if cell["cell_type"] == "markdown":
            for number in NUMBER.findall(NOT_PROSE.sub(" ", "".join(cell["source"]))):
                assert number in GIVEN, (
                    f"{file.name}, cell {cell['id']}: {number} is typed; print it from a result, or say in GIVEN "
                    "what it is"
                )


# An outcome is printed by a cell, from the verdict, because the next run may have another. A claim, a rule, a condition
# and a question name outcomes too; they are told by their words.
TOPIC = re.compile(r"\b(batch(es)?|gap|hill|digits|over-fitting)\b", re.IGNORECASE)
OUTCOME = re.compile(
    r"\b(sharper|flatter|steeper|worse|better|reproduced|comes back|(does|did) not (close|help)|closes|levels? off|"
    r"without (a|the) gap|no (gap|hill)|is not (about|over-fitting))\b",
    re.IGNORECASE,
)
ASKED = re.compile(r"\b(if|whether|would|could|can|cannot|claims?|rule|said to|whoever|reports?)\b|\?", re.IGNORECASE)
SENTENCE = re.compile(r"(?<=[.?!])\s+|\n\s*\n|\n(?=[-#|\d])")


def typed_outcomes(text):
    """The sentences of a text that say how a comparison of batches came out."""
    sentences = SENTENCE.split(NOT_PROSE.sub(" ", text))
    return [one for one in sentences if TOPIC.search(one) and OUTCOME.search(one) and not ASKED.search(one)]


def test_a_typed_outcome_is_found():
    for text in (
        "## A data set without a gap",
        "In the full space large batches are sharper, as the paper says.",
        "Stopping early does not close the gap.",
        "On digits the large batch is not the worse one.",
    ):
        assert typed_outcomes(f"A rule. {text}\n\nIs it?") == [text]
    for text in ("Is the large batch sharper?", "The claim is that large batches generalise worse."):
        assert not typed_outcomes(text)


@pytest.mark.parametrize("file", sorted((RESULTS.parent / "book").glob("*.ipynb")), ids=lambda file: file.stem)
def test_no_outcome_is_typed(file):
    for cell in json.loads(file.read_text(encoding="utf8"))["cells"]:
        caption = cell["metadata"].get("mystnb", {}).get("figure", {}).get("caption", "")
        prose = "".join(cell["source"]) if cell["cell_type"] == "markdown" else ""
        for text in (prose, caption):
            assert not (found := typed_outcomes(text)), (
                f"{file.name}, cell {cell['id']}: {found[0]!r} says how something came out: print it from the verdict"
            )


def test_the_readme_tells_its_picture_as_the_results_have_it():
    words = r"!\[Test accuracy falls and sharpness rises .* from (\d+) to (\d+), .* ten seeds"
    told = re.search(words, README.read_text())
    values = recording.largest_with("fig4", "mlp, half").values["mlp, half"]
    sizes = values[columns.BATCH_SIZE][0]
    least, end = (sizes.index(int(size)) for size in told.groups())
    tested, sharp = (np.mean(values[name], 0) for name in (columns.accuracy("test"), columns.phi_series(1e-3)))
    assert least == 0 and len(values[columns.BATCH_SIZE]) == 10
    assert (np.diff(tested[: end + 1]) < 0).all() and (np.diff(sharp[: end + 1]) > 0).all()
    assert np.ptp(tested[end:]) < np.ptp(tested) / 20 and np.ptp(np.log(sharp[end:])) < np.ptp(np.log(sharp)) / 10


def test_the_facts_of_the_data_in_prose_are_facts():
    mnist1d, digits = flatlab.load("mnist1d", device="cpu"), flatlab.load("digits", device="cpu")
    assert (len(mnist1d.train), len(mnist1d.test), len(digits.train)) == (4000, 1000, 1437)
    assert flatlab.Objective("mlp", mnist1d.train).size == 212_490
    assert flatlab.Recipe().lr == 0.001 and round(paper.NETWORKS["F1"].parameters / 1e6, 1) == 1.5


# The works that followed the paper, each with claims that are about what it says.
FOLLOWED = {
    "Hoffer et al. 2017": ("the whole regime closes the gap", "the root rule closes the gap", "ghost batches help"),
    "Dinh et al. 2017": ("the same function, ten times as sharp", "phi sees the rescaling too"),
    "Goyal et al. 2017": ("the linear rule closes the gap", "the linear rule needs its warm-up"),
    "Smith and Le 2018; Smith et al. 2018": ("an interior best rate", "do not decay the rate, increase the batch"),
    "Li et al. 2018": ("weight decay turns the line's verdict round", "filter normalisation does not turn"),
    "Jastrzębski et al. 2017": ("only the ratio matters: accuracy", "a larger ratio is flatter"),
    "McCandlish et al. 2018": ("the noise scale tells the critical batch", "two batches tell it"),
    "Shallue et al. 2019": ("tuning closes the gap", "diminishing returns at large batches"),
    "You et al. 2017; You et al. 2020": ("LARS closes the gap", "LAMB closes the gap"),
    "Izmailov et al. 2018": ("averaging helps the small batch", "averaging flattens"),
    "Foret et al. 2021": ("sharpness-aware steps flatten", "SAM beyond its gradients"),
    "Kwon et al. 2021": ("adaptive sharpness-aware steps flatten", "ASAM beyond its gradients"),
    "Cohen et al. 2021": ("the edge of stability, squared, rate 0.1", "progressive sharpening"),
    "Jiang et al. 2020": ("phi orders nets", "phi orders nets, axis by axis"),
    "Andriushchenko et al. 2023": ("sharpness follows the rate",),
    "Garipov et al. 2018; Gotmare et al. 2018": ("a curve has no barrier", "a curve loses no test accuracy"),
    "Geiping et al. 2022": ("a gradient penalty flattens", "a gradient penalty closes the gap"),
    "Masters and Luschi 2018": ("the best batches are small",),
    "Shen 2018": ("the large batch is not stuck", "a higher rate frees the large batch as well", "further is better"),
    "Hochreiter and Schmidhuber 1997": ("a search for flat minima helps",),
}
ALSO = {
    "Nado et al. 2021": ("tuned momentum does as well as LARS", "tuned Adam does as well as LAMB"),
    "Malladi et al. 2022": ("with Adam the root rule, not the linear one",),
    "engrXiv 7356": (
        "the variance is as one over the batch",
        "sharpness of 512 over 32",
        "the critical batch grows as the root of the data",
    ),
    "a well-known course": ("a rate that falls as the batch grows",),
}


@pytest.mark.parametrize("works", [*FOLLOWED, *ALSO])
def test_every_work_that_followed_has_its_claims(works):
    sources = {claim.name: claim.source for claim in CLAIMS}
    assert len(FOLLOWED) == 20
    wanted = (FOLLOWED | ALSO)[works]
    assert {sources.get(name, f"no claim {name!r}") for name in wanted} == set(works.split("; "))


def test_a_column_is_spelt_where_all_columns_are():
    """A claim reads a column by the name that its experiment writes: a second spelling could differ by a letter."""
    spelt = {name for key, name in vars(columns).items() if key.isupper() and (" " in name or "_" in name)}
    study = Path(columns.__file__).parent
    again = [
        (file.name, node.lineno, node.value)
        for file in study.rglob("*.py")
        if file.stem != "columns"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and node.value in spelt
    ]
    assert not again


def test_what_an_experiment_measures_is_named_where_all_columns_are():
    """A key that is typed where it is written would be typed again where it is read."""
    typed = []
    for file in Path(columns.__file__).parent.glob("*.py"):
        for function in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(function, ast.FunctionDef)
                and function.returns
                and ast.unparse(function.returns) == "Measured"
            ):
                parts = list(ast.walk(function))
                keys = [key for part in parts if isinstance(part, ast.Dict) for key in part.keys]
                keys += [
                    each.slice
                    for each in parts
                    if isinstance(each, ast.Subscript) and ast.unparse(each.value) == "found"
                ]
                typed += [
                    (file.name, key.lineno, key.value)
                    for key in keys
                    if isinstance(key, ast.Constant) and key.value not in ("SB", "LB")
                ]
    assert not typed


def test_a_columns_name_is_made_of_the_words_that_all_columns_have():
    """`of("LB", "epochs")` would spell again what `columns.EPOCHS` spells, in the study and in its figures."""
    spelt = {name for key, name in vars(columns).items() if key.isupper()}
    package = Path(columns.__file__).parent.parent
    again = []
    for file in (*(package / "study").rglob("*.py"), *(package / "plots").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("of", "at", "series"):
                words = [one for one in node.args if isinstance(one, ast.Constant) and one.value in spelt]
                again += [(file.name, node.lineno, one.value) for one in words]
    assert not again
