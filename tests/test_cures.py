"""The figures of the two chapters of cures: what is drawn and read out is what a made-up result holds."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from flatlab.plots import cures, style
from flatlab.study import columns, paper
from flatlab.study.experiments import EXPERIMENTS
from flatlab.study.recorded import Result

SEEDS = 3
SHIFT = np.linspace(-1, 1, SEEDS)


def a_result(experiment, runs, net="mlp", tier="smoke", **more):
    """`runs`: {label: (test accuracy, sharpness)}, the same for each seed except for a shift."""
    values = {f"test {run}": (test + SHIFT).tolist() for run, (test, _) in runs.items()}
    values |= {f"{run} 1e-3": (phi * np.exp(0.1 * SHIFT)).tolist() for run, (_, phi) in runs.items()}
    return Result(experiment, tier, {net: "mnist1d"}, {net: tuple(range(SEEDS))}, {}, {net: values | more}, {})


def strength_result(experiment="sam", doses=(0.1, 0.5, 1.0), **options):
    """A point more and half the sharpness with each dose; at the last the training rows are not fitted."""
    places, column = np.arange(1, len(doses) + 1), SHIFT[:, None]
    more = {
        "dose": [list(doses)] * SEEDS,
        "cure_test": (50 + places + column).tolist(),
        "cure_1e-3": (40 / 2.0**places * np.exp(0.1 * column)).tolist(),
        "cure_train": [[100.0] * (len(doses) - 1) + [90.0]] * SEEDS,
    }
    runs = {"SB": (56, 10), "LB": (50, 40), "LB long": (52, 30), "cure": (52, 10)}
    return a_result(experiment, runs, **options, **more)


def augmented_result(**options):
    runs = {"SB": (60, 15), "LB": (58, 24), "SB plain": (56, 10), "LB plain": (50, 40)}
    return a_result("table6", runs, **options)


def a_comparison():
    treatments = [cures.Treatment("SAM", "sam", long="LB long"), cures.Treatment("moved", "augmentation")]
    moved = a_result("augmentation", {"SB": (56, 10), "LB": (50, 40), "cure": (58, 24)})
    kept = {("sam", "smoke"): strength_result(), ("augmentation", "smoke"): moved}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cures, "recorded", reads(kept))
        return cures.compared(treatments)


def reads(kept):
    """`recorded`, from {(experiment, tier): result}."""

    def recorded(experiment, tier):
        if (experiment, tier) not in kept:
            raise FileNotFoundError
        return kept[experiment, tier]

    return recorded


def strengths():
    return cures.by_strength({"SAM": strength_result(), "ASAM": strength_result("asam", (2, 4))}, "mlp", start=1)


def test_every_strength_is_a_position_that_reads_what_was_recorded():
    drawn = strengths()
    assert len(drawn.layers) == len(drawn.says) == 4
    assert (
        drawn.says[0] == "No cure. The small batch: 56.0 % right, sharpness 10 %; the large batch: 50.0 % right, "
        "sharpness 40 %."
    )
    assert drawn.says[1].startswith("Strength 1 of 3. SAM at ρ = 0.1: 51.0 % right, sharpness 20 %; ASAM at ρ = 2: ")
    fit = ", and only 90 % of the training rows are right"
    assert f"SAM at ρ = 1: 53.0 % right, sharpness 5 %{fit}" in drawn.says[3]
    assert f"ASAM at ρ = 4: 52.0 % right, sharpness 10 %{fit}" in drawn.says[3], "it stays at its strongest"
    found = {(row["cure"], row["strength"]): (row["test accuracy"], row["phi(1e-3)"]) for row in drawn.picture.table}
    assert found["SAM", 0.5] == pytest.approx((52, 10)) and found["ASAM", 0] == pytest.approx((50, 40))


def test_a_strength_at_which_a_seed_diverged_has_no_dot_and_says_so():
    result = strength_result()
    for column in ("cure_test", "cure_1e-3", "cure_train"):
        result.values["mlp"][column][1][-1] = float("nan")
    slides = cures.by_strength({"SAM": result}, "mlp")
    assert slides.says[-1].endswith("SAM at ρ = 1: the loss of a seed was not finite.")
    assert slides.picture.stamp.endswith("; no dot for SAM at ρ = 1: the loss of a seed was not finite")
    assert "no dot" not in strengths().picture.stamp
    axes = slides.picture.panels[0].axes[0]
    assert np.isfinite([axes.get_xlim(), axes.get_ylim()]).all()
    assert np.isnan([row["test accuracy"] for row in slides.picture.table if row["cure"] == "SAM"][-1])


def test_a_strength_at_which_the_net_was_not_trained_is_hollow():
    (last, *_), (start, *_) = (
        [line for line in strengths().layers[place] if line.get_markersize() == 10] for place in (3, 0)
    )
    assert last.get_markerfacecolor() == "none" and last.get_color() == style.CONTROL
    assert start.get_markerfacecolor() == start.get_color() == style.LARGE, "without a cure it is the large batch"


def test_an_outcome_is_taken_seed_by_seed_beside_the_large_batch_as_it_is():
    found = a_comparison()
    sam, moved = found.outcomes
    assert (sam.words, moved.words) == ("SAM", "moved")
    assert sam.gain == pytest.approx([2] * 3) and moved.gain == pytest.approx([8] * 3)
    assert sam.times == pytest.approx([0.25] * 3) and moved.times == pytest.approx([0.6] * 3)
    assert sam.longer == pytest.approx([2] * 3) and moved.longer is None
    assert found.small.gain == pytest.approx([6] * 3) and found.small.times == pytest.approx([0.25] * 3)


def test_cures_stand_beside_one_another_with_the_small_batch_last_and_half_of_the_gap():
    drawn = cures.beside_one_another(a_comparison())
    assert [row["cure"] for row in drawn.table] == ["SAM", "moved", "small batch"]
    assert drawn.name == "SAM-to-moved-smoke", "the file is called by whole words"
    assert [row["gain"] for row in drawn.table] == pytest.approx([2, 8, 6])
    assert [row["times"] for row in drawn.table] == pytest.approx([0.25, 0.6, 0.25])
    gain, times = (panel.axes[0] for panel in drawn.panels)
    dotted = [line for line in gain.lines if line.get_linestyle() == ":"]
    assert [line.get_xdata()[0] for line in dotted] == pytest.approx([3]), "half of the gap"
    hollow = [line for line in gain.lines if line.get_markerfacecolor() == "none" and line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in hollow] == pytest.approx([2]), "as many gradients"
    for axes in (gain, times):
        means = [line for line in axes.lines if line.get_markersize() == 7 and line.get_marker() == "o"]
        assert [line.get_color() for line in means] == [style.CONTROL, style.CONTROL, style.SMALL]


def test_a_cure_stands_on_every_network_at_its_largest_tier(monkeypatch):
    def on(*nets, experiment="sam", tier="reduced"):
        one = strength_result(experiment=experiment, tier=tier)
        each = {name: dict.fromkeys(nets, getattr(one, name)["mlp"]) for name in ("values", "data", "seeds")}
        return dataclasses.replace(one, **each)

    kept = {"sam": [on("F1", tier="colab"), on("mlp", "mlp, half")], "asam": [on("mlp", experiment="asam")]}
    monkeypatch.setattr(cures, "largest", lambda experiment: kept.get(experiment, []))
    treatments = [cures.Treatment("SAM", "sam"), cures.Treatment("ASAM", "asam")]
    found = cures.each_at_its_largest(treatments)
    assert [(one.net, [cure.words for cure in one.outcomes]) for one in found] == [
        ("F1", ["SAM"]),
        ("mlp", ["SAM", "ASAM"]),
        ("mlp, half", ["SAM"]),
    ], "beside the cures of its network and setting"
    drawn = cures.beside_one_another(*found)
    assert [row["network"] for row in drawn.table] == ["F1"] * 2 + ["mlp"] * 3 + ["mlp, half"] * 2
    titles = [panel.axes[0].get_title(loc="left") for panel in drawn.panels]
    assert max(len(line) for title in titles for line in title.splitlines()) <= 37, "a longer one is cut off"
    assert "On F1 on MNIST-1D, colab tier: SAM" in drawn.alt and "On mlp on MNIST-1D, reduced tier: SAM" in drawn.alt


def test_a_cure_that_other_experiments_hold_stands_on_their_networks_and_rows_too(monkeypatch):
    def on(experiment, **data):
        one = strength_result(experiment=experiment)
        each = {name: dict.fromkeys(data, getattr(one, name)["mlp"]) for name in ("values", "seeds")}
        return dataclasses.replace(one, data=data, **each)

    kept = {
        "waterfall": [on("waterfall", mlp="mnist1d")],
        "learning-rate": [on("learning-rate", F1="50000 rows of mnist", mlp="mnist1d")],
        "rate-and-statistics": [on("rate-and-statistics", F1="mnist")],
    }
    monkeypatch.setattr(cures, "largest", lambda experiment: kept.get(experiment, []))
    also = (("rate-and-statistics", "cure"), ("learning-rate", "cure"))
    root = cures.Treatment("root rule", "waterfall", also=also)
    found = cures.each_at_its_largest([root])
    there = [(one.net, *one.results) for one in found]
    assert sorted(there) == [("F1", "learning-rate"), ("F1", "rate-and-statistics"), ("mlp", "waterfall")]
    titles = [panel.axes[0].get_title(loc="left") for panel in cures.beside_one_another(*found).panels]
    assert len(set(titles)) == 6, "two sizes of the data of one network are told apart"
    assert cures.half_closed([root]).count("root rule") == 3


def test_each_cure_stands_at_the_largest_tier_at_which_it_is_recorded(monkeypatch):
    treatments = [cures.Treatment("SAM", "sam"), cures.Treatment("ASAM", "asam"), cures.Treatment("LARS", "lars")]
    kept = {"sam": [strength_result(tier="reduced")], "asam": [strength_result(experiment="asam")]}
    monkeypatch.setattr(cures, "largest", lambda experiment: kept.get(experiment, []))
    found = cures.each_at_its_largest(treatments)
    assert [[cure.words for cure in one.outcomes] for one in found] == [["SAM"], ["ASAM"]]
    drawn = cures.beside_one_another(*found)
    assert [row["tier"] for row in drawn.table] == ["reduced", "reduced", "smoke", "smoke"]
    assert [row["cure"] for row in drawn.table] == ["SAM", "small batch", "ASAM", "small batch"]
    titles = [panel.axes[0].get_title(loc="left") for panel in drawn.panels]
    assert [title.split(" tier")[0] for title in titles] == [
        f"mlp on MNIST-1D\n{tier}" for tier in ("reduced", "reduced", "smoke", "smoke")
    ]
    for panel, bound in zip(drawn.panels, (0, 1, 0, 1)):
        low, high = panel.axes[0].get_xlim()
        assert low < bound < high, "the large batch as it is"


def at_a_price():
    """SAM's step takes two gradients, the whole regime ten times the epochs; both batches also stop early or late."""
    plain = {"batch_size": 400, "lr": 0.001, "epochs": 10}
    sam = strength_result()
    sam.recipes["mlp"] = {
        "SB": plain | {"batch_size": 32},
        "LB": plain,
        "LB long": plain | {"epochs": 20},
        "0.1": plain | {"update": "sam"},
    }
    runs = {"SB": (56, 10), "SB short": (53, 20), "LB": (50, 40), "updates": (54, 20)}
    runs |= {"rate": (55, 9), "ghost": (51, 30), "rate ghost": (57, 9), "regime": (58, 5)}
    way = a_result("waterfall", runs)
    way.recipes["mlp"] = {
        "SB": plain | {"batch_size": 32},
        "SB short": plain | {"batch_size": 32, "epochs": 1},
        "LB": plain,
        "updates": plain | {"epochs": 100},
        **{run: plain | {"lr": 0.003} for run in ("rate", "ghost", "rate ghost")},
        "regime": plain | {"lr": 0.003, "epochs": 100},
    }
    kept = {("sam", "smoke"): sam, ("waterfall", "smoke"): way}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cures, "recorded", reads(kept))
        return cures.by_price(cures.AT_A_PRICE)


