"""The figures: intervals by closed form, colours by the contrast that a reader gets, and every figure drawn, stamped
and told."""

import base64
import csv
import functools
import html
import math
import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

pytest.importorskip("matplotlib")
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox
from test_cures import a_comparison, at_a_price, augmented_result
from test_does_sharpness_predict import two_terms
from test_evidence_figures import density_of, tau_result, way_result
from test_figures import synthetic
from test_how_large_a_batch_pays import the_scales
from test_threshold_and_warm_start import further_result, sizes_result, warm_result
from test_what_a_batch_costs import FACTORS, performance_result
from test_what_a_batch_size_changes import own_rates_result, ratio_result
from test_what_newcomers_are_told import regression_result

from flatlab.measure.paths import Path, Surface
from flatlab.plots import (
    between_two_minima,
    does_sharpness_predict,
    edge_of_stability,
    flat_and_sharp,
    headline,
    how_large_a_batch_pays,
    measuring_sharpness,
    noisy_compass,
    on_the_way_down,
    picture,
    puzzle,
    style,
    what_a_batch_costs,
)
from flatlab.plots import results as figures
from flatlab.plots.cures import before_and_after, beside_one_another
from flatlab.plots.density import densities
from flatlab.plots.drawings import DRAWINGS
from flatlab.plots.ledger import Grid
from flatlab.plots.orderings import orderings
from flatlab.plots.threshold_and_warm_start import beside_the_paper, continuations, warm_starts
from flatlab.plots.waterfall import waterfall
from flatlab.plots.what_a_batch_size_changes import own_rates, ratio
from flatlab.plots.what_newcomers_are_told import by_problem
from flatlab.study import columns
from flatlab.study.ledger import Judgement
from flatlab.study.rules import Claim

GROUNDS = ("#ffffff", "#121212")  # the book's page, light and dark
WORDS = {"#ffffff": ("#222832", "#000000"), "#121212": ("#ced6dd", "#ffffff")}  # what a page there has its text in
BATCHES = (32, 128, 400, 2000)
TESTED, TRAINED = ({batch: [low, low + 0.5, low + 0.7] for batch in BATCHES} for low in (70.0, 99.0))


def curves_of(batches, seeds=3, epochs=8):
    """Accuracies as the figures of The puzzle take them: {batch size: {"train", "test": seeds x epochs}}."""
    random, climb = np.random.default_rng(0), 1 - np.exp(-np.arange(1, epochs + 1))
    return {
        batch: {
            part: climb * (top - math.log(batch)) + random.normal(size=(seeds, epochs)) * 0.2
            for part, top in (("train", 100), ("test", 75))
        }
        for batch in batches
    }


def updates_of(batches, epochs=8):
    """{batch size: updates at the end of each epoch of 4,000 rows}"""
    return {batch: [k * math.ceil(4000 / batch) for k in range(1, epochs + 1)] for batch in batches}


def hollows(x):
    return 1 - np.exp(-((x + 2) ** 2)) - np.exp(-((x - 1.5) ** 2) / 0.08)


def losses(grow):
    return {
        batch: [np.logspace(-3, grow, 5) * (1 + 0.1 * seed) * batch / 32 for seed in range(3)] for batch in (32, 2000)
    }


def path(top):
    """A path whose loss rises to `top`, and falls a little before."""
    alphas = tuple(k / 8 - 1 for k in range(25))
    loss = tuple(0.2 + top * max(0, alpha - 1) + 0.1 * (alpha - 0.3) ** 2 for alpha in alphas)
    return Path(alphas, loss, tuple(100 - 10 * value for value in loss), "line", "batch")


def both(rise, width=4):
    """{batch size: a value for each seed and place}, positive and growing."""
    return {
        batch: [np.logspace(-1, rise, width) * (1 + 0.1 * seed) * batch / 32 for seed in range(3)]
        for batch in (32, 2000)
    }


def descent(top):
    """What is seen along descent: at every tenth step the curvatures, at every step the loss."""
    steps = list(range(0, 41, 10))
    edge = [top * (1 + step / 40) for step in steps]
    return {"step": steps, "edge": edge, "batch": edge[::-1], "loss": [0.9**step for step in range(41)]}


CLOUD = {m: np.random.default_rng(m).normal([1, 0], 3 / m**0.5, (30, 2)) for m in (8, 128)}
PATHS = [path(2), path(2.5), path(3)]
GRID = (-1.0, -0.5, 0.0, 0.5, 1.0)
PLANES = {  # a valley along the second direction; the large batch's has ten times the curvature
    batch: Surface(GRID, GRID, *[tuple(tuple(0.02 + bend * a**2 + 0 * b for b in GRID) for a in GRID)] * 2, "batch")
    for batch, bend in ((32, 0.2), (2000, 2))
}
PHIS = {eps: {batch: [batch * eps * k for k in (900, 1000, 1200)] for batch in (32, 400, 2000)} for eps in (1e-3, 5e-4)}

