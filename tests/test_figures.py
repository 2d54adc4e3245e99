"""Results as figures and tables: the paper's cells and curves are the paper's, ours are the results', and every
experiment has one of the two."""

import dataclasses
import json
import math
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("matplotlib")

from flatlab.measure.estimate import interval
from flatlab.plots import exhibits, style
from flatlab.plots import results as figures
from flatlab.plots.drawings import DRAWINGS
from flatlab.plots.exhibits import by_tier, findings
from flatlab.plots.results import draw, write
from flatlab.plots.style import stamp_of
from flatlab.plots.tables import MEANS, geometric, listed, plus_minus, printed, table
from flatlab.study import columns, paper
from flatlab.study import recorded as recording
from flatlab.study.experiments import EXPERIMENTS, GROUPS
from flatlab.study.recorded import TIERS, Result, largest

RESULTS = Path(__file__).resolve().parent.parent / "results"
# Of each experiment the largest tier, which is what pages show; test_experiments.py draws every experiment at another.
RECORDED = [
    next(path for tier in reversed(TIERS) if (path := RESULTS / f"{name}-{tier}.json").exists()) for name in EXPERIMENTS
]
LEVELS = (
    "goal",
    "cosine fresh start",
    "cosine fresh end",
    *(name(label) for name in (columns.test, columns.phi) for label in ("SB", "LB", "LB long")),
)
PLAIN = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−", "0123456789--")
PUBLISHED = {f"table{k}": getattr(paper, f"TABLE{k}") for k in (2, 3, 4, 6, 7)}
OURS = {"F1": "mnist", "F2": "spoken-digits", "C1": "cifar10", "C2": "cifar10", "C3": "cifar100", "C4": "cifar100"}


def synthetic(name, net="mlp", data="mnist1d", seeds=3, points=6):
    """A result with the columns that its drawing asks for, or with two single numbers."""
    random, columns = np.random.default_rng(0), {}
    drawing = DRAWINGS.get(name)
    for curve in [curve for panel in drawing.panels for curve in panel.curves] if drawing else ():
        if x := curve.x or drawing.x:
            columns[x] = [np.linspace(-1, 2, points).tolist() if x == "alpha" else list(range(1, points + 1))] * seeds
        values = np.arange(1, points + 1) + random.uniform(0, 0.3, (seeds, points))
        columns[curve.column] = values[:, 3].tolist() if curve.column in LEVELS else values.tolist()
    if name == "fig4":
        columns["threshold"] = [3.0] * seeds
    columns = columns or {"test SB": [1.0, 2.0, 4.0][:seeds], "LB 1e-3": [300.0, 100.0, 200.0][:seeds]}
    return Result(name, "smoke", {net: data}, {net: tuple(range(seeds))}, {}, {net: columns}, {})


def axes_of(picture):
    """The axes of all panels, in order."""
    return [axes for panel in picture.panels for axes in panel.axes]


def cells(text):
    """A Markdown table as a list of rows, without marks and hard spaces."""
    return [
        [
            cell.strip().replace("\u00a0", " ").replace("\u2011", "-").replace("**", "")
            for cell in row.strip("|").split("|")
        ]
        for row in text.splitlines()
        if not row.startswith("| ---")
    ]


# Tables


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_papers_cells_are_the_papers_and_ours_the_results(name):
    columns = list(next(iter(PUBLISHED[name].values())))
    values = {
        net: {column: [float(net[1]) + k, float(net[1]) - k, float(net[1])] for k, column in enumerate(columns, 1)}
        for net in PUBLISHED[name]
    }
    result = Result(name, "paper", OURS, dict.fromkeys(OURS, (0, 1, 2)), {}, values, {})
    head, *rows = cells(table(name, [result]))
    assert head == ["network", *columns]
    for net in PUBLISHED[name]:
        (place,) = [k for k, row in enumerate(rows) if row[0].startswith(f"{net} on ")]
        ours, theirs, difference = rows[place], rows[place + 1], rows[place + 2] if place + 2 < len(rows) else [""]
        assert ours[0].endswith("paper tier, 3 seeds") and ours[1:] == [
            plus_minus(values[net][column]) for column in columns
        ]
        assert theirs == ["the paper", *(str(PUBLISHED[name][net][column]) for column in columns)]
        if net == "F2":  # not TIMIT: nothing to subtract
            assert difference[0] != "difference"
        else:
            assert difference == [
                "difference",
                *(f"{int(net[1]) - PUBLISHED[name][net][column].mean:+.2f}".replace("-", "−") for column in columns),
            ]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_network_that_is_not_recorded_says_so(name):
    rows = cells(table(name, [], whole=True))[1:]
    assert [row[0] for row in rows[::2]] == list(PUBLISHED[name])
    assert all(cell == "not recorded" for row in rows[::2] for cell in row[1:])
    assert [row[1:] for row in rows[1::2]] == [list(map(str, row.values())) for row in PUBLISHED[name].values()]