def test_a_price_counts_the_gradients_of_each_step_and_every_epoch():
    drawn = at_a_price()
    found = [(row["cure"], row["price"], row["test accuracy"]) for row in drawn.table]
    plain = [("small batch", 0.1, 53), ("small batch", 1, 56), ("large batch", 1, 50), ("large batch", 2, 52)]
    named = [("root rule", 1, 55), ("ghost batches", 1, 51), ("root + ghost", 1, 57), ("SAM", 2, 52)]
    named += [("rate, ghosts, updates", 10, 58)]
    assert found == [*plain, ("large batch", 10, 54), *named]
    axes = drawn.panels[0].axes[0]
    assert [text.get_text() for text in axes.texts].count("large batch") == 1, "a line has one name"


def test_names_at_one_price_do_not_lie_on_one_another():
    axes = style.canvas()
    axes.set(xlim=(0.1, 100), ylim=(48, 60), xscale="log")
    dots = [(1, 60.0, "large batch", style.LARGE)]
    dots += [(2, y, word, style.CONTROL) for word, y in {"a": 50.0, "b": 50.1, "c": 50.2, "d": 58.0}.items()]
    cures._name(axes, dots)
    axes.figure.draw_without_rendering()
    boxes = sorted((text.get_window_extent() for text in axes.texts), key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes))


