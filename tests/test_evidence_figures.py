"""The figures of the evidence: what is drawn is what a made-up result holds."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import stats

pytest.importorskip("matplotlib")

from matplotlib.colors import to_hex
from test_figures import synthetic

from flatlab.measure.spectrum import Density
from flatlab.plots import measuring_sharpness, results, style
from flatlab.plots.density import densities
from flatlab.plots.orderings import DEPTH, KINDS, orderings
from flatlab.plots.waterfall import waterfall
from flatlab.study.columns import of
from flatlab.study.recorded import Result

RUNS = {"SB": 58, "LB": 52, "rate": 56, "ghost": 53, "updates": 57, "rate ghost": 57.5, "regime": 59.5}


def way_result(experiment="waterfall", without=(), seeds=3):
    """A result with an accuracy for each run of the waterfall."""
    random = np.random.default_rng(0)
    values = {
        f"test {run}": random.normal(level, 1, seeds).tolist() for run, level in RUNS.items() if run not in without
    }
    return Result(experiment, "smoke", {"mlp": "mnist1d"}, {"mlp": tuple(range(seeds))}, {}, {"mlp": values}, {})


def test_sharpness_from_a_record_is_stamped_with_the_tier_of_the_record():
    table = {eps: {32: [1.0, 2.0], 400: [3.0, 4.0]} for eps in (1e-3, 5e-4)}
    spaces = {"full space": table, "random subspace": table}
    stamps = {
        tier: measuring_sharpness.sharpness_by_batch(spaces, 4000, "mnist1d", tier).stamp for tier in (None, "reduced")
    }
    assert stamps[None].startswith("smoke tier") and stamps["reduced"].startswith("reduced tier")


def test_the_waterfalls_steps_lead_from_the_large_batch_to_the_small_one_and_are_paired_by_seed():
    result = way_result()
    values = {run: np.array(result.values["mlp"][f"test {run}"]) for run in RUNS}
    drawn = waterfall(result)
    first, *steps, last = drawn.table
    assert [row["step"] for row in drawn.table] == [
        *("large batch", "rate", "ghost batches", "more updates", "the rest", "small batch")
    ]
    assert first["accuracy"] == pytest.approx(values["LB"].mean())
    assert sum(row["change"] for row in steps) == pytest.approx(last["accuracy"] - first["accuracy"])
    for row, before, after in zip(steps, *((way := ["LB", "rate", "rate ghost", "regime", "SB"]), way[1:])):
        change = values[after] - values[before]
        ends = stats.t.interval(0.95, 2, change.mean(), stats.sem(change))
        assert (row["change, low"], row["change, high"]) == pytest.approx(ends)
    axes = drawn.panels[0].axes[0]
    for bar, before, row in zip(axes.patches, drawn.table, steps):
        assert bar.get_y() == pytest.approx(before["accuracy"])
        assert bar.get_y() + bar.get_height() == pytest.approx(row["accuracy"])
    assert [text.get_text() for text in axes.texts] == [f"{row['change']:+.1f}".replace("-", "−") for row in steps]
    dots = [line.get_color() for line in axes.lines if line.get_marker() == "o"]
    assert dots == [style.LARGE, style.SMALL, style.CONTROL, style.CONTROL]


def test_without_runs_of_more_updates_they_belong_to_the_rest():
    drawn = waterfall(way_result("rate-and-statistics", without=("regime", "updates"), seeds=1))
    assert [row["step"] for row in drawn.table[1:-1]] == ["rate", "ghost batches", "the rest"]
    assert "nan" not in drawn.alt and drawn.stamp.endswith("1 seed, no interval")


def test_a_result_without_the_way_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="^waterfall has no run 'rate ghost': draw a result of waterfall or rate-and-"):
        waterfall(way_result(without=("rate ghost",)))


# The spectral density


def density_of(largest, seed):
    """Most of the weight near 0, a little of it up to the largest eigenvalue."""
    generator = torch.Generator().manual_seed(seed)
    near, far = torch.randn(2, 20, generator=generator) / 3, torch.rand(2, 5, generator=generator) * largest
    weights = torch.cat([torch.full((2, 20), 0.05 - 2.5e-6), torch.full((2, 5), 1e-5)], 1)
    return Density(*torch.zeros(3, 1), torch.cat([near, far], 1), weights, 0.1)


def test_one_eigenvalue_is_drawn_as_the_gaussian_around_it():
    """A hundredth of the range wide, whatever each density was smoothed with: sqrt(2 pi) sigma high at its middle."""
    nodes, weights = torch.tensor([[0.0, 10.0]]), torch.tensor([[0.9, 0.1]])
    drawn = densities({32: [Density(*torch.zeros(3, 1), nodes, weights, 5.0)] * 2}, "mnist1d", points=107)
    found = {round(row["eigenvalue"], 6): row["batch 32"] for row in drawn.table}
    height = 1 / (0.1 * np.sqrt(2 * np.pi))
    assert found[0.0] == pytest.approx(0.9 * height) and found[10.0] == pytest.approx(0.1 * height)
    area = sum(row["batch 32"] for row in drawn.table) * (drawn.table[1]["eigenvalue"] - drawn.table[0]["eigenvalue"])
    assert area == pytest.approx(1, abs=5e-3)


def test_the_density_is_logarithmic_and_each_batch_has_its_colour():
    drawn = densities({32: [density_of(20, s) for s in (0, 1)], 400: [density_of(60, s) for s in (0, 1)]}, "mnist1d")
    axes = drawn.panels[0].axes[0]
    assert axes.get_yscale() == "log" and [line.get_color().upper() for line in axes.lines] == [
        style.SMALL,
        style.LARGE,
    ]


def test_a_density_of_one_seed_has_no_column_for_an_interval():
    columns = [list(densities({32: [density_of(20, s) for s in range(seeds)]}, "mnist1d").table[0]) for seeds in (1, 2)]
    assert columns == [["eigenvalue", "batch 32"], ["eigenvalue", "batch 32", "batch 32, ±"]]


# Kendall's tau

MEASURES = ("phi", "adaptive sharpness", "distance")


def tau_result(kinds=tuple(KINDS.values()), seeds=5):
    random = np.random.default_rng(0)
    values = {
        of(measure, kind): (level + random.normal(0, 0.05, seeds)).tolist()
        for measure, level in zip(MEASURES, (0.6, 0.0, -0.6))
        for kind in (*kinds, "tau with the rate")
    }
    values = {"nets": [36] * seeds} | values
    return Result(
        "measures", "smoke", {"mlp": "1000 rows of mnist1d"}, {"mlp": tuple(range(seeds))}, {}, {"mlp": values}, {}
    )


def test_a_cell_is_the_mean_tau_and_its_colour_the_sign():
    result = tau_result()
    drawn = orderings(result)
    assert [row["measure"] for row in drawn.table[:: len(KINDS)]] == list(MEASURES)
    axes = drawn.panels[0].axes[0]
    for row, kind, box, words in zip(drawn.table, [*KINDS.values()] * 3, axes.patches, axes.texts):
        values = result.values["mlp"][of(row["measure"], kind)]
        assert row["tau"] == pytest.approx(np.mean(values)) and words.get_text() == f"{row['tau']:+.2f}".replace(
            "-", "−"
        )
        assert to_hex(box.get_facecolor()).upper() == (style.BETWEEN if row["tau"] > 0 else style.CONTROL)
        assert box.get_alpha() == pytest.approx(DEPTH * abs(row["tau"]))
        low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
        assert (words.get_weight() == "bold") == (low > 0 or high < 0)


def test_kinds_of_tau_that_are_not_recorded_are_left_out_and_another_result_is_refused():
    drawn = orderings(tau_result(kinds=("tau", "granulated tau", "tau along the batch")))
    assert [row["varied"] for row in drawn.table[:3]] == ["all nets", "each alone", "batch size"]
    with pytest.raises(ValueError, match="^waterfall has no Kendall's tau: draw a result of measures.$"):
        orderings(way_result())


# A cure along its doses


def test_a_cure_is_drawn_against_its_dose_with_both_batches_as_levels():
    result = synthetic("sam")
    tested, sharp = (panel.axes[0] for panel in results.draw(result).panels)
    columns = result.values["mlp"]
    for axes, curve, levels in (
        (tested, "cure_test", ("test SB", "test LB", "test LB long")),
        (sharp, "cure_1e-3", ("SB 1e-3", "LB 1e-3", "LB long 1e-3")),
    ):
        lines = {(line.get_color(), line.get_linestyle()): line.get_ydata() for line in axes.lines}
        mean = np.mean if axes is tested else lambda v, axis: np.exp(np.mean(np.log(v), axis))
        assert lines[style.CONTROL, "-"] == pytest.approx(mean(columns[curve], 0))
        for line, level in zip(((style.SMALL, "-"), (style.LARGE, "--"), (style.LARGE, ":")), levels):
            assert set(np.round(lines[line], 9)) == {np.round(mean(columns[level], 0), 9)}


def test_networks_of_several_tiers_stand_in_one_figure_each_with_its_tier():
    small = synthetic("sam")
    named = {part: {"F1": getattr(small, part)["mlp"]} for part in ("values", "data", "seeds")}
    drawn = results.draw(dataclasses.replace(small, tier="colab", **named), small)
    assert len(drawn.panels) == 2 * len(results.draw(small).panels)
    assert list(dict.fromkeys(row["network"] for row in drawn.table)) == ["F1", "mlp"]
    assert [words.split(" tier")[0] for words in drawn.stamp.split("; ")] == ["colab", small.tier]
    assert drawn.name == f"sam-colab-{small.tier}"


def test_what_is_counted_has_no_tick_between_two_numbers():
    drawn = results.draw(synthetic("regularisers", points=3))
    for figure in drawn.panels:
        ticks = figure.axes[0].get_xticks()
        assert len(ticks) > 1 and (ticks == np.round(ticks)).all()
