"""The figures of The threshold, and starting warm: what is drawn and read out is what a made-up result holds."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from flatlab.plots import style
from flatlab.plots import threshold_and_warm_start as figures
from flatlab.study import paper
from flatlab.study.recorded import Result

SIZES = [32, 50, 80, 125, 200, 317, 500, 800, 1250]


def a_result(experiment, values, seeds=3, recipes=None, net="mlp", tier="smoke"):
    recipes = {net: recipes or {}}
    return Result(experiment, tier, {net: "mnist1d"}, {net: tuple(range(seeds))}, recipes, {net: values}, {})


def sizes_result(fall=2, seeds=3, experiment="fig4", **options):
    """Accuracy falls by so many points per size, sharpness doubles every second one."""
    shift, places = np.linspace(-1, 1, seeds)[:, None], np.arange(len(SIZES))
    values = {
        "batch_size": [SIZES] * seeds,
        "test_acc": (60 - fall * places + shift).tolist(),
        "sharp_1e-3": (10 * 2 ** (places / 2) * np.exp(0.1 * shift)).tolist(),
        "threshold": [32] * seeds,
    }
    return a_result(experiment, values, seeds, **options)


def warm_result(seeds=3):
    """The later the start, the more accurate and the flatter; at the end the sharpness is zero."""
    shift = np.linspace(-0.5, 0.5, seeds)[:, None]
    values = {
        "sb_epoch": [[0, 1, 5, 20]] * seeds,
        "SB_acc": (np.array([10, 45, 55, 60]) + shift).tolist(),
        "PB_acc": (np.array([52, 54, 58, 63]) + shift).tolist(),
        "sharp_1e-3": (np.array([40, 30, 8, 0]) * np.exp(shift)).tolist(),
    }
    return a_result("fig5", values, seeds)


def further_result(seeds=3):
    """Four ways to go on from the small batch's end."""
    shift = np.linspace(-0.5, 0.5, seeds)
    ends = {"SB": (60, 20), "SB on": (59, 18), "LB on": (62, 5), "SB root slower": (61, 8), "SB slower": (62.5, 4)}
    values = {f"test {run}": (test + shift).tolist() for run, (test, _) in ends.items()}
    values |= {f"{run} 1e-3": (phi * np.exp(shift)).tolist() for run, (_, phi) in ends.items()}
    rates = {"SB": 1e-3, "SB root slower": 2.5e-4, "SB slower": 6.4e-5}
    return a_result("warm-decay", values, seeds, {run: {"lr": lr} for run, lr in rates.items()})


def test_each_size_is_a_position_that_reads_what_was_recorded():
    result = sizes_result()
    drawn = figures.by_size(result, "mlp", start=4)
    tests, sharp = (np.array(result.values["mlp"][name]) for name in ("test_acc", "sharp_1e-3"))
    assert len(drawn.layers) == len(drawn.says) == len(SIZES)
    for place, (said, row) in enumerate(zip(drawn.says, drawn.picture.table)):
        phi = np.exp(np.log(sharp[:, place]).mean())
        assert said.startswith(
            f"Batch {SIZES[place]}: {tests[:, place].mean():.1f} % of the test rows are right, and the sharpness is "
            f"{phi:.3g} %"
        )
        assert row["test accuracy"] == pytest.approx(tests[:, place].mean())
    assert drawn.says[2].endswith("%. Beside batch 32 that is −4.0 points and 2 times the sharpness.")


def test_both_ways_start_at_nought_and_the_paper_lies_behind_in_grey():
    result, level = sizes_result(), sizes_result(fall=0)
    drawn = figures.beside_the_paper({"one rate": result, "root rule": level}, "mlp")
    for panel, column in zip(drawn.panels, ("test_acc", "sharp_1e-3")):
        (theirs,) = (line for line in panel.axes[0].lines if line.get_color() == style.PAPER)
        value = paper.curve("fig4", "C1", column)["value"]
        assert theirs.get_ydata() == pytest.approx(value - value[0] if column == "test_acc" else value)
        dots = [line for line in panel.axes[0].lines if line.get_marker() == "o"]
        assert [line.get_markerfacecolor() == "none" for line in dots] == [False] * 9 + [True] * 9
        for way in (dots[:9], dots[9:]):
            assert way[0].get_color().upper() == style.SMALL and way[-1].get_color().upper() == style.LARGE
    found = {
        (row["way"], row["batch size"]): row["mean"] for row in drawn.table if row["measured"].startswith("points")
    }
    assert found["one rate", 32] == 0 and found["one rate", 1250] == pytest.approx(-16)
    assert found["root rule", 1250] == pytest.approx(0)


def test_a_warm_start_is_measured_from_the_large_batch_on_its_own():
    drawn = figures.warm_starts(warm_result(), "mlp")
    first, *_, last = drawn.table
    assert (first["epoch"], last["epoch"]) == (0, 20)
    assert first["large batch from there, points"] == 0
    assert last["large batch from there, points"] == pytest.approx(11)
    assert last["small batch, points"] == pytest.approx(8)
    assert last["phi of the large batch"] == pytest.approx(style.LEAST), "zero has no logarithm"
    above, below = drawn.panels[0].axes
    assert [line.get_color() for line in above.lines[:4]] == [style.PAPER, style.PAPER, style.SMALL, style.LARGE]
    assert [line.get_color() for line in below.lines] == [style.PAPER, style.LARGE]
    low, high = above.get_ylim()
    assert low < -7 and high > 11, "what a trained net reaches is seen"


def test_four_ways_to_go_on_name_the_rate_they_were_run_at():
    drawn = figures.continuations(further_result(), "mlp")
    assert [row["way"] for row in drawn.table] == [
        "small, as it was",
        "large batch",
        "small, rate / 4",
        "small, rate / 15.6",
    ]
    assert [row["points"] for row in drawn.table] == pytest.approx([-1, 2, 1, 2.5])
    assert [row["phi"] for row in drawn.table] == pytest.approx([18, 5, 8, 4])
    for panel in drawn.panels:
        axes = panel.axes[0]
        low, high = axes.get_xlim()
        seeds = [line for line in axes.lines if line.get_marker() == "o"]
        assert len(seeds) == 4 and all(low < value < high for line in seeds for value in line.get_xdata())


def test_what_is_compared_was_recorded_at_one_tier_on_one_network(monkeypatch):
    kept = {
        ("fig4", "paper"): sizes_result(net="C1", tier="paper"),
        ("fig4", "smoke"): sizes_result(),
        ("threshold-root", "smoke"): sizes_result(experiment="threshold-root"),
    }

    def recorded(experiment, tier):
        if (experiment, tier) not in kept:
            raise FileNotFoundError
        return kept[experiment, tier]

    monkeypatch.setattr(figures, "recorded", recorded)
    assert figures.at_one_tier("fig4")[0] == "C1"
    net, results = figures.at_one_tier("fig4", "threshold-root")
    assert net == "mlp" and [result.experiment for result in results] == ["fig4", "threshold-root"]
    assert {result.tier for result in results} == {"smoke"}
    kept["threshold-root", "paper"] = sizes_result(experiment="threshold-root", net="F1", tier="paper")
    assert figures.at_one_tier("fig4", "threshold-root")[0] == "mlp", "not on one network"
    assert figures.at_one_tier("fig5") is None