FIGURES = {
    "accuracy": lambda: puzzle.accuracy(TESTED, TRAINED, "700 rows of digits"),
    "learning_curves": lambda: puzzle.learning_curves(curves_of(BATCHES), "mnist1d"),
    "printed_gaps": puzzle.printed_gaps,
    "early_stopping": lambda: puzzle.early_stopping(curves_of(BATCHES), "mnist1d"),
    "displaced": lambda: flat_and_sharp.displaced(hollows, (-2, 1.5), (0.0, 0.15, 0.4)),
    "increase": lambda: flat_and_sharp.increase(
        [0.1, 0.2], {"flat": [0.1, 0.2], "sharp": [0.3, 0.6]}, {"flat": [0.1, 0.2], "sharp": [0.4, 1.6]}
    ),
    "boxes": lambda: flat_and_sharp.boxes(np.logspace(-3, -1, 5), losses(0), losses(1), 0.1, "mnist1d"),
    "box_on_contours": lambda: measuring_sharpness.box_on_contours([[1, 0.8], [0.8, 2]], [1, 0.7]),
    "walls": lambda: measuring_sharpness.walls((0.25, 0.5, 0.75, 1), both(0), both(1), "mnist1d"),
    "sharpness_by_batch": lambda: measuring_sharpness.sharpness_by_batch(
        {"full space": PHIS, "random subspace": PHIS}, 4000, "mnist1d"
    ),
    "by_scale": lambda: measuring_sharpness.by_scale(
        (1e-4, 1, 1e4), {batch: {"lbfgs": [5, 5, 5], "scipy": [0, 4, 4.9]} for batch in (32, 2000)}, "mnist1d"
    ),
    "searches": lambda: measuring_sharpness.searches(
        {"lbfgs": {32: [[0, 3, 4]] * 3, 2000: [[0, 30]] * 3}, "apgd": {32: [[0, 3.9]] * 3, 2000: [[0, 20, 31]] * 3}},
        "mnist1d",
    ),
    "rescaling": lambda: measuring_sharpness.rescaling(
        (0.3, 1, 3, 10), {"full space": both(0), "random subspace": both(1)}, "mnist1d"
    ),
    "paths": lambda: between_two_minima.paths({"train": PATHS, "test": PATHS}, "fig3", "mnist1d"),
    "between": lambda: between_two_minima.between({"2,000 at 1": PATHS, "32, 2 epochs, at 1": PATHS[::-1]}, "mnist1d"),
    "planes": lambda: between_two_minima.planes(PLANES, "mnist1d"),
    "barriers": lambda: between_two_minima.barriers(
        {"32 and 2,000, one start": [0.1, 0.2, 0.1], "32 twice, two starts": [2, 2.1, 2.2]}, "mnist1d"
    ),
    "policies": lambda: between_two_minima.policies(
        {name: PATHS for name in ("frozen", "mixed", "recompute")}, "mnist1d"
    ),
    "descents": lambda: edge_of_stability.descents({0.1: descent(0.5), 0.05: descent(0.3)}, "500 rows of mnist1d"),
    "by_batch_size": lambda: edge_of_stability.by_batch_size(
        {batch: descent(batch / 500) for batch in (500, 8, 32, 125)}, "500 rows of mnist1d"
    ),
    "clouds": lambda: noisy_compass.clouds(
        {"at the start": CLOUD, "at the end": {m: 9 * points for m, points in CLOUD.items()}}, "mnist1d"
    ),
    "error_by_size": lambda: noisy_compass.error_by_size(
        (8, 32, 128),
        {"start": [4.1, 1.9, 1.0], "end": [12, 6, 3.1]},
        {"start": [4, 2, 1], "end": [12, 6, 3]},
        "mnist1d",
    ),
    "scale_along": lambda: noisy_compass.scale_along(
        (0, 1, 30), [200, 150, 2000], [5, 90, 150], [201, 149, 2100], "mnist1d"
    ),
    "noise_by_direction": lambda: noisy_compass.noise_by_direction(
        {"start": [0.05, 0.04, 0.02], "end": [0.03, 0.035, 0.01]}, 5e-6, "mnist1d"
    ),
    "throw": lambda: edge_of_stability.throw([2.05, 2.04, 1.96, 1.95], [0.01, -0.05, 0.05, -0.01], 1.95),
    "behind": lambda: figures.draw(synthetic("fig3", "C1", "cifar10")),
    "beside": lambda: figures.draw(synthetic("fig4")),
    "levels": lambda: figures.draw(synthetic("part-of-the-data")),
    "longest title": lambda: figures.draw(synthetic("fig2", "small-C2", "1000 rows of cifar10")),
    "waterfall": lambda: waterfall(way_result()),
    "a part of the waterfall": lambda: waterfall(way_result("rate-and-statistics", without=("regime", "updates"))),
    "density": lambda: densities(
        {32: [density_of(20, s) for s in range(3)], 400: [density_of(60, s) for s in range(3)]}, "mnist1d"
    ),
    "orderings": lambda: orderings(tau_result(seeds=3)),
    "a cure": lambda: figures.draw(synthetic("sam")),
    "ratio": lambda: ratio(ratio_result()),
    "own rates": lambda: own_rates(own_rates_result()),
    "two ways beside the paper": lambda: beside_the_paper(
        {"one rate": sizes_result(), "root rule": sizes_result(fall=0)}, "mlp"
    ),
    "warm starts": lambda: warm_starts(warm_result(), "mlp"),
    "continuations": lambda: continuations(further_result(), "mlp"),
    "cures": lambda: beside_one_another(a_comparison()),
    "cures by price": at_a_price,
    "with and without a cure": lambda: before_and_after(augmented_result(), "mlp"),
    "ratios": lambda: on_the_way_down.ratios(
        {"mlp": {"largest eigenvalue": [1, 1.2, 1.5], "trace": [5, 6, 7]}, "plain-mlp": {"trace": [20, 21, 22]}},
        "smoke tier · MNIST-1D · 3 seeds, 95 % intervals",
    ),
    "ritz_values": lambda: on_the_way_down.ritz_values([[3], [1, 4], [-2, 2, 5]], np.linspace(-2, 5, 50)),
    "bound_by_width": lambda: does_sharpness_predict.bound_by_width(two_terms(), "mnist1d"),
    "update time": lambda: what_a_batch_costs.update_time([8, 64, 512], [2.2e-3, 3e-3, 0.012], 2e-3, 2e-5, "mnist1d"),
    "three factors": lambda: what_a_batch_costs.three_factors(FACTORS, "mnist1d"),
    "appendix C": lambda: what_a_batch_costs.appendix_c(performance_result(), "mlp"),
    "by_problem": lambda: by_problem(regression_result()),
    "best rates": lambda: how_large_a_batch_pays.best_rates({8: 0.1, 32: 0.2, 128: 0.4, 500: 0.4}, 60, "mnist1d"),
    "two scales": the_scales,
    "headline": lambda: headline.headline(sizes_result(), "mlp"),
}