def test_no_table_has_more_columns_than_a_page_has_room_for():
    """Columns that the paper's table lacks stand in a table of their own, and many networks below one another."""
    values = {column: [1.0, 2.0, 3.0] for column in ("test SB", "test LB", "LB 1e-3", "LB 5e-4", "test LB plain")}
    result = Result("table6", "reduced", {"mlp": "mnist1d"}, {"mlp": (0, 1, 2)}, {}, {"mlp": values}, {})
    first, second = table("table6", [result], whole=True).split("\n\n")
    assert [len(row) for row in cells(first)] == [5] * 10
    assert cells(second) == [["network", "test LB plain"], ["mlp on MNIST-1D, reduced tier, 3 seeds", "2.00 ± 2.48"]]
    nets = ("mlp", "plain-mlp", "small-mlp", "small-C2", "F1")
    many = Result("distances", "smoke", dict.fromkeys(nets, "mnist1d"), dict.fromkeys(nets, (0,)), {}, {}, {})
    many.values.update((net, {"ratio": [600.0]}) for net in nets)
    head, *rows = cells(table("distances", [many]))
    told = "3 to 10, six networks"
    assert head == ["network", "distance from the start, small over large batch"] and [row[1] for row in rows] == [
        "600"
    ] * 4 + [told, "600", told]


def test_what_the_paper_has_in_words_and_in_figures_stands_beside_ours():
    def shown(name, column, net="mlp", read=""):
        rows = cells(
            table(name, [Result(name, "smoke", {net: "mnist1d"}, {net: (0,)}, {}, {net: {column: [600.0]}}, {})])
        )
        return [row[1:] for row in rows if row[0] == read]

    ratio, threshold = "distance from the start, small over large batch", "threshold, rows per batch"
    assert shown("distances", "ratio", "small-C1", ratio) == [["600", "3 to 10, six networks"]]
    assert shown("distances", "ratio", read=ratio) == [["600"]]  # a network that is not the paper's
    assert shown("fig4", "threshold", "C1", threshold) == [["600", "500"]]
    assert shown("fig4", "threshold", read=threshold) == [["600"]]
    assert shown("robust", "test SB", read="test accuracy, %: small batch") == [["600"]]


def test_a_small_network_stands_in_the_row_of_the_papers():
    result = Result(
        "table3",
        "reduced",
        {"small-C2": "1000 rows of cifar10"},
        {"small-C2": (0,)},
        {},
        {"small-C2": {"SB 1e-3": [5.0]}},
        {},
    )
    rows = cells(table("table3", [result], whole=True))[1:]
    assert [row[0] for row in rows[6:9]] == [
        "small-C2 on 1,000 rows of CIFAR-10, reduced tier, 1 seed",
        "the paper",
        "C3",
    ]
    assert rows[7][1:] == [str(paper.TABLE3["C2"]["SB 1e-3"]), "", "", ""]
    assert "difference" not in [row[0] for row in rows]


