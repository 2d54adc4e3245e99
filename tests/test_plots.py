"""The figures: intervals by closed form, colours by the contrast that a reader gets, and every figure drawn and stamped."""

import base64
import io
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("matplotlib")
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox
from test_figures import synthetic

from flatlab.plots import flat_and_sharp, headline, puzzle, style
from flatlab.plots import results as figures

GROUNDS = ("#ffffff", "#121212")  # the book's page, light and dark
BATCHES = (32, 128, 400, 2000)
TRAINING = {batch: [99.0, 99.5, 99.7] for batch in BATCHES}


def runs_of(batches, seeds=3, epochs=8):
    """What `train` returns, as far as a figure asks for it."""
    random = np.random.default_rng(0)

    def run(batch, seed):
        climb = 1 - np.exp(-np.arange(1, epochs + 1))
        history = {
            "epoch": list(range(1, epochs + 1)),
            "updates": [k * math.ceil(4000 / batch) for k in range(1, epochs + 1)],
        }
        history |= {
            f"{name}_accuracy": list(climb * (top - math.log(batch)) + random.normal(size=epochs) * 0.2)
            for name, top in (("train", 100), ("test", 75))
        }
        return SimpleNamespace(history=history, seed=seed, facts={"rows": batch, "data": "mnist1d"})

    return [run(batch, seed) for batch in batches for seed in range(seeds)]


def hollows(x):
    return 1 - np.exp(-((x + 2) ** 2)) - np.exp(-((x - 1.5) ** 2) / 0.08)


def losses(grow):
    return {
        batch: [np.logspace(-3, grow, 5) * (1 + 0.1 * seed) * batch / 32 for seed in range(3)] for batch in (32, 2000)
    }


FIGURES = {
    "accuracy": lambda: puzzle.accuracy(runs_of(BATCHES), TRAINING),
    "learning_curves": lambda: puzzle.learning_curves(runs_of(BATCHES)),
    "against_updates": lambda: puzzle.against_updates(runs_of(BATCHES)),
    "early_stopping": lambda: puzzle.early_stopping(runs_of(BATCHES)),
    "displaced": lambda: flat_and_sharp.displaced(hollows, (-2, 1.5), (0.0, 0.3)),
    "increase": lambda: flat_and_sharp.increase(
        [0.1, 0.2], {"flat": [0.1, 0.2], "sharp": [0.3, 0.6]}, {"flat": [0.1, 0.2], "sharp": [0.4, 1.6]}
    ),
    "boxes": lambda: flat_and_sharp.boxes(np.logspace(-3, -1, 5), losses(0), losses(1), 0.1, "mnist1d"),
    "rescaled": lambda: flat_and_sharp.rescaled(
        lambda a, b: (a * b - 1) ** 2, (1, 2, 4, 32), [2, 4, 17, 1024], [0.1, 0.2, 0.5, 30]
    ),
    "behind": lambda: figures.draw(synthetic("fig3", "C1", "cifar10")),
    "beside": lambda: figures.draw(synthetic("fig4")),
    "levels": lambda: figures.draw(synthetic("part-of-the-data")),
    "headline": lambda: headline.headline(
        runs_of(BATCHES), {batch: [batch, batch + 1, batch + 2] for batch in BATCHES}
    ),
}


@pytest.fixture(params=FIGURES)
def figure(request):
    return FIGURES[request.param]()


def svg(figure):
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue().decode()


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
    """20,000 draws of 5: the share that covers has a standard deviation of 0.15 %, so 0.7 % is more than four of them."""
    draws = np.random.default_rng(1).normal(3, 2, (20_000, 5))
    mean, half = style.intervals(draws[:2000].T)
    assert mean[0] == style.interval(draws[0])[0]
    factor = half[0] / (draws[0].std(ddof=1) / math.sqrt(5))
    covered = np.abs(draws.mean(1) - 3) <= factor * draws.std(1, ddof=1) / math.sqrt(5)
    assert covered.mean() == pytest.approx(0.95, abs=0.007)


# Colours


@pytest.mark.parametrize("ground", GROUNDS)
def test_every_colour_can_be_read_in_light_and_in_dark(ground):
    """3 to 1 is what WCAG asks of graphics and large letters; words get 4.2, near the most that one grey can have on both."""
    for colour in (
        style.SMALL,
        style.LARGE,
        style.BETWEEN,
        style.PAPER,
        *style.colours([2**k for k in range(12)]).values(),
    ):
        assert contrast(colour, ground) >= 3, colour
    assert contrast(style.TEXT, ground) >= 4.2