@functools.cache
def made(name):
    return FIGURES[name]()


@pytest.fixture(params=FIGURES, scope="module")
def drawn(request):
    return made(request.param)


@pytest.fixture(scope="module")
def shown(drawn):
    """On a page."""
    return drawn._repr_html_()


@pytest.fixture(scope="module")
def file(drawn):
    """As a file."""
    return drawn.svg()


@pytest.fixture(scope="module")
def letters(drawn):
    """(panel, text, where it is) of every word that is seen."""
    found = []
    with matplotlib.rc_context(style.STYLE):
        for panel in drawn.panels:
            canvas = FigureCanvasAgg(panel)
            canvas.draw()
            words = [text for text in panel.findobj(Text) if text.get_text().strip() and text.get_visible()]
            found += [(panel, text, text.get_window_extent(canvas.get_renderer())) for text in words]
    return found


def luminance(colour):
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# Intervals


def test_the_interval_of_1_to_5_is_the_textbooks():
    """Mean 3, s^2 = 2.5, t_{0.975, 4} = 2.7764 from any table."""
    mean, half = style.interval([1, 2, 3, 4, 5])
    assert mean == 3 and half == pytest.approx(2.7764451 * math.sqrt(2.5 / 5), rel=1e-6)


def test_the_interval_of_two_values_is_their_cauchy_quantile():
    """With one degree of freedom t is Cauchy: its 0.975 quantile is tan(0.475 pi)."""
    assert style.interval([0, 2])[1] == pytest.approx(math.tan(0.475 * math.pi), rel=1e-9)


def test_one_seed_has_no_interval():
    mean, half = style.interval([7.0])
    assert mean == 7 and math.isnan(half)