@pytest.mark.parametrize(
    "values, words",
    [
        ([1, 2, 3, 4, 5], "3.00 ± 1.96"),  # 2.7764 sqrt(2.5 / 5)
        ([1001, 1002, 1003, 1004, 1005], "1,003.0 ± 2.0"),
        ([7.25], "7.25"),
        ([12500, 12500, 12500], "12,500"),
        ([0.1, 0.1, 0.1 + 1e-17], "0.1"),
        ([12500], "12,500"),
        ([0.0, 2e-9], "0 and 2·10⁻⁹"),
        ([100, 300], "100 and 300"),
        ([0.0, 2e-9, 1e-9], "(1.00 ± 2.48)·10⁻⁹"),
        ([319_000, 500, 12], "107,000 ± 457,000"),
        ([5.5e10, 5.6e10, 5.9e10], "(5.67 ± 0.52)·10¹⁰"),
        ([2.21e4], "22,100"),
        ([5.5e10], "5.5·10¹⁰"),
        ([0.99978, 0.9998, 0.99982], "0.999800 ± 0.000050"),
        ([0.0, 1e-6, -1e-6], "(0 ± 2.48)·10⁻⁶"),
    ],
)
def test_a_mean_and_its_interval_in_words(values, words):
    assert plus_minus(values) == words


@pytest.mark.parametrize(
    "values, words",
    [
        ([1, 10, 100], "10.0 (0.0328 to 3,050)"),  # 10^(1 ± 4.3027 / sqrt 3)
        ([1e-6, 1e-5, 1e-4], "1.00·10⁻⁵ (3.28·10⁻⁸ to 0.00305)"),
        ([0.25], "0.250"),
        ([2, 8], "2 and 8"),
    ],
)
def test_a_geometric_mean_and_its_interval_in_words(values, words):
    """Its interval has no end below 0."""
    assert geometric(values) == words


@given(st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=5), st.sampled_from([1, 1e-4, 1e-9]), st.floats(-2, 2))
@example([94283147.0, 569473311.0, -708756454.0], 1, 0.0)  # −10⁷ ± 1.60·10⁹
def test_a_mean_is_given_to_the_place_to_which_its_interval_is(values, scale, middle):
    """However large the values and their spread: the mean as printed lies within half of that place."""
    values = [middle + scale * value for value in values]
    mean, half = interval(values)
    words = plus_minus(values).replace(",", "")
    if " ± " not in words:
        return
    digits, power = re.fullmatch(r"\(?(.+?)\)?(?:·10(.+))?", words).groups()
    said, around = (Decimal(f"{number}e{power or 0}".translate(PLAIN)) for number in digits.split(" ± "))
    exponent = around.as_tuple().exponent or around.adjusted() - 1  # of a whole number, its second digit
    place = Decimal(10) ** exponent
    rounding = Decimal(abs(mean)) / 10**15  # of the sums themselves
    assert abs(Decimal(mean) - said) <= place / 2 + rounding and abs(Decimal(half) - around) <= place / 2 + rounding


@pytest.mark.parametrize(
    "experiment, column, words",
    [
        ("essay", "1/16 4", "test accuracy, %: 1/16 of the rows, batch 4"),
        ("essay", "best 1/1", "best batch size: all rows"),
        ("many-starts", "full short loss", "training loss, nats: all rows, equal epochs"),
        ("essay", "test inverse", "test accuracy, %: inverse rule"),
        ("orders", "LB again barrier", "large batch, twice from one start: barrier on the line, nats"),
        ("essay", "none adaptive", "without: adaptive sharpness, nats"),
        ("essay", "L1 dose", "L1: place of the best dose, from 0"),
        ("essay", "cure dose", "large batch with the cure: dose"),
        ("essay", "1 decaying norm", "batch 1, falling rate: length of x"),
        ("essay", "rprop full rate", "Rprop, all rows: rate"),
        ("essay", "loss sgd 32", "training loss, nats: gradient descent, batch 32"),
        ("maximiser", "SB apgd 20", "φ(10⁻³), %: small batch, APGD, 20 steps"),
        ("walk", "SB root", "small batch: correlation of the distance with the root of the updates"),
        ("spectrum", "SB Gauss-Newton", "small batch: largest eigenvalue of the Gauss-Newton matrix"),
        ("batch-table", "LB root loss", "least test loss, nats: large batch, root rule"),
        ("batch-norm", "LB frozen", "φ(10⁻³), %: large batch, frozen statistics"),
        ("shift", "SB test gradient", "small batch: length of the test loss's gradient"),
        ("measures", "phi tau along the rate", "φ: τ along the rate"),
        ("planes", "SB rise", "small batch: largest rise of the loss, nats"),
        ("essay", "test LB root slower", "test accuracy, %: large batch, going on, rate over the root of the ratio"),
        ("essay", "goal", "accuracy to be reached, %"),
        ("essay", "cosine fresh start", "cosine with fresh data: at the start"),
        (
            "essay",
            "line LB less SB decayed",
            "loss, nats: beyond the large batch minus beyond the small one, with weight decay",
        ),
    ],
)
def test_a_column_is_called_by_words_and_not_by_its_keys(experiment, column, words):
    result = Result(experiment, "smoke", {"mlp": "mnist1d"}, {"mlp": (0,)}, {}, {"mlp": {column: [1.0]}}, {})
    assert cells(table(experiment, [result]))[1] == [words, "1"]