def test_small_and_large_batch_have_their_colours_whatever_lies_between():
    for batches in ((32, 2000), BATCHES, (1, 256, 60_000)):
        colour = style.colours(batches)
        assert colour[min(batches)].upper() == style.SMALL and colour[max(batches)].upper() == style.LARGE
    assert style.colours([256]) == {256: style.SMALL.lower()}


# Figures


def test_a_figure_says_tier_data_and_seeds_on_its_face(figure):
    stamp = figure.get_supxlabel()
    assert re.fullmatch(r"smoke tier · .+ · (3 seeds, 95 % intervals|nothing random)", stamp)


def test_the_stamp_names_the_tier_it_ran_at(monkeypatch):
    monkeypatch.setenv("FLATLAB_TIER", "colab")
    assert (
        puzzle.accuracy(runs_of(BATCHES, seeds=1), {batch: [99.0] for batch in BATCHES}).get_supxlabel()
        == "colab tier · MNIST-1D · 1 seed, no interval"
    )


def test_a_figures_words_and_ground_can_be_read_in_light_and_in_dark(figure):
    drawn = svg(figure)
    assert figure.get_facecolor()[3] == 0 and all(axes.get_facecolor()[3] == 0 for axes in figure.axes)
    for text in figure.findobj(Text):
        if text.get_text() and text.get_visible():
            for ground in GROUNDS:
                assert contrast(text.get_color(), ground) >= 3, text.get_text()
    for colour in set(re.findall(r"(?:stroke|fill): ?(#[0-9a-f]{6})", drawn)):
        for ground in GROUNDS:
            assert contrast(colour, ground) >= 3, colour


def test_a_figures_words_stay_inside_it_and_off_one_another(figure):
    """As drawn, with room for half a letter: what lies over another word or over the edge is not read."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = {
        text: text.get_window_extent(canvas.get_renderer())
        for text in figure.findobj(Text)
        if text.get_text().strip() and text.get_visible()
    }
    for text, box in boxes.items():
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1
        # A tick beyond the axis's limits has a text as well, which is not drawn.
        assert inside or text in {
            t
            for axes in figure.axes
            for t in (*axes.get_xticklabels(which="both"), *axes.get_yticklabels(which="both"))
        }, text
    words = [(text, box) for text, box in boxes.items() if isinstance(text, Annotation)]
    for number, (text, box) in enumerate(words):
        for other, beside in words[:number]:
            assert (
                text.axes is not other.axes or Bbox.intersection(box.shrunk(0.9, 0.9), beside.shrunk(0.9, 0.9)) is None
            ), (text, other)


def test_a_figure_is_the_same_bytes_each_time():
    assert svg(FIGURES["accuracy"]()) == svg(FIGURES["accuracy"]())


def test_a_figure_carries_its_numbers_and_offers_them(figure):
    """The file behind the link holds every column and row of figure.data."""
    lengths = {len(column) for column in figure.data.values()}
    assert len(lengths) == 1 and lengths != {0}
    shown = style.data(figure, "name & co").data
    file = base64.b64decode(re.search(r"base64,([^\"]+)", shown).group(1)).decode().splitlines()
    assert len(file) == 1 + lengths.pop() and file[0].count(",") >= len(figure.data) - 1
    assert "name &amp; co.csv" in shown and "<summary>" in shown


def test_the_seeds_numbers_are_those_of_the_runs():
    runs = runs_of(BATCHES)
    shown = puzzle.accuracy(runs, TRAINING).data
    assert list(shown["batch size"]) == [run.facts["rows"] for run in runs]
    assert shown["test accuracy"] == [run.history["test_accuracy"][-1] for run in runs]


def test_an_interval_is_drawn_around_every_mean():
    """Bars of half width h around the mean, for each batch size, test and training."""
    axes = puzzle.accuracy(runs_of(BATCHES), TRAINING).axes[0]
    bars = axes.containers
    assert len(bars) == 2 * len(BATCHES)
    mean, half = style.interval(TRAINING[32])
    ((low, high),) = [segment[:, 1] for segment in bars[0].lines[2][0].get_segments()]
    assert (low, high) == (pytest.approx(mean - half), pytest.approx(mean + half))
