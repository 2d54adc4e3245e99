"""The figures of Does sharpness predict?: what is drawn and read out is what the made-up nets hold."""

import itertools

import numpy as np
import pytest

pytest.importorskip("matplotlib")
from scipy.stats import kendalltau

from flatlab.plots import does_sharpness_predict as figures
from flatlab.plots import style

BATCHES, RATES, WIDTHS = (32, 125, 500), (0.001, 0.004), ("mlp", "small-mlp")


def made_up_nets():
    """The error rises with the batch size, less with the rate; "right" orders them as it does, "wrong" the other way
    round, and "known" is decided before training."""
    nets = []
    for choice in itertools.product(BATCHES, RATES, WIDTHS):
        batch, rate, width = choice
        error = 50 + 3 * BATCHES.index(batch) + RATES.index(rate) + 10 * WIDTHS.index(width)
        nets.append((choice, error, {"right": error**2, "wrong": -error, "known": float(WIDTHS.index(width))}))
    return nets


def two_terms():
    widths = [0.01, 0.1, 1.0]
    return {
        32: {"width": widths, "error": [0, 0.1, 0.9], "margin": [20, 2, 0.2]},
        500: {"width": widths, "error": [0, 0.4, 0.9], "margin": [10, 1, 0.1]},
    }


def test_a_second_choice_turns_tau_round_and_leaves_it_along_the_first():
    """Twelve nets: 18 pairs differ in the batch size alone. All are concordant, and far apart the other 48 are not."""
    drawn = figures.two_choices((0, 0.25, 10), (32, 125, 500, 2000))
    assert "blue: batch 32, orange: 2,000" in drawn.picture.panels[0].axes[0].get_title(loc="left")
    nothing, little, much = drawn.picture.table
    assert nothing["all nets"] == pytest.approx(1) and nothing["second choice alone"] == 0
    assert much["all nets"] == pytest.approx((18 - 48) / 66) and much["second choice alone"] == pytest.approx(-1)
    assert [row["batch size alone"] for row in (nothing, little, much)] == pytest.approx([1, 1, 1])
    b, g = (each.ravel() for each in np.meshgrid(range(4), range(3)))
    assert little["all nets"] == pytest.approx(kendalltau(b + 0.25 * g, b - 0.25 * g).statistic)
    assert drawn.says[2] == (
        "Shift 10.00: Kendall's τ is −0.45 over all 12 nets, +1.00 along the batch size alone and −1.00 along the "
        "second choice alone."
    )
    dots = [artist for artist in drawn.layers[1] if artist.axes is drawn.picture.panels[0].axes[0]]
    assert sorted(dot.get_xdata()[0] for dot in dots) == pytest.approx(sorted(b + 0.25 * g))
    assert sorted(dot.get_ydata()[0] for dot in dots) == pytest.approx(sorted(b - 0.25 * g))


def test_a_net_stands_at_its_rank_and_looks_like_its_choices():
    nets = made_up_nets()
    drawn = figures.by_measure(nets, ("batch size", "rate", "width"), "mnist1d")
    right, wrong, width = drawn.layers
    order = np.argsort([error for _, error, _ in nets]).argsort() + 1
    assert [dot.get_xdata()[0] for dot in right] == order.tolist()
    assert [dot.get_xdata()[0] for dot in wrong] == (13 - order).tolist()
    assert {dot.get_xdata()[0] for dot in width} == {3.5, 9.5}, "equal values share their mean rank"
    for dot, ((batch, rate, net), error, _) in zip(right, nets):
        assert dot.get_ydata()[0] == error
        assert dot.get_marker() == "os"[WIDTHS.index(net)]
        assert (dot.get_markerfacecolor() == "none") == (rate == RATES[1])
        if batch != 125:
            assert dot.get_color().upper() == (style.SMALL if batch == 32 else style.LARGE)
    assert drawn.says[0] == (
        "right: Kendall's τ with the test error is +1.00 over all nets; +1.00 along the batch size, +1.00 along the "
        "rate, +1.00 along the width."
    )
    assert "−1.00 over all nets" in drawn.says[1]
    assert drawn.says[2].endswith("+0.00 along the batch size, +0.00 along the rate, +1.00 along the width.")
    assert drawn.picture.table[0] == {"batch size": 32, "rate": 0.001, "width": "mlp", "test error": 50.0} | {
        "right": 2500.0,
        "wrong": -50.0,
        "known": 0.0,
    }


def test_both_terms_of_the_bound_are_drawn_with_the_line_that_says_nothing():
    found = two_terms()
    drawn = figures.bound_by_width(found, "mnist1d")
    error, margin = (panel.axes[0] for panel in drawn.panels)
    for axes, name in ((error, "error"), (margin, "margin")):
        lines = {line.get_color().upper(): list(line.get_ydata()) for line in axes.lines}
        assert lines[style.SMALL] == found[32][name] and lines[style.LARGE] == found[500][name]
    assert list(margin.lines[-1].get_ydata()) == [1, 1]
    assert drawn.table[4] == {"batch size": 500, "width": 0.1, "error": 0.4, "margin": 1}