def test_the_interval_covers_the_mean_95_times_in_100():
    """20,000 draws of 5: the share that covers has a standard deviation of 0.15 %, so 0.7 % is more than four of
    them."""
    draws = np.random.default_rng(1).normal(3, 2, (20_000, 5))
    mean, half = style.intervals(draws[:2000].T)
    assert mean[0] == style.interval(draws[0])[0]
    factor = half[0] / (draws[0].std(ddof=1) / math.sqrt(5))
    covered = np.abs(draws.mean(1) - 3) <= factor * draws.std(1, ddof=1) / math.sqrt(5)
    assert covered.mean() == pytest.approx(0.95, abs=0.007)


# Colours


@pytest.mark.parametrize("ground", GROUNDS)
def test_every_colour_of_a_file_can_be_read_in_light_and_in_dark(ground):
    """3 to 1 is what WCAG asks of graphics and large letters; words get 4.2, near the most that one grey can have on
    both."""
    for colour in (style.SMALL, style.LARGE, style.BETWEEN, style.CONTROL, style.PAPER, *SCALE):
        assert contrast(colour, ground) >= 3, colour
    assert contrast(style.TEXT, ground) >= 4.2


SCALE = style.colours([2**k for k in range(12)]).values()


@pytest.mark.parametrize("ground", GROUNDS)
def test_every_colour_of_a_page_is_as_good_as_text_must_be(ground):
    """4.5 to 1, WCAG's AA: CSS mixes in sRGB as here, channel by channel."""
    for colour in (style.SMALL, style.LARGE, style.BETWEEN, style.CONTROL, style.PAPER, *SCALE):
        for words in WORDS[ground]:
            share = picture.INK_PERCENT / 100
            mixed = [share * a + (1 - share) * b for a, b in zip(to_rgb(colour), to_rgb(words))]
            assert contrast(mixed, ground) >= 4.5, (colour, words)


def test_a_figure_that_a_page_draws_twice_has_two_files():
    names = [flat_and_sharp.displaced(hollows, (-2, 1.5), by).name for by in ((0.15,), (0.0, 0.4))]
    assert names == ["displaced-by-0.15", "displaced-by-0-0.4"]
    names = [between_two_minima.between({"to": PATHS, name: PATHS}, "mnist1d").name for name in ("32, 2 epochs", "b")]
    assert names == ["between-32-2-epochs", "between-b"]


def test_small_and_large_batch_have_their_colours_whatever_lies_between():
    for batches in ((32, 2000), BATCHES, (1, 256, 60_000)):
        colour = style.colours(batches)
        assert colour[min(batches)].upper() == style.SMALL and colour[max(batches)].upper() == style.LARGE
    assert style.colours([256]) == {256: style.SMALL.lower()}


INKS = {style.SMALL, style.LARGE, style.BETWEEN, style.CONTROL}


@pytest.mark.parametrize("name", ["paths", "policies", "between", "barriers"])
def test_what_is_ours_is_coloured_and_what_is_the_papers_grey(name):
    for panel in made(name).panels:
        curves = [line for line in panel.axes[0].lines if len(line.get_xdata()) > 2]
        theirs = "the paper" in panel.axes[0].get_title("left")
        assert curves and {line.get_color() for line in curves} <= ({style.PAPER} if theirs else INKS)


def test_every_curve_of_a_result_is_coloured_except_a_goal_and_a_law():
    colour = {c.column: c.colour for d in DRAWINGS.values() for panel in d.panels for c in panel.curves}
    assert {colour.pop(beside) for beside in (columns.GOAL, columns.LAW, columns.NULL)} == {style.TEXT}
    assert set(colour.values()) <= INKS


def test_two_planes_have_lines_at_the_same_levels_where_the_loss_is_that():
    """The loss is 0.02 + bend alpha^2: the line of 0.1 lies at alpha^2 = 0.08 / bend, wherever beta is."""
    picture = made("planes")
    for panel, (batch, bend), colour in zip(picture.panels, ((32, 0.2), (2000, 2)), (style.SMALL, style.LARGE)):
        (lines,) = panel.axes[0].collections
        assert {to_hex(one).upper() for one in lines.get_edgecolor()} == {colour}
        places = lines.get_paths()[list(lines.levels).index(0.1)].vertices
        values = np.interp(np.abs(places[:, 0]), GRID[2:], [0.02 + bend * a**2 for a in GRID[2:]])
        assert values == pytest.approx(0.1, rel=1e-6) and np.ptp(places[:, 1]) == pytest.approx(2)
        assert f"batch {batch:,} by {bend:.2g}" in picture.alt
    row = next(row for row in picture.table if (row["alpha"], row["beta"]) == (1.0, -0.5))
    assert (row["loss, batch 32"], row["loss, batch 2000"]) == (pytest.approx(0.22), pytest.approx(2.02))


