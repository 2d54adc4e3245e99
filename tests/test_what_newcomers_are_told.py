"""The figures of What newcomers are told: what is drawn and read out is what a made-up result holds."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")
from scipy import stats

from flatlab.plots import style
from flatlab.plots import what_newcomers_are_told as figures
from flatlab.study.recorded import Result

CONDITIONS = (1, 10, 1000)
LEFT = {"batches of 1,000": [2e-5, 4e-5, 1e-4], "all rows": [1e-5, 1e-2, 5e-2]}


def regression_result(seeds=3):
    """All rows leave a tenth after all passes, a hundredth at equal updates and ten times as much at equal seconds;
    the next problem turns it round."""
    shift = np.linspace(0.5, 2, seeds)

    def values(turn):
        found = {}
        for way, power in (("few", 0), ("all", turn)):
            found |= {
                f"{way} excess": [[1.0, float(s * 0.1**power)] for s in shift],
                f"{way} equal updates": [0.01**power] * seeds,
                f"{way} equal seconds": (10.0**power * np.ones(seeds)).tolist(),
            }
        found["few equal seconds"] = shift.tolist()
        return found

    nets = {"even": values(1), "many uneven": values(-1), "network": values(1)}
    data = {"even": "4 normal features", "many uneven": "64 normal features", "network": "4 normal features"}
    return Result("regression", "smoke", data, dict.fromkeys(data, tuple(range(seeds))), {}, nets, {})


def test_each_condition_is_a_position_that_says_which_way_leaves_more():
    drawn = figures.two_ways(CONDITIONS, LEFT, "a formula", start=1)
    assert len(drawn.layers) == len(drawn.says) == 3
    assert drawn.says[0].endswith("What batches of 1,000 leave is 2 times as much.")
    assert drawn.says[1] == (
        "Condition number 10: batches of 1,000 leave 4·10⁻⁵, all rows leave 0.01. What all rows leave is 250 times as "
        "much."
    )
    small, large = (line for line in drawn.picture.panels[0].axes[0].lines if len(line.get_xdata()) == 3)
    assert (small.get_color(), list(small.get_ydata())) == (style.SMALL, LEFT["batches of 1,000"])
    assert (large.get_color(), list(large.get_ydata())) == (style.LARGE, LEFT["all rows"])
    assert drawn.picture.table[2] == {"condition number": 1000.0, "batches of 1,000": 1e-4, "all rows": 5e-2}


def test_a_problem_is_compared_in_three_ways_seed_by_seed():
    result = regression_result()
    drawn = figures.by_problem(result)
    assert [row["problem"] for row in drawn.table[::3]] == ["4 features, even", "64 features, uneven"] + [
        "4 features, a network"
    ]
    assert [row["decades"] for row in drawn.table[:2]] == pytest.approx([-1, -2])
    assert [row["decades"] for row in drawn.table[3:5]] == pytest.approx([1, 2])
    seconds = 1 - np.log10(np.linspace(0.5, 2, 3))
    assert drawn.table[2]["decades"] == pytest.approx(seconds.mean())
    low, high = stats.t.interval(0.95, 2, seconds.mean(), stats.sem(seconds))
    assert (drawn.table[2]["low"], drawn.table[2]["high"]) == pytest.approx((low, high))
    left, right = drawn.panels[0].axes[0].get_xlim()
    assert left < -2 and right > 2, "every seed is seen"
    assert "\n" not in drawn.alt