def test_a_name_does_not_lie_on_the_large_batches_line():
    axes = style.canvas()
    axes.set(xlim=(0.1, 20), ylim=(48, 60), xscale="log", xlabel="price")
    (line,) = axes.plot([1, 2, 10], [50, 50.2, 56], color=style.LARGE)
    dots = [(x, y, "large batch", style.LARGE) for x, y in zip(*line.get_data())]
    dots += [(1, 53.0, "ghost batches", style.CONTROL), (10, 59.0, "the whole long regime", style.CONTROL)]
    cures._name(axes, dots)
    axes.figure.draw_without_rendering()
    (box,) = (text.get_window_extent() for text in axes.texts if text.get_text() == "ghost batches")
    assert not line.get_transform().transform_path(line.get_path()).intersects_bbox(box, filled=False)


def test_a_name_lies_on_no_dot_and_that_of_the_dearest_dot_is_folded():
    axes = style.canvas()
    axes.set(xlim=(0.07, 15), ylim=(48, 60), xscale="log", xlabel="price")
    dots = [(1, 50.0, "large batch", style.LARGE), (10, 57.6, "large batch", style.LARGE)]
    dots += [(1, 59.0, "a cure in long words", style.CONTROL), (3, 59.2, "SAM", style.CONTROL)]
    dots += [(10, 52.0, "rate, ghosts, updates", style.CONTROL)]
    cures._name(axes, dots)
    axes.figure.draw_without_rendering()
    boxes = {text.get_text(): text.get_window_extent().expanded(1.02, 1.1) for text in axes.texts}
    assert "rate, ghosts,\nupdates" in boxes, "the axes make room for it"
    places = axes.transData.transform([dot[:2] for dot in dots])
    assert not any(box.contains(*place) for box in boxes.values() for place in places)


