"""The figures of the evidence: what is drawn is what a made-up result holds."""

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("matplotlib")

from flatlab.plots import style
from flatlab.plots.waterfall import waterfall
from flatlab.study.recorded import Result

RUNS = {"SB": 58, "LB": 52, "rate": 56, "ghost": 53, "updates": 57, "rate ghost": 57.5, "regime": 59.5}


def way_result(experiment="waterfall", without=(), seeds=3):
    """A result with an accuracy for each run of the waterfall."""
    random = np.random.default_rng(0)
    values = {
        f"test {run}": random.normal(level, 1, seeds).tolist() for run, level in RUNS.items() if run not in without
    }
    return Result(experiment, "smoke", {"mlp": "mnist1d"}, tuple(range(seeds)), {}, {"mlp": values}, {})


def test_the_waterfalls_steps_lead_from_the_large_batch_to_the_small_one_and_are_paired_by_seed():
    result = way_result()
    values = {run: np.array(result.values["mlp"][f"test {run}"]) for run in RUNS}
    drawn = waterfall(result)
    first, *steps, last = drawn.rows
    assert [row["step"] for row in drawn.rows] == [
        *("large batch", "rate", "ghost batches", "more updates", "the rest", "small batch")
    ]
    assert first["accuracy"] == pytest.approx(values["LB"].mean())
    assert sum(row["change"] for row in steps) == pytest.approx(last["accuracy"] - first["accuracy"])
    for row, before, after in zip(steps, *((way := ["LB", "rate", "rate ghost", "regime", "SB"]), way[1:])):
        change = values[after] - values[before]
        ends = stats.t.interval(0.95, 2, change.mean(), stats.sem(change))
        assert (row["change, low"], row["change, high"]) == pytest.approx(ends)
    axes = drawn.panels[0].axes[0]
    for bar, before, row in zip(axes.patches, drawn.rows, steps):
        assert bar.get_y() == pytest.approx(before["accuracy"])
        assert bar.get_y() + bar.get_height() == pytest.approx(row["accuracy"])
    assert [text.get_text() for text in axes.texts] == [f"{row['change']:+.1f}" for row in steps]
    dots = [line.get_color() for line in axes.lines if line.get_marker() == "o"]
    assert dots == [style.LARGE, style.SMALL, style.CONTROL, style.CONTROL]


def test_without_runs_of_more_updates_they_belong_to_the_rest():
    drawn = waterfall(way_result("rate-and-statistics", without=("regime", "updates"), seeds=1))
    assert [row["step"] for row in drawn.rows[1:-1]] == ["rate", "ghost batches", "the rest"]
    assert "nan" not in drawn.alt and drawn.stamp.endswith("1 seed, no interval")


def test_a_result_without_the_way_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="^waterfall has no run 'rate ghost': draw a result of waterfall or rate-and-"):
        waterfall(way_result(without=("rate ghost",)))