def test_small_and_large_have_their_colours_between_two_minima_and_the_control_another():
    between = made("between").panels[0].axes[0]
    assert [line.get_color() for line in between.lines[:2]] == [style.LARGE, style.CONTROL]
    for panel in made("paths").panels + made("policies").panels:
        ends = [line for line in panel.axes[-1].lines if len(line.get_xdata()) == 2]
        assert [(line.get_xdata()[0], line.get_color()) for line in ends] == [(0, style.SMALL), (1, style.LARGE)]


# Figures


def test_clouds_tell_how_wide_they_are_and_small_batches_are_blue():
    drawn = made("clouds")
    assert "at the start, batch 128: 0.3" in drawn.alt  # 3 / sqrt(128) in each of two directions
    for panel in drawn.panels:
        dots = [line for line in panel.axes[0].lines if len(line.get_xdata()) == 30]
        assert [line.get_color().upper() for line in dots] == [style.SMALL, style.LARGE]


def test_the_loss_at_a_corner_is_the_parabolas_and_the_mean_corner_half_the_sum_of_r_squared_times_the_diagonal():
    rises = {(row["first weight"], row["second weight"]): row["rise"] for row in made("box_on_contours").table}
    assert rises[1, 0.7] == rises[-1, -0.7] == pytest.approx((1 + 2 * 0.8 * 0.7 + 2 * 0.49) / 2)
    assert rises[1, -0.7] == pytest.approx((1 - 2 * 0.8 * 0.7 + 2 * 0.49) / 2)
    assert np.mean(list(rises.values())) == pytest.approx((1 + 2 * 0.49) / 2)
    assert "by 1.55 twice" in made("box_on_contours").alt


def test_a_picture_says_tier_data_and_seeds(drawn, shown):
    seeds = "1 seed, no interval|3 seeds, 95 % intervals|nothing random"
    one = rf"smoke tier · .+ · ({seeds})"
    assert re.fullmatch(rf"(recorded: .+; of this page: )?{one}|the paper's Table 2 · means of 5 runs", drawn.stamp)
    assert html.escape(drawn.stamp) in shown


def test_no_setting_changes_the_tier_of_what_a_page_computes(monkeypatch):
    """A page trains nets of one size, so a setting that changes its stamp makes the stamp false."""
    monkeypatch.setenv("FLATLAB_TIER", "colab")
    drawn = puzzle.accuracy({32: [70.0]}, {32: [99.0]}, "mnist1d")
    assert drawn.stamp == "smoke tier · MNIST-1D · 1 seed, no interval"


def test_on_a_page_words_have_its_colour_and_colours_are_mixed_with_it(shown):
    """No colour is left as it was drawn, except for a browser that cannot mix, which takes the declaration before."""
    assert "currentColor" in shown and style.TEXT not in shown
    alone = re.sub(r"(fill|stroke): (#[0-9a-f]{6}); \1: color-mix\(in srgb, \2 75%, currentColor\)", "", shown)
    assert not re.findall(r"(?:fill|stroke): ?#[0-9a-f]+", alone)


def test_a_files_words_and_ground_can_be_read_in_light_and_in_dark(letters, file):
    for panel, text, _ in letters:
        assert panel.get_facecolor()[3] == 0 and all(axes.get_facecolor()[3] == 0 for axes in panel.axes)
        for ground in GROUNDS:
            assert contrast(text.get_color(), ground) >= 3, text.get_text()
    for colour in set(re.findall(r"(?:stroke|fill): ?(#[0-9a-f]{6})", file)):
        for ground in GROUNDS:
            assert contrast(colour, ground) >= 3, colour


def faint(panels):
    """Lines and dots that have less than 3 to 1 on a page, WCAG's AA for graphics."""
    for line in (line for panel in panels for axes in panel.axes for line in axes.lines):
        for ground in GROUNDS:
            ink, share, seen = to_rgb(WORDS[ground][0]), picture.INK_PERCENT / 100, line.get_alpha() or 1
            colour = [share * a + (1 - share) * b for a, b in zip(to_rgb(line.get_color()), ink)]
            if contrast([seen * a + (1 - seen) * b for a, b in zip(colour, to_rgb(ground))], ground) < 3:
                yield f"{line.get_color()} at {seen} on {ground}"


def test_no_line_and_no_dot_is_too_faint(drawn):
    assert not list(faint(drawn.panels))


def test_a_panel_is_as_wide_as_a_phone_at_most_and_its_letters_no_smaller_than_10(letters):
    """342 CSS pixels is what the book leaves a figure of 390: a point is a pixel there, so ten points are ten
    pixels."""
    for panel, text, _ in letters:
        assert 72 * panel.get_figwidth() <= 342
        assert text.get_size() >= 10, text.get_text()