def test_a_row_of_a_loss_a_sharpness_or_an_accuracy_has_its_unit():
    """And no row is called by what only the code says. An order, τ, is of the whole measure and has none."""
    for result in map(Result.read, RECORDED):
        rows = [] if printed(result.experiment) else cells(table(result.experiment, [result]))[1:]
        for name in (row[0] for row in rows if ": τ" not in row[0] and ": granulated τ" not in row[0]):
            what = name.replace("the test loss's gradient", "").replace("to the least test loss", "")
            assert not re.search(r"\b(loss|barrier|rise|adaptive)\b", what) or re.search("nats|squared", what), name
            assert not re.search(r"\baccuracy\b|φ", what) or re.search("%|points", what), name
            assert not re.search(r": (log|root|rise|loss|null)$|\b(SB|LB|few|apgd|lbfgs)\b|: Gauss-Newton", name), name


def test_each_network_is_taken_from_its_largest_tier(monkeypatch):
    tiers = {"paper": ["F1", "C4"], "colab": ["F1", "C1"], "reduced": ["small-C2", "small-C4"], "smoke": ["mlp"]}

    def recorded(experiment, tier):
        if experiment != "table2" or tier not in tiers:
            raise FileNotFoundError
        return Result(experiment, tier, {}, {}, {}, {net: {} for net in tiers[tier]}, {})

    monkeypatch.setattr(recording, "recorded", recorded)
    assert [(result.tier, list(result.values)) for result in recording.largest("table2")] == [
        ("paper", ["F1", "C4"]),
        ("colab", ["C1"]),
        ("reduced", ["small-C2"]),
        ("smoke", ["mlp"]),
    ]
    assert recording.largest("table3") == []
    tier_with = {net: recording.largest_with("table2", net).tier for net in ("F1", "C1", "mlp")}
    assert tier_with == {"F1": "paper", "C1": "colab", "mlp": "smoke"}
    with pytest.raises(FileNotFoundError, match="table2 is recorded at no tier for F2[.]"):
        recording.largest_with("table2", "F2")


@pytest.mark.parametrize(
    "asked, words",
    [
        (("tabel2", "smoke"), "at the smoke tier: nothing of that name is recorded [(]nearest: table2[)][.]"),
        (
            ("learning-rate", "paper"),
            (
                "take colab or reduced or smoke, or, if the experiment has this tier, run "
                "`flatlab reproduce learning-rate --tier paper`[.]"
            ),
        ),
    ],
)
def test_what_is_not_recorded_is_answered_with_what_is(asked, words):
    with pytest.raises(FileNotFoundError, match=words):
        recording.recorded(*asked)


# Figures