def test_over_many_decades_the_numbers_of_an_axis_do_not_touch():
    times = np.array([3e-4, 0.01, 0.9])
    cure = cures.Outcome("linear rule", np.array([1.0, 2.0, 3.0]), times)
    small = cures.Outcome("small batch", np.array([4.0, 5.0, 6.0]), times)
    drawn = cures.beside_one_another(cures.Comparison("mlp", {"sam": strength_result()}, small, [cure]))
    panel = drawn.panels[1]
    low, high = panel.axes[0].get_xlim()
    shown = [text for text in panel.axes[0].get_xticklabels() if low <= text.get_position()[0] <= high]
    boxes = [text.get_window_extent() for text in shown]
    assert len(boxes) >= 3
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


@pytest.mark.parametrize("treatment", sorted({*cures.OF_THE_PAPER, *cures.RIGHT_STEP, *cures.AT_A_PRICE}), ids=str)
def test_a_treatment_names_runs_that_its_experiment_has(treatment):
    experiment = EXPERIMENTS[treatment.experiment]
    labels = {*experiment.jobs(experiment.settings["smoke"][0], 0), "cure", "growing", ""}  # chosen among doses
    assert {treatment.run.removesuffix(" averaged"), treatment.long} <= labels


def test_a_cure_of_the_paper_is_judged_at_the_dose_that_a_validation_split_chooses():
    assert {treatment.run for treatment in cures.OF_THE_PAPER} == {"cure", "growing"}, "as the chapter's rule says"


def test_what_is_compared_is_where_most_is_recorded_and_then_the_larger_tier(monkeypatch):
    kept = {("sam", "smoke"): strength_result(), ("asam", "smoke"): strength_result("asam")}
    kept["sam", "reduced"] = strength_result(tier="reduced")
    monkeypatch.setattr(cures, "recorded", reads(kept))
    net, found = cures.where_most_are_recorded(["sam", "asam", "lars"])
    assert net == "mlp" and {name: result.tier for name, result in found.items()} == {"sam": "smoke", "asam": "smoke"}
    kept["asam", "reduced"] = strength_result("asam", tier="reduced", net="F1")
    assert cures.where_most_are_recorded(["sam", "asam"])[1]["sam"].tier == "smoke", "not on one network"
    kept["asam", "reduced"] = strength_result("asam", tier="reduced")
    kept["asam", "reduced"].data["mlp"] = "50000 rows of mnist"
    assert cures.where_most_are_recorded(["sam", "asam"])[1]["sam"].tier == "smoke", "not on the same rows"
    kept["asam", "reduced"] = strength_result("asam", tier="reduced")
    assert cures.where_most_are_recorded(iter(["sam", "asam"]))[1]["sam"].tier == "reduced", "also from an iterator"
    for name in ("sam", "asam"):
        own = kept[name, "reduced"]
        held = {field: {"mlp, half": getattr(own, field)["mlp"]} for field in ("values", "data", "seeds")}
        kept[name, "reduced"] = dataclasses.replace(
            own, **{field: half | getattr(own, field) for field, half in held.items()}
        )
    assert cures.where_most_are_recorded(["sam", "asam"])[0] == "mlp", "not on the setting that is first in the file"
    with pytest.raises(FileNotFoundError, match="none of lars is recorded"):
        cures.where_most_are_recorded(["lars"])


