"""The figures of What a batch costs: what is drawn and read out is what a made-up machine does."""

import math

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from flatlab.plots import style
from flatlab.plots import what_a_batch_costs as figures
from flatlab.study.performance import NOTES
from flatlab.study.recorded import Result

SIZES, WORKERS = [2**k for k in range(2, 15)], [1, 4, 16, 64]
A, B_ROW, CRITICAL = 2e-3, 2e-5, 150


def messages(workers):
    return 1e-4 * (workers - 1)


def seconds(size, workers):
    return A + B_ROW * size / workers + messages(workers)


def updates(size):
    return 1 + CRITICAL / size


def the_clock():
    return figures.clock(seconds, messages, updates, SIZES, WORKERS, "a machine", start=1)


def performance_result(seeds=3):
    """Two workers take longer than one, and the large batch sees half as many rows again."""
    values = {
        "rows SB": [32] * seeds,
        "rows LB": [400] * seeds,
        "efficiency SB": np.linspace(0.3, 0.4, seeds).tolist(),
        "updates ratio": (1.5 * 32 / 400 * np.exp(np.linspace(-0.1, 0.1, seeds))).tolist(),
    }
    return Result("performance", "smoke", {"mlp": "mnist1d"}, {"mlp": tuple(range(seeds))}, {}, {"mlp": values}, {})


FACTORS = {"one rate": {32: (0.1, 3), 125: (0.04, 5), 500: (0.02, 11)}, "root rule": {32: (0.1, 3), 500: (0.02, 4)}}


def test_each_number_of_workers_is_a_position_that_reads_the_fastest_batch():
    drawn = the_clock()
    least = min(updates(m) * seconds(m, 1) for m in SIZES)
    assert len(drawn.layers) == len(drawn.says) == len(WORKERS)
    for count, said, row in zip(WORKERS, drawn.says, drawn.picture.table):
        time = {m: updates(m) * seconds(m, count) for m in SIZES if m >= count}
        best = min(time, key=time.get)
        assert row["best batch"] == best and row["times as fast"] == pytest.approx(least / time[best])
        assert said.startswith(f"{count} worker{'s' * (count > 1)}: a batch of {best:,} is first at the goal")
        closed = math.sqrt((A + messages(count)) * CRITICAL * count / B_ROW)
        assert 0.5 < best / closed < 2, "the grid's best lies beside the root of c B P / b"
    assert "times as fast" not in drawn.says[0] and "messages" not in drawn.says[0], "one worker has nobody to talk to"
    assert (
        f"{100 * messages(16) / seconds(drawn.picture.table[2]['best batch'], 16):.0f} % of it messages"
        in drawn.says[2]
    )


def test_a_batch_with_fewer_rows_than_workers_is_not_drawn():
    for count, layer in zip(WORKERS, the_clock().layers):
        assert min(layer[0].get_xdata()) >= count


def test_the_line_is_the_fit_and_a_dot_is_a_measurement():
    drawn = figures.update_time([8, 64, 512], [2.2e-3, 3.1e-3, 12e-3], A, B_ROW, "mnist1d")
    time, speed = (panel.axes[0] for panel in drawn.panels)
    m = time.lines[0].get_xdata()
    assert time.lines[0].get_ydata() == pytest.approx(1e3 * (A + B_ROW * m))
    assert speed.lines[0].get_ydata() == pytest.approx(m / (A + B_ROW * m))
    assert [row["rows per second"] for row in drawn.table] == pytest.approx([8 / 2.2e-3, 64 / 3.1e-3, 512 / 12e-3])


def test_the_last_of_three_panels_is_the_product_of_the_others():
    drawn = figures.three_factors(FACTORS, "mnist1d")
    for row in drawn.table:
        per, epochs = FACTORS[row["way"]][row["batch size"]]
        assert row["seconds in all"] == pytest.approx(per * epochs)
    for panel in drawn.panels:
        dots = [line for line in panel.axes[0].lines if line.get_marker() == "o"]
        assert [line.get_markerfacecolor() == "none" for line in dots] == [False] * 3 + [True] * 2
        assert dots[0].get_color().upper() == style.SMALL and dots[2].get_color().upper() == style.LARGE


def test_the_papers_example_lies_on_the_curve_and_the_notes_above_it():
    drawn = figures.appendix_c(performance_result(), "mlp")
    found = {row["point"]: (row["efficiency"], row["rows, large over small"]) for row in drawn.table}
    f, y = found["the paper's example"]
    assert f * y == pytest.approx(1)
    f, y = found["notes, 32 and 256"]
    assert y == NOTES[256].epochs / NOTES[32].epochs and f * y > 1
    assert found["seed 1"] == pytest.approx((0.35, 1.5))
    (axes,) = drawn.panels[0].axes
    line = axes.lines[0]
    assert line.get_ydata() == pytest.approx(1 / line.get_xdata())
    (low, high), (left, right) = axes.get_ylim(), axes.get_xlim()
    assert all(left < f < right and low < y < high for f, y in found.values())


def test_what_is_ours_is_orange_and_what_is_the_papers_grey():
    (axes,) = figures.appendix_c(performance_result(), "mlp").panels[0].axes
    colours = {text.get_text(): text.get_color() for text in axes.texts}
    assert colours["ours"] == style.LARGE and colours["the paper's example"] == style.PAPER