def test_every_drawing_belongs_to_an_experiment():
    assert set(DRAWINGS) <= set(EXPERIMENTS)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_result_is_drawn_if_it_has_curves_and_else_a_table(path):
    result = Result.read(path)
    curves = any(isinstance(values[0], list) for columns in result.values.values() for values in columns.values())
    assert curves == (result.experiment in DRAWINGS), "name it in DRAWINGS, or take it out"
    if curves:
        drawn = draw(result)
        assert {row["network"] for row in drawn.table} == set(result.values)
        names = {row["curve"] for row in drawn.table}
        assert len(names) == sum(len(panel.curves) for panel in DRAWINGS[result.experiment].panels)
        assert not any(re.search(r"[_$\\]|\b(SB|LB|acc)\b", name) for name in names), "the code's names"
        titles = [panel.legends[0].get_title() for panel in drawn.panels]
        for panel, title in zip(drawn.panels, titles):
            assert title.get_window_extent().x1 <= panel.bbox.x1, f"{title.get_text()!r} runs out of the panel"
    else:
        assert len(cells(table(result.experiment, [result]))) > 1


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_is_written_as_one_figure_or_one_table(name, tmp_path, monkeypatch):
    if name != "fig5":  # one is drawn: it takes its time
        monkeypatch.setattr(figures, "draw", lambda result: Drawn())
    ending = ".svg" if name in DRAWINGS else ".md"
    assert write(synthetic(name), f"{tmp_path}/{name}-smoke") == str(tmp_path / f"{name}-smoke") + ending
    (file,) = tmp_path.iterdir()
    assert ("<svg" if name in DRAWINGS else f"# {name}, smoke tier\n\n|") in file.read_text()


class Drawn:
    def save(self, path):
        Path(path).write_text("<svg/>")


def test_the_mean_the_interval_and_every_number_are_drawn():
    result = synthetic("fig2")
    drawn = draw(result)
    for axes, part in zip(axes_of(drawn), ("test", "train")):
        for line, fill, label in zip(axes.lines, axes.collections, ("SB", "LB")):
            values = np.array(result.values["mlp"][f"{label}_{part}"])
            assert line.get_ydata() == pytest.approx(values.mean(0))
            assert line.get_color() == {"SB": style.SMALL, "LB": style.LARGE}[label]
            half = 4.302653 * values.std(0, ddof=1) / math.sqrt(3)  # t of two degrees of freedom
            points = fill.get_paths()[0].vertices
            assert points[:, 1].max() == pytest.approx((values.mean(0) + half).max()) and points[
                :, 1
            ].min() == pytest.approx((values.mean(0) - half).min())
    assert len(drawn.table) == 4 * 6 and {row["curve"] for row in drawn.table} == {
        f"{part} accuracy, %: {size} batch" for size in ("small", "large") for part in ("test", "training")
    }
    (row,) = [row for row in drawn.table if row["curve"] == "training accuracy, %: large batch" and row["epoch"] == 3]
    assert row["mean"] == pytest.approx(np.mean(result.values["mlp"]["LB_train"], 0)[2])
    assert {row["the mean is"] for row in drawn.table} == {"arithmetic"}


@pytest.mark.parametrize("name, net", [(name, net) for name in DRAWINGS for net in DRAWINGS[name].paper[:2]])
def test_the_papers_curve_lies_grey_behind_ours(name, net):
    drawing, drawn = DRAWINGS[name], axes_of(draw(synthetic(name, net)))
    assert len(drawn) == len(drawing.panels)
    for axes, panel in zip(drawn, drawing.panels):
        grey = [line for line in axes.lines if line.get_color() == style.PAPER and len(line.get_xdata()) > 2]
        assert len(grey) == len(panel.curves)
        for line, curve in zip(grey, panel.curves):
            if name in ("fig4", "fig6"):
                x, y = paper.curve(name, net, curve.column).values()
            else:
                x, y = (paper.curve(name, net)[column] for column in (drawing.x, curve.column))
            assert np.array_equal(line.get_xdata(), x) and np.array_equal(line.get_ydata(), y)


def test_the_papers_figure_stands_beside_where_it_is_of_none_of_our_networks():
    def titles(drawn):
        return [panel.legends[0].get_title().get_text() for panel in drawn.panels]

    drawn = draw(synthetic("fig3"))
    assert titles(drawn) == 2 * ["mlp on MNIST-1D"] + 2 * ["grey: the paper's F1 on MNIST"]
    assert not any(line.get_color() == style.PAPER for axes in axes_of(drawn)[:2] for line in axes.lines)
    assert titles(draw(synthetic("fig3", "small-C2"))) == 2 * ["small-C2 on MNIST-1D\ngrey: the paper's C2 on CIFAR-10"]
    assert len(draw(synthetic("throughput")).panels) == 1


