"""The figures of How large a batch pays: what is drawn and read out follows from made-up counts."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from flatlab.plots import how_large_a_batch_pays as figures
from flatlab.plots import style
from flatlab.study.gradient_noise import hyperbola

LEAST, ROWS = 60, 3600  # S_min and E_min: the critical batch size is 60
COUNTS = {m: round(LEAST + ROWS / m) for m in (8, 32, 60, 128, 500)}


def the_trade():
    return figures.trade(COUNTS, LEAST, ROWS, 1, "mnist1d", start=2)


def the_scales():
    return figures.two_scales(
        {"to a loss of 1": [60], "recorded": [400, 500, 620]}, {"at the start": [150, 200, 260]}, "mnist1d", 3, "smoke"
    )


def test_each_batch_size_is_a_position_that_says_what_it_pays():
    drawn = the_trade()
    assert len(drawn.layers) == len(drawn.says) == len(COUNTS)
    assert (
        drawn.says[2]
        == "Batches of 60: 120 updates, 7,200 rows. That is 2.0 times the fewest updates and 2.0 times the fewest rows."
    )
    for (m, count), row in zip(COUNTS.items(), drawn.picture.table):
        assert (row["batch size"], row["updates"], row["rows"]) == (m, count, m * count)
        assert row["updates, fitted"] == pytest.approx(count, abs=0.5)
    assert hyperbola(list(COUNTS.items())) == pytest.approx(ROWS / LEAST, rel=0.02)


def test_the_curve_is_the_hyperbola_and_the_dotted_line_perfect_scaling():
    updates, plane = (panel.axes[0] for panel in the_trade().picture.panels)
    dotted, curve = updates.lines[:2]
    assert dotted.get_xdata() * dotted.get_ydata() == pytest.approx(np.full(80, 8 * COUNTS[8]))
    S, E = plane.lines[0].get_xdata(), plane.lines[0].get_ydata()
    assert (S / LEAST - 1) * (E / ROWS - 1) == pytest.approx(np.ones(80))
    assert curve.get_ydata() == pytest.approx(S)
    assert plane.lines[1].get_xdata()[0] == LEAST and plane.lines[2].get_ydata()[0] == ROWS


def test_a_ring_lies_on_the_dot_of_its_batch_size_in_both_panels():
    drawn = the_trade()
    for layer, (m, count) in zip(drawn.layers, COUNTS.items()):
        left, right = layer
        assert (left.get_xdata()[0], left.get_ydata()[0]) == (m, count)
        assert (right.get_xdata()[0], right.get_ydata()[0]) == (count, m * count)
    colours = [layer[0].get_color().upper() for layer in drawn.layers]
    assert colours[0] == style.SMALL and colours[-1] == style.LARGE


def test_rates_that_follow_the_law_lie_on_its_curve():
    rates = {m: 0.8 / (1 + 60 / m) for m in (8, 32, 128, 500)}
    drawn = figures.best_rates(rates, 60, "mnist1d")
    for row in drawn.table:
        assert row["by the curve"] == pytest.approx(row["best rate"])
    curve, linear, root = drawn.panels[0].axes[0].lines[:3]
    assert curve.get_ydata()[-1] == pytest.approx(rates[500])
    for line, power in ((linear, 1), (root, 0.5)):
        x, y = line.get_xdata(), line.get_ydata()
        assert y[0] == pytest.approx(rates[8]) and y[-1] / y[0] == pytest.approx((x[-1] / x[0]) ** power)


def test_a_critical_batch_is_filled_a_noise_scale_is_open_and_neither_leaves_the_axis():
    drawn = the_scales()
    assert drawn.stamp == (
        "recorded: smoke tier · MNIST-1D · 3 seeds, 95 % intervals; "
        "of this page: smoke tier · MNIST-1D · 1 seed, no interval"
    )
    axes = drawn.panels[0].axes[0]
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [line.get_markerfacecolor() == "none" for line in dots] == [False, False, True]
    assert [row["rows"] for row in drawn.table] == pytest.approx(
        [60, np.cbrt(400 * 500 * 620), np.cbrt(150 * 200 * 260)]
    )
    low, high = axes.get_xlim()
    assert all(low < line.get_xdata()[0] < high for line in dots)
    assert axes.xaxis.get_major_formatter()(1000, 0) == "1,000", "numbers, not powers of ten"