def test_cures_are_compared_where_their_seeds_decide_even_if_fewer_are_recorded_there(monkeypatch):
    kept = {(name, "smoke"): strength_result(name) for name in ("sam", "asam", "lars")}
    kept |= {(name, "reduced"): strength_result(name, tier="reduced") for name in ("sam", "asam")}
    monkeypatch.setattr(cures, "recorded", reads(kept))
    assert len(cures.where_most_are_recorded(["sam", "asam", "lars"])[1]) == 3, "three seeds decide as little as two"
    for name in ("sam", "asam"):
        kept[name, "reduced"].seeds["mlp"] = tuple(range(5))
    assert cures.where_most_are_recorded(["sam", "asam", "lars"])[1] == {
        name: kept[name, "reduced"] for name in ("sam", "asam")
    }
    assert len(cures.where_most_are_recorded(["asam", "lars"])[1]) == 2, "one cure is no comparison"


@pytest.mark.parametrize("table, nets", [("table6", 4), ("table7", 6)])
def test_with_and_without_a_cure_the_papers_networks_are_grey_and_ours_is_not(table, nets):
    runs = {"SB": (56, 10), "LB": (52, 24), "LB plain": (50, 40)}
    result = augmented_result() if table == "table6" else a_result(table, runs)
    drawn = cures.before_and_after(result, "mlp")
    rows = {row["network"]: row for row in drawn.table}
    assert len(rows) == nets + 1
    published = {"table6": paper.TABLE6, "table7": paper.TABLE7}[table]["C1"]
    assert rows["C1"]["gap without"] == pytest.approx(80.04 - 77.26)
    assert rows["C1"]["gap with"] == pytest.approx(published["test SB"].mean - published["test LB"].mean)
    assert (rows["C1"]["phi without"], rows["C1"]["phi with"]) == (707.23, published["LB 1e-3"].mean)
    assert rows["ours"]["gap without"] == pytest.approx(6)
    assert rows["ours"]["gap with"] == pytest.approx(2 if table == "table6" else 4)
    assert (rows["ours"]["phi without"], rows["ours"]["phi with"]) == pytest.approx((40, 24))
    for panel in drawn.panels:
        dots = [line for line in panel.axes[0].lines if len(line.get_xdata()) == 1 and line.get_marker() == "o"]
        assert [line.get_color() for line in dots[: 2 * nets]] == [style.PAPER] * 2 * nets
        assert [line.get_color() for line in dots[2 * nets :]] == [style.LARGE, style.CONTROL]


def test_what_closes_half_of_the_gap_is_judged_seed_by_seed_at_the_largest_recorded_tier(monkeypatch):
    gap, noise = np.array([8.0, 9.0, 10.0, 11.0, 12.0]), np.array([1, -1, 1, -1, 0])

    def result(experiment, *gains, tier="reduced", start=0):
        names = {columns.test("SB"): 50 + gap, columns.test("LB"): np.full(5, 50.0)}
        values = {f"net {n}": names | {columns.test("cure"): 50 + gain} for n, gain in enumerate(gains, start)}
        return Result(experiment, tier, dict.fromkeys(values, "mnist1d"), {}, {}, values, {})

    kept = {
        "much": [result("much", 0.8 * gap)],
        "little": [result("little", 0.1 * gap)],
        "half": [result("half", 0.5 * gap + noise)],
        "either": [result("either", 0.8 * gap, 0.1 * gap)],
        "perhaps": [result("perhaps", 0.5 * gap + noise, tier="colab"), result("perhaps", 0.8 * gap, start=1)],
    }
    monkeypatch.setattr(cures, "largest", lambda experiment: kept.get(experiment, []))
    treatments = [cures.Treatment(name, name) for name in (*kept, "nowhere")]
    one, two = "Half of the gap, net 0 on MNIST-1D: closed by much", "Half of the gap, net 1 on MNIST-1D: closed by"
    assert cures.half_closed(treatments[:3]) == f"{one}; not closed by little; not decided for half."
    assert cures.half_closed(iter(treatments)) == (
        f"{one} and either; not closed by little; not decided for half and perhaps. "
        f"{two} perhaps; not closed by either."
    )
    assert cures.half_closed(treatments[5:]) == ""