def test_a_number_of_a_thousand_or_more_has_a_comma(shown):
    """Prose has it, so a figure, its words and its table do; of the file the numbers stay the code's."""
    words = [*re.findall(r'aria-label="(.*?)"', shown), *re.findall(r">([^<>]+)<", shown)]
    assert not [one for one in words if re.search(r"(?<![\d.])\d{4,}", one)]


def test_letters_of_one_figure_are_as_large_as_anothers_on_a_phone(shown):
    """A figure of one wide panel had them a quarter smaller than one of two narrow panels under one another."""
    panels = re.findall(r"max-width: min\(([\d.]+)%, (\d+)px\).*?viewBox=\"0 0 ([\d.]+) ", shown)
    assert len(panels) == shown.count("<svg")
    for share, most, width in panels:
        on_a_phone = min(342 * float(share) / 100, float(most)) / float(width)
        assert on_a_phone == pytest.approx(342 / (72 * style.WIDE), rel=0.01)


def test_the_ticks_of_a_logarithmic_axis_are_numbers_where_those_can_be_read(drawn):
    """10 to the 0 in one panel, and 1 in the next, are two spellings of one number."""
    for axis in (axis for panel in drawn.panels for axes in panel.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        if axis.get_scale() == "log" and low > 1e-4 and high < 1e6:
            named = [tick.get_text() for tick in axis.get_ticklabels(which="both")]
            assert (any(named) or not named) and not any("10^" in text for text in named), named


def test_the_ticks_of_a_linear_axis_have_their_comma_of_thousands():
    axes = style.canvas()
    axes.set(xlim=(0, 2000), ylim=(0, 1))
    style.spell(axes)
    axes.figure.draw_without_rendering()
    assert "1,000" in [tick.get_text() for tick in axes.get_xticklabels()]
    assert "1.0" in [tick.get_text() for tick in axes.get_yticklabels()]


def test_no_word_of_the_headline_lies_on_an_interval():
    drawn = made("headline")
    (panel,) = drawn.panels
    panel.draw_without_rendering()
    for axes in panel.axes:
        words = [text.get_window_extent() for text in axes.texts]
        bars = [path.get_extents(axes.transData) for bar in axes.collections for path in bar.get_paths()]
        assert words and bars and not any(word.overlaps(bar) for word in words for bar in bars)


def test_the_headline_says_the_mean_that_its_dot_is_drawn_at():
    drawn = made("headline")
    *_, sharp = drawn.panels[0].axes
    sizes = sorted({row["batch size"] for row in drawn.table})
    dots = [bar.lines[0].get_ydata()[0] for bar in sharp.containers]
    told = ", ".join(f"{dot:.3g} at batch {size:,}" for size, dot in zip(sizes, dots, strict=True))
    assert drawn.alt.endswith(f"Sharpness: {told}.")


def test_a_change_is_a_line_between_its_two_dots_however_short_it_is():
    """The head of an arrow is longer than the shortest of them, and was drawn on its far side."""
    axes = style.canvas()
    axes.set(xlim=(0, 100), ylim=(-1, 1))
    for y, after in ((-0.5, 10.5), (0.5, 60)):
        style.change(axes, y, 10, after, style.PAPER)
    axes.figure.draw_without_rendering()
    for way in axes.texts:
        line = way.arrow_patch.get_window_extent()
        start, end = (axes.transData.transform((x, 0))[0] for x in (way.xyann[0], way.xy[0]))
        assert line.height < 3 and start - 3 < line.x0 and line.x1 < end + 3


def test_a_figures_words_stay_inside_it_and_off_one_another(letters):
    """As drawn, with room for half a letter: what lies over another word or over the edge is not read."""
    seen = {}
    for panel, text, box in letters:
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= panel.bbox.x1 + 1 and box.y1 <= panel.bbox.y1 + 1
        # A tick beyond the axis's limits has a text as well, which is not drawn.
        ticks = {
            t for axes in panel.axes for axis in (axes.xaxis, axes.yaxis) for t in axis.get_ticklabels(which="both")
        }
        assert inside or text in ticks, text
        if isinstance(text, Annotation):
            for other, beside in seen.get(text.axes, []):
                apart = Bbox.intersection(box.shrunk(0.9, 0.9), beside.shrunk(0.9, 0.9)) is None
                assert apart, (text, other)
            seen.setdefault(text.axes, []).append((text, box))


def test_a_broken_line_shows_two_of_its_gaps_in_a_legend(drawn):
    """A sample shorter than that, with its mark on the one gap, reads as a whole line."""
    legends = [legend for panel in drawn.panels for legend in panel.findobj(Legend)]
    for legend, line in [(one, line) for one in legends for line in one.findobj(Line2D)]:
        _, dashes = line._unscaled_dash_pattern
        if dashes and line.get_linestyle() != "None":
            sample = legend.handlelength * legend.prop.get_size()
            assert sample >= 2.5 * sum(dashes[:2]) * line.get_linewidth(), line.get_label()


def test_a_picture_is_the_same_bytes_each_time():
    one, other = made("walls"), FIGURES["walls"]()
    assert one.svg() == other.svg() and one._repr_html_() == other._repr_html_()


def test_what_a_picture_shows_is_well_formed_and_its_ids_are_its_own(drawn, shown, file):
    """Two figures of one page must not share an id: the second would be clipped as the first is."""
    ElementTree.fromstring(file)
    panels = re.findall(r"<svg.*?</svg>", shown, re.DOTALL)
    ids = [set(re.findall(r' id="([^"]+)"', panel)) for panel in panels]
    assert len(panels) == len(drawn.panels) and sum(map(len, ids)) == len(set().union(*ids))
    for panel, own in zip(panels, ids):
        ElementTree.fromstring(panel)
        assert set(re.findall(r'(?:url\(|href=")#([^")]+)', panel)) == own


def test_all_words_of_a_stamp_stay_inside_the_file():
    figure = picture._words("reduced tier · MNIST-1D · 10 seeds, 95 % intervals; " * 3, 72 * style.WIDE)
    (words,) = figure.texts
    figure.draw_without_rendering()
    box = words.get_window_extent()
    assert box.x1 <= figure.bbox.x1 and box.y0 >= -1 and box.y1 <= figure.bbox.y1 + 1


def test_a_picture_is_saved_whole_with_its_stamp(tmp_path):
    drawn = made("walls")
    drawn.save(tmp_path / "walls.svg")
    (file,) = tmp_path.iterdir()
    assert file.read_text() == drawn.svg()
    height = {len(figure.findobj(Text)): figure.get_figheight() for figure in drawn.panels}
    assert float(re.search(r'height="([\d.]+)pt"', drawn.svg())[1]) > 72 * max(height.values()), "no room for the stamp"


def test_a_picture_carries_its_numbers_and_offers_them(drawn, shown):
    """The file behind the link holds every column and row."""
    link = re.search(r'href="data:text/csv;base64,([^"]+)"', shown).group(1)
    head, *rows = csv.reader(base64.b64decode(link).decode().splitlines())
    assert rows and all(list(row) == head for row in drawn.table)
    assert rows == [[str(value) for value in row.values()] for row in drawn.table]


def test_a_picture_tells_its_numbers_in_words(drawn, shown):
    """The alternative text has digits of the data, no word that judges, and stands on the page as one image."""
    assert f'role="img" aria-label="{html.escape(drawn.alt)}"' in shown
    assert re.search(r"\d", drawn.alt) and len(drawn.alt) > 60 and "nan" not in drawn.alt
    assert not re.search(r"sharper|flatter|better|worse|reproduced", drawn.alt)


def test_two_pictures_do_not_share_their_words():
    told = [made(name).alt for name in FIGURES]
    assert not [alt for alt in told if re.search(r"\$|\\|_|\de[+-]\d|(?<![\w.)-])-\d", alt)], "read aloud, this is code"
    assert len(set(told)) == len(told)


def test_the_name_of_a_pictures_file_has_no_blank(drawn):
    assert drawn.name and " " not in drawn.name


def test_names_are_escaped():
    with matplotlib.rc_context(style.STYLE):
        drawn = picture.Picture([style.canvas().figure], [{"a < b": 1.0}], "x & y", '"quoted"', "name & co")
    shown = drawn._repr_html_()
    assert (
        "name-&amp;-co.csv" in shown and "a &lt; b" in shown and "x &amp; y" in shown and "&quot;quoted&quot;" in shown
    )


@pytest.mark.parametrize(
    "column, keys, cells",
    [
        ("network", ["mlp, half", "many even"], ["mlp (large batch: half of all)", "64 features, even"]),
        ("data", ["mnist1d", "50000 rows of mnist"], ["MNIST-1D", "50,000 rows of MNIST"]),
        ("curve", ["even", "network"], ["even", "network"]),
    ],
)
def test_a_column_of_keys_is_read_as_names_and_its_heading_is_a_word(column, keys, cells):
    shown = picture.folded([{column: key} for key in keys], "name")
    assert re.findall("<td>(.*?)</td>", shown) == cells and re.findall("<th scope=.col.>(.*?)</th>", shown) == [column]


@pytest.mark.parametrize(
    "column, cells",
    [
        ([99.875, 100.0, 99.95], ["99.875", "100.000", "99.950"]),
        ([5, 10], ["5", "10"]),
        ([0.5, math.nan, 2.0], ["0.5", "", "2.0"]),
        ([1e-4, 1.0, 1e4], ["0.0001", "1", "10,000"]),
        ([32, 2000], ["32", "2,000"]),
        ([0.5, 1e-10], ["0.5", "10⁻¹⁰"]),
    ],
)
def test_the_numbers_of_a_column_stand_point_under_point_unless_they_range_over_decades(column, cells):
    shown = picture.folded([{"a": value} for value in column], "name")
    assert re.findall("<td>(.*?)</td>", shown) == cells


@pytest.mark.parametrize(
    "x, y, words",
    [
        ([0, 1, 2], [1, 0.5, 3], "loss from 1 at 0 to 3 at 2, lowest 0.5 at 1"),
        ([0, 1, 2], [1, 4, 3], "loss from 1 at 0 to 3 at 2, highest 4 at 1"),
        ([0, 1, 2], [math.nan, 4, 5], "loss from 4 at 1 to 5 at 2"),
        ([7], [2], "loss 2 at 7"),
        ([7], [math.nan], "loss nowhere"),
    ],
)
def test_a_curve_in_words(x, y, words):
    assert picture.course("loss", x, y) == words


def test_columns_of_different_lengths_are_no_rows():
    assert picture.rows_of({"a": [1, 2], "b": [3, 4]}) == [{"a": 1, "b": 3}, {"a": 2, "b": 4}]
    with pytest.raises(ValueError):
        picture.rows_of({"a": [1, 2], "b": [3]})


def test_drawing_changes_no_setting_of_matplotlib():
    before = dict(matplotlib.rcParams)
    FIGURES["accuracy"]()._repr_html_()
    assert dict(matplotlib.rcParams) == before


def test_each_panel_of_a_file_has_its_own_size(file):
    """A point of a panel is one of the file: in pt it would be four thirds of that, and cut off."""
    _, *panels = re.findall(r"<svg [^>]*>", file)
    for panel in panels:
        width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', panel).groups()
        assert f' width="{width}" height="{height}"' in panel


def test_the_seeds_numbers_are_those_that_were_given():
    shown = puzzle.accuracy(TESTED, TRAINED, "mnist1d", "reduced")
    assert shown.stamp == "reduced tier · MNIST-1D · 3 seeds, 95 % intervals"
    assert [(row["batch size"], row["seed"]) for row in shown.table] == [
        (m, seed) for m in BATCHES for seed in range(3)
    ]
    assert [row["test accuracy"] for row in shown.table] == [70, 70.5, 70.7] * len(BATCHES)
    assert [row["training accuracy"] for row in shown.table] == [99, 99.5, 99.7] * len(BATCHES)


def test_the_best_epoch_is_each_seeds_own():
    """Of the second seed the first epoch, of the other two the last."""
    table = [[60, 70], [71, 69], [50, 72]]
    shown = puzzle.early_stopping({32: {"test": table}}, "mnist1d", "reduced")
    assert shown.stamp.startswith("reduced tier")
    assert [(row["last epoch"], row["best epoch"], row["which"]) for row in shown.table] == [
        (70, 70, 2),
        (69, 71, 1),
        (72, 72, 2),
    ]


def test_an_interval_is_drawn_around_every_mean():
    """Bars of half width h around the mean, for each batch size, test and training."""
    axes = puzzle.accuracy(TESTED, TRAINED, "700 rows of digits").panels[0].axes[0]
    bars = axes.containers
    assert len(bars) == 2 * len(BATCHES)
    mean, half = style.interval(TRAINED[32])
    ((low, high),) = [segment[:, 1] for segment in bars[0].lines[2][0].get_segments()]
    assert (low, high) == (pytest.approx(mean - half), pytest.approx(mean + half))


# Folds


def test_a_fold_has_the_apostrophe_of_the_prose_around_it(root):
    """Sphinx makes the apostrophes of a text round, but not those of raw HTML."""
    sources = [path.read_text(encoding="utf8") for path in (root / "book").glob("*.ipynb")]
    found = [words for source in sources for words in re.findall(r"<summary>(.*?)</summary>", source)]
    assert found and not [words for words in found if re.search(r"\w'\w", words)]
    claim = Claim(name="F1's gap", words="w", source="somebody", experiment="table2", measure="m", effect=list, above=0)
    one = Judgement("F1's gap", "smoke", "mlp", "mnist1d", 3, 1.0, 0.5, 1.5, "holds", 0.5)
    assert "<summary>F1’s gap</summary>" in Grid([(claim, [one])])._repr_html_()
