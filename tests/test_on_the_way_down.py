"""The figures of On the way down: what is drawn and read out is what a made-up result holds."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from flatlab.plots import on_the_way_down as figures
from flatlab.plots import style
from flatlab.study.recorded import Result

EPOCHS = [1, 5, 10, 20]


def way_down_result(seeds=3, net="mlp"):
    """The large batch's sharpness grows from one kept epoch to the next, the small batch's falls and ends at zero."""
    spread = np.exp(np.linspace(-0.1, 0.1, seeds))[:, None]
    values = {
        "epoch": [EPOCHS] * seeds,
        "SB_cross_entropy": (np.array([1, 0.1, 0.05, 0.01]) * spread).tolist(),
        "LB_cross_entropy": (np.array([2, 1, 0.5, 0.1]) * spread).tolist(),
        "SB_1e-3": (np.array([20, 10, 5, 0]) * spread).tolist(),
        "LB_1e-3": (np.array([20, 40, 60, 80]) * spread).tolist(),
    }
    return Result("fig6", "smoke", {net: "mnist1d"}, {net: tuple(range(seeds))}, {net: {}}, {net: values}, {})


def test_each_epoch_is_a_position_that_reads_what_was_recorded():
    drawn = figures.by_epoch(way_down_result(), "mlp", start=1)
    assert len(drawn.layers) == len(drawn.says) == len(EPOCHS)
    assert drawn.says[1] == (
        "After epoch 5: the small batch has a loss of 0.1 and a sharpness of 10 %; the large batch has a loss of 1 and "
        "a sharpness of 40 %."
    )
    assert [row["phi(1e-3), large batch"] for row in drawn.picture.table] == pytest.approx([20, 40, 60, 80])
    assert all(len(layer) == 2 for layer in drawn.layers), "a dot for each batch"


def test_the_loss_falls_to_the_right_and_the_small_batch_is_blue():
    (panel,) = figures.by_epoch(way_down_result(), "mlp").picture.panels
    axes = panel.axes[0]
    left, right = axes.get_xlim()
    assert left > right
    small, large = (line for line in axes.lines if not str(line.get_label()).startswith("_"))
    assert (small.get_color(), large.get_color()) == (style.SMALL, style.LARGE)
    assert small.get_ydata() == pytest.approx([20, 10, 5, style.LEAST])


def test_a_ratio_is_the_geometric_mean_over_seeds():
    found = {
        "mlp": {"largest eigenvalue": [1, 4], "trace": [10, 10]},
        "plain-mlp": {"largest eigenvalue": [30, 30], "trace": [0.5, 2]},
    }
    drawn = figures.ratios(found, style.stamp("mnist1d", 2))
    assert [row["ratio"] for row in drawn.table] == pytest.approx([2, 10, 30, 1])
    assert len(drawn.panels) == 2 and "2 seeds" in drawn.stamp
    for panel in drawn.panels:
        low, high = panel.axes[0].get_xlim()
        assert low < 0.5 and high > 30, "every seed is seen, and both networks on one scale"


def test_the_last_dots_are_those_of_the_last_product():
    found = [[3.0], [1.0, 4.0], [-2.0, 2.0, 5.0]]
    drawn = figures.ritz_values(found, np.linspace(-2, 5, 50))
    assert drawn.table[-1] == {"products": 3, "smallest": -2.0, "largest": 5.0}
    assert "the largest from 3 at 1 to 5 at 3" in drawn.alt and "50 eigenvalues, from −2 to 5" in drawn.alt
    dots = [line for line in drawn.panels[0].axes[0].lines if line.get_marker() == "o"]
    assert [list(line.get_ydata()) for line in dots] == found