def test_the_papers_own_panels_say_which_line_is_which():
    def legend(panel):
        return [
            (text.get_text(), line.get_linestyle())
            for text, line in zip(panel.legends[0].get_texts(), panel.legends[0].get_lines())
            if text.get_text().strip()
        ]

    ours, theirs = draw(synthetic("fig2")).panels[::2]
    assert legend(theirs) == legend(ours) == [("small batch", "-"), ("large batch", "--")]
    assert legend(draw(synthetic("fig4")).panels[2]) == [("threshold", "-.")]
    assert legend(draw(synthetic("fig2", "C1")).panels[0]) == legend(ours), "grey behind ours needs no name of its own"


def test_in_figure_6_training_goes_to_the_right():
    for axes in axes_of(draw(synthetic("fig6"))):
        assert axes.get_xlim()[0] > axes.get_xlim()[1] and axes.get_xscale() == axes.get_yscale() == "log"


def test_the_threshold_is_marked_where_ours_and_the_papers_lie():
    marks = [
        line.get_xdata()[0] for line in axes_of(draw(synthetic("fig4", "C1")))[0].lines if len(line.get_xdata()) == 2
    ]
    assert marks == [500, pytest.approx(3)]


@pytest.mark.parametrize("value", [None, math.inf, 0.0])
def test_what_a_seed_never_reached_or_has_no_logarithm_is_no_point_and_no_error(value):
    result = synthetic("lenet-sweep")
    result.values["mlp"]["epochs"][1][2] = value
    line = axes_of(draw(result))[2].lines[-1]
    assert np.isnan(line.get_ydata()[2]) and np.isfinite(np.delete(line.get_ydata(), 2)).all()


def test_points_that_not_every_seed_reached_are_joined_by_no_line():
    result = synthetic("lenet-sweep")
    result.values["mlp"]["epochs"][1][2] = None
    reached, whole = axes_of(draw(result))[2], axes_of(draw(result))[3]
    assert reached.lines[-1].get_linestyle() == "None" and len(reached.containers) == 1
    assert whole.lines[-1].get_linestyle() == "-" and not whole.containers


def test_a_size_that_not_every_seed_reached_has_its_place_on_the_axis_and_is_told_below():
    """Else the axis would end at the last size that all of them reached, and nobody would ask for the rest."""
    result = synthetic("lenet-sweep")
    complete = draw(result)
    result.values["mlp"]["epochs"][1][-1] = None
    drawn = draw(result)
    assert axes_of(drawn)[2].get_xlim() == pytest.approx(axes_of(complete)[2].get_xlim())
    assert drawn.stamp == f"{complete.stamp} · a point is left out where a seed has none"


def test_no_interval_of_an_accuracy_goes_beyond_100_percent():
    result = synthetic("fig2")
    result.values["mlp"]["LB_train"] = [[90.0] * 6, [99.0] * 6, [99.0] * 6]  # half the interval is 13
    drawn = draw(result)
    assert {row["high"] for row in drawn.table if row["curve"] == "training accuracy, %: large batch"} == {100}
    fill = axes_of(drawn)[1].collections[1].get_paths()[0].vertices
    assert fill[:, 1].max() == 100 and fill[:, 1].min() < 90


def test_an_interval_far_wider_than_the_seeds_does_not_hide_them():
    result = synthetic("throughput", seeds=2)
    result.values["mlp"]["rows per second"] = [
        [10.0] * 6,
        [1000.0] * 6,
    ]  # the interval of their logarithms: 1e-11 to 1e15
    low, high = axes_of(draw(result))[0].get_ylim()
    assert 0.5 < low < 10 and 1000 < high < 20_000


def test_the_pages_show_every_experiment(root):
    page = "".join(
        "".join(cell["source"])
        for name in ("every_table_and_figure", "every_control")
        for cell in json.loads((root / "book" / f"{name}.ipynb").read_text())["cells"]
    )
    for group, experiments in GROUPS.items():
        for name in experiments:
            assert f'show("{name}")' in page or f'show_group("{group}")' in page, name


