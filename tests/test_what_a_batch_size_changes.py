"""The figures of What a batch size changes: what is drawn and read out is what a made-up result holds."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from flatlab.plots import style, what_a_batch_size_changes
from flatlab.study import splits
from flatlab.study.recorded import Result


def ratio_result(seeds=3):
    """At one ratio all alike; at one rate the largest batch has not fitted its training rows."""
    random = np.random.default_rng(1)
    sizes = {"ratio": [8, 16, 32, 64, 128, 256], "rate": [8, 32, 128, 500]}
    values = {}
    for way, batches in sizes.items():
        table = random.normal(60, 1, (seeds, len(batches)))
        values |= {f"{way} batch_size": [batches] * seeds, f"{way}_test": table.tolist()}
        values |= {f"{way}_lambda": (table / 60).tolist(), f"{way}_train": [[100.0] * len(batches)] * seeds}
    values["rate_train"] = [[100.0, 100.0, 100.0, 98.9]] * seeds
    return Result(
        "ratio", "smoke", {"plain-mlp": "mnist1d"}, {"plain-mlp": tuple(range(seeds))}, {}, {"plain-mlp": values}, {}
    )


def rates_result(seeds=3):
    """Accuracy rises and sharpness falls with the rate; the small batch is ahead."""
    factors = [0.25, 0.5, 1, 2, 4]
    shift = np.linspace(-1, 1, seeds)[:, None]
    values = {"factor": [factors] * seeds}
    for name, level in (("SB", 60), ("LB", 50)):
        values[f"{name}_test"] = (level + np.arange(5) + shift).tolist()
        values[f"{name}_1e-3"] = (level * np.exp(-np.arange(5) + 0.1 * shift)).tolist()
    settings = {"settings": {"mlp": {"small": 32, "large": 0.5}}}
    return Result(
        "learning-rate", "smoke", {"mlp": "mnist1d"}, {"mlp": tuple(range(seeds))}, {}, {"mlp": values}, {}, settings
    )


def test_at_one_ratio_and_at_one_rate_a_net_that_was_not_trained_is_hollow():
    result = ratio_result()
    drawn = what_a_batch_size_changes.ratio(result)
    for kind, panel in zip(("test", "lambda"), drawn.panels):
        dots = [line for line in panel.axes[0].lines if line.get_marker() == "o"]
        assert [line.get_markerfacecolor() == "none" for line in dots] == [False] * 9 + [True]
        assert dots[0].get_color().upper() == style.SMALL and dots[-1].get_color().upper() == style.LARGE
        for way, name in (("ratio", "one ratio"), ("rate", "one rate")):
            table = np.array(result.values["plain-mlp"][f"{way}_{kind}"])
            expected = np.exp(np.log(table).mean(0)) if kind == "lambda" else table.mean(0)
            found = [row["mean"] for row in drawn.table if (row["measured"], row["way"]) == (kind, name)]
            assert found == pytest.approx(expected)


def test_each_rate_is_a_position_that_reads_what_was_recorded():
    result = rates_result()
    assert what_a_batch_size_changes.batches(result, "mlp") == (32, 2000)
    drawn = what_a_batch_size_changes.by_rate(result, "mlp")
    assert len(drawn.layers) == len(drawn.says) == 5 and drawn.start == 2
    for place, (said, row) in enumerate(zip(drawn.says, drawn.picture.table)):
        times = ["0.25 times ", "0.5 times ", "", "2 times ", "4 times "][place]
        assert said.startswith(f"At {times}the paper's rate batch 32 ")
        for name, batch in (("SB", 32), ("LB", 2000)):
            test = np.mean(np.array(result.values["mlp"][f"{name}_test"])[:, place])
            phi = np.exp(np.mean(np.log(np.array(result.values["mlp"][f"{name}_1e-3"])[:, place])))
            assert f"batch {batch:,} has a sharpness of {phi:.3g} % and a test accuracy of {test:.1f} %" in said
            assert row[f"test accuracy, batch {batch}"] == pytest.approx(test)
    arrows = [text for text in drawn.picture.panels[0].axes[0].texts if text.arrow_patch is not None]
    assert len(arrows) == 2 * 4


def own_rates_result(seeds=3):
    """Two networks that differ in the large batch, of which only the smaller one gains by a rate of its own."""
    shift = np.linspace(-1, 1, seeds)
    at = {"SB": (70, 4), "LB": (60, 40), "LB root": (68, 4), "LB linear warm": (72, 0.4), "LB tuned": (71, 1)}
    at["SB tuned"] = (71, 2)
    values = {}
    for run, (accuracy, phi) in at.items():
        values |= {f"test {run}": (accuracy + shift).tolist(), f"{run} 1e-3": (phi * np.exp(0.1 * shift)).tolist()}
    half = values | {f"test {run}": (60 + shift).tolist() for run in at if run.startswith("LB")}
    settings = {"settings": {"mlp": {"small": 32, "large": 0.1}, "mlp, half": {"small": 32, "large": 0.5}}}
    nets = {"mlp": values, "mlp, half": half}
    return Result(
        "learning-rate",
        "smoke",
        dict.fromkeys(nets, "mnist1d"),
        dict.fromkeys(nets, tuple(range(seeds))),
        {},
        nets,
        {},
        settings,
    )


def test_what_a_rate_of_its_own_leaves_is_taken_seed_by_seed_against_the_small_batch_at_its_rate():
    drawn = what_a_batch_size_changes.own_rates(own_rates_result())
    found = {(row["large batch"], row["rate"], row["measured"].partition(",")[0]): row["mean"] for row in drawn.table}
    assert [found[400, rate, "test accuracy"] for rate in ("one rate", "root rule", "large tuned", "both tuned")] == (
        pytest.approx([-10, -2, 1, 0])
    )
    assert found[2000, "both tuned", "test accuracy"] == pytest.approx(-11)
    assert found[400, "one rate", "sharpness"] == pytest.approx(10)
    assert found[400, "both tuned", "sharpness"] == pytest.approx(0.5)
    assert all(row["low"] == pytest.approx(row["high"]) for row in drawn.table), "the seeds differ alike in all runs"
    for panel in drawn.panels:
        dots = [line for line in panel.axes[0].lines if line.get_marker() == "o"]
        assert [line.get_markerfacecolor() == "none" for line in dots] == [False] * 5 + [True] * 5
        assert {line.get_color().upper() for line in dots} == {style.LARGE}


def test_rates_of_their_own_on_two_networks_stand_in_panels_that_name_them():
    ours = own_rates_result()
    paper = dataclasses.replace(ours, tier="colab", data=dict.fromkeys(ours.data, "1000 rows of mnist1d"))
    drawn = what_a_batch_size_changes.own_rates(ours, paper)
    titles = [panel.axes[0].get_title(loc="left").split("\n")[0] for panel in drawn.panels]
    assert titles == ["mlp on MNIST-1D"] * 2 + ["mlp on 1,000 rows of MNIST-1D"] * 2
    assert len(drawn.table) == 2 * len(what_a_batch_size_changes.own_rates(ours).table)


def test_a_net_that_is_flat_to_the_last_digit_has_a_place_all_the_same():
    result = rates_result()
    result.values["mlp"]["SB_1e-3"] = [[0.0] * 5] * 3
    drawn = what_a_batch_size_changes.by_rate(result, "mlp")
    assert all(np.isfinite(list(row.values())).all() for row in drawn.picture.table)


def test_the_batches_of_a_result_are_told_without_making_its_test_rows(tmp_path, monkeypatch):
    monkeypatch.setenv("FLATLAB_DATA", str(tmp_path))
    splits.loaded.cache_clear()
    splits._fresh_mnist1d.cache_clear()
    settings = {"settings": {"mlp": {"small": 32, "large": 0.5}, "half": {"small": 40, "large": 0.5}}}
    data = {"mlp": "mnist1d", "half": "1000 rows of mnist1d"}
    result = Result("learning-rate", "smoke", data, {}, {}, {}, {}, settings)
    assert [what_a_batch_size_changes.batches(result, net) for net in data] == [(32, 2000), (40, 500)]
    assert not list(tmp_path.iterdir())