@pytest.mark.parametrize("experiment, folded", [("measures", True), ("spectrum", False)])
def test_a_table_of_many_screens_is_folded(experiment, folded, monkeypatch):
    said = []
    monkeypatch.setattr(exhibits, "say", said.append)
    exhibits.show(experiment)
    tables = [text for text in said if "|---" in text or "| ---" in text]
    assert len(tables) == 1 and tables[0].startswith("<details><summary>All ") == folded


@pytest.mark.parametrize("experiment, told", [("fig4", True), ("table2", False)])
def test_a_table_under_a_logarithmic_figure_says_that_its_means_are_others(experiment, told, monkeypatch):
    said = []
    monkeypatch.setattr(exhibits, "say", said.append)
    exhibits.show(experiment)
    assert (MEANS in said) == told


def test_a_control_is_read_in_words():
    columns = {"test LB long": [50.0], "SB 1e-3": [3.0], "threshold": [51.0]}
    result = Result("sam", "smoke", {"mlp": "mnist1d"}, {"mlp": (0,)}, {}, {"mlp": columns}, {})
    names = [row.split(" | ")[0].strip("| ") for row in table("sam", [result]).splitlines()[2:]]
    assert names == [
        "test accuracy, %: large batch, as many gradients",
        "φ(10⁻³), %: small batch",
        "threshold, rows per batch",
    ]


def test_a_problem_is_called_in_the_table_as_in_its_figure():
    assert "64 features, even, reduced tier" in table("regression", largest("regression")).replace("**", "")
    assert stamp_of(largest("regression")[0], "many even").startswith("reduced tier · 64 features, even · ")


def test_an_exhibit_says_what_it_decides():
    said = findings("table2")
    assert said.startswith("What it says: *Gap*: **") and said.count("**: ") == 0 and said.endswith("**.")
    assert not findings("batch-norm-of-nobody")


def test_what_is_recorded_stands_by_tier():
    head, rule, *rows = [row.strip("| ").split(" | ") for row in by_tier(["reproductions", "rates"]).splitlines()]
    assert head == ["experiment", "what it is", "smoke", "reduced", "colab", "paper"] and set(rule) == {"---"}
    assert [row[0].strip("`") for row in rows] == [*GROUPS["reproductions"], *GROUPS["rates"]]
    table2 = next(row for row in rows if row[0] == "`table2`")
    assert "mlp" in table2[2] and "F1" in table2[5], "its own networks, at its own tiers"
    assert "64 features, uneven; 4 features, a network" in by_tier(), "a problem is called as in its figure"
    (head, _, *rows) = [row[2:-2].split(" | ") for row in by_tier(["cures"]).splitlines()]  # the last may be empty
    assert all(any(row[k] for row in rows) for k in range(2, len(head))), "a tier at which nothing is recorded"
    assert "the dose is ρ" in by_tier(["cures"]), "a letter, and not its name"


def test_what_a_tier_plans_and_neither_it_nor_a_larger_one_has_recorded_is_said(monkeypatch):
    def held(experiment, tier):
        if (experiment, tier) not in {("table2", "reduced"), ("table2", "paper")}:
            raise FileNotFoundError
        return dataclasses.replace(largest("table2")[0], values={"C1": {}} if tier == "paper" else {"mlp": {}})

    monkeypatch.setattr(exhibits, "recorded", held)
    head, _, *rows = [row[2:-2].split(" | ") for row in by_tier(["reproductions"]).splitlines()]
    cells = dict(zip(head, next(row for row in rows if row[0] == "`table2`")))
    assert cells["smoke"] == "", "a larger tier has it"
    assert cells["reduced"].startswith("mlp; *not recorded:* mlp (large batch: half of all); C1, quarter; C3; ")
    assert cells["colab"] == "*not recorded:* F1"
    assert cells["paper"] == "C1; *not recorded:* F1; C3; C2; C4; F2"


def test_what_is_listed_has_one_and():
    assert [listed(list("abc")[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]


def test_a_point_at_0_is_not_drawn_where_x_is_in_the_logarithm():
    """A descent is looked at before its first update as well; a line from there would run level along the axis."""
    for axes in axes_of(draw(largest("regression")[0])):
        assert axes.get_xscale() == "log"
        assert all((line.get_xdata() > 0).all() for line in axes.get_lines())
