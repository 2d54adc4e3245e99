"""Sliders that answer without a kernel, as a reader has them: a saved page in a browser, moved by keyboard."""

import functools
import re

import matplotlib
import numpy as np
import pytest

pytest.importorskip("matplotlib")
from test_cures import strengths
from test_does_sharpness_predict import made_up_nets
from test_how_large_a_batch_pays import the_trade
from test_on_the_way_down import way_down_result
from test_plane_of_descent import descent
from test_plots import CLOUD, GROUNDS, WORDS, both, contrast, curves_of, faint, hollows, path, updates_of
from test_threshold_and_warm_start import sizes_result
from test_what_a_batch_costs import the_clock
from test_what_a_batch_size_changes import rates_result
from test_what_newcomers_are_told import CONDITIONS, LEFT

from flatlab.plots import (
    does_sharpness_predict,
    edge_of_stability,
    flat_and_sharp,
    noisy_compass,
    puzzle,
    sliders,
    style,
)
from flatlab.plots.on_the_way_down import by_epoch
from flatlab.plots.picture import Picture
from flatlab.plots.plane_of_descent import paths_on_a_plane
from flatlab.plots.slides import Slides
from flatlab.plots.tables import readable
from flatlab.plots.threshold_and_warm_start import by_size
from flatlab.plots.what_a_batch_size_changes import by_rate, hovering
from flatlab.plots.what_newcomers_are_told import two_ways
from flatlab.study.ledger import significant

RATIOS = (0.001, 0.01, 0.1)
# As many walkers as it takes, drawn from the closed form itself: an error of variance 1, a rate of 0.5.
WALKERS = {
    ratio: np.random.default_rng(0).normal(size=(400, 2)) * np.sqrt(ratio / (np.array([0.1, 1]) * [1.95, 1.5]))
    for ratio in RATIOS
}
PATHS = [path(2), path(2.5), path(3)]
MADE = {
    "moved_minimum": lambda: sliders.moved_minimum(hollows, (-2, 1.5), np.linspace(0.1, 0.8, 8), start=3),
    "box_size": lambda: sliders.box_size((1e-5, 1e-4, 1e-3, 1e-2), both(3), both(2), "mnist1d", start=1),
    "against_updates": lambda: puzzle.against_updates(
        curves_of((32, 2000)), updates_of((32, 2000)), "mnist1d", positions=8
    ),
    "by_rate": lambda: by_rate(rates_result(), "mlp"),
    "by_size": lambda: by_size(sizes_result(), "mlp", start=4),
    "by_strength": strengths,
    "paths_on_a_plane": lambda: paths_on_a_plane(*descent(), start=1),
    "by_epoch": lambda: by_epoch(way_down_result(), "mlp", start=1),
    "two_choices": lambda: does_sharpness_predict.two_choices((0.25, 1, 3), (32, 125, 500, 2000)),
    "by_measure": lambda: does_sharpness_predict.by_measure(
        made_up_nets(), ("batch size", "rate", "width"), "mnist1d", start=1
    ),
    "clock": the_clock,
    "two_ways": lambda: two_ways(CONDITIONS, LEFT, "a formula", start=1),
    "trade": the_trade,
    "walk": lambda: sliders.walk({"train": PATHS, "test": PATHS[::-1]}, "mnist1d", start=8),
    "cloud_by_size": lambda: noisy_compass.cloud_by_size(CLOUD, {8: [10, 70, 95], 128: [5, 20, 30]}, "mnist1d"),
    "rescaled": lambda: flat_and_sharp.rescaled(
        lambda a, b: (a * b - 1) ** 2, (1, 2, 4, 32), [2, 4, 17, 1024], [0.1, 0.2, 0.5, 30], start=1
    ),
    "hovering": lambda: hovering(WALKERS, (0.1, 1.0), 0.5, start=1),
    "steps_on_a_parabola": lambda: edge_of_stability.steps_on_a_parabola((0, 0.5, 1, 2, 2.5), start=3),
}

# Of the parts that belong to a position: those that are seen, and whether each takes room on the screen.
SEEN = """(root) => [...root.querySelectorAll('[data-layer]')]
  .filter((part) => getComputedStyle(part).display !== 'none')
  .map((part) => [Number(part.dataset.layer), [...part.querySelectorAll('path, use, text')]
    .filter((shape) => !shape.closest('defs'))
    .every((shape) => shape.getBoundingClientRect().width + shape.getBoundingClientRect().height > 0)])"""

# Every word, its size in pixels as it is seen, and its colour.
LETTERS = """(root) => [...root.querySelectorAll('svg text, svg tspan')]
  .filter((text) => [...text.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()))
  .map((text) => {
    const at = text.getScreenCTM(), style = getComputedStyle(text);
    return [text.textContent, parseFloat(style.fontSize) * Math.hypot(at.a, at.b), style.fill];
  })"""


@functools.cache
def made(name):
    return MADE[name]()


@pytest.fixture(params=MADE, scope="module")
def slides(request):
    return made(request.param)


def test_no_line_and_no_dot_is_too_faint(slides):
    assert not list(faint(slides.picture.panels))


@pytest.fixture(scope="module")
def browser(browser_program):
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=browser_program, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def tab(browser):
    """(a page, what it asked for and what went wrong). It stays the same one, because a new one costs more than most
    figures."""
    page, wrong = browser.new_page(), []
    listen(page, wrong)
    yield page, wrong
    page.close()


@pytest.fixture(scope="module")
def without_javascript(browser):
    """A page in which no script runs: it cannot be switched off in one that is open."""
    page, wrong = browser.new_page(java_script_enabled=False), []
    listen(page, wrong)
    yield page
    page.close()
    assert not wrong


def listen(page, wrong):
    """Note any request except that for the page itself, and any error."""

    def note(asked):
        if not (asked.is_navigation_request() and asked.url.startswith("file:")):
            wrong.append(asked.url)

    page.on("request", note)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text))


def go(page, folder, *outputs, width=390):
    """Show outputs in a page of their own."""
    file = folder / "page.html"
    file.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf8"><title>A page</title>'
        f"<style>label {{ display: inline-block }}</style></head>"  # as the book's theme has it
        f'<body style="margin: 24px">{"".join(outputs)}</body></html>'
    )
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(file.as_uri())
    return page


@pytest.fixture(scope="module")
def loaded(slides, tab, tmp_path_factory):
    return go(tab[0], tmp_path_factory.mktemp("slides"), slides._repr_html_())


@pytest.fixture
def shown(loaded, tab):
    """The page of one slider, opened once for all that is asked of it. Any request and any error fails."""
    yield loaded
    assert not tab[1]


@pytest.fixture
def opened(tab, tmp_path):
    """A function that opens outputs as a page and gives the page."""
    page, wrong = tab
    yield functools.partial(go, page, tmp_path)
    assert not wrong


@pytest.mark.parametrize("name", ["walk", "by_epoch", "box_size", "against_updates"])
def test_a_slider_whose_stamp_has_intervals_draws_one_around_each_curve(name):
    picture = made(name).picture
    assert "95 % intervals" in picture.stamp
    for axes in (panel.axes[0] for panel in picture.panels):
        curves = [line for line in axes.lines if line.get_gid() is None and len(line.get_xdata()) > 1]
        assert len(axes.collections) == len(curves) > 0


def seen(root):
    """The positions whose parts are seen; each part must take room."""
    parts = root.evaluate(SEEN)
    assert all(drawn for _, drawn in parts), "a part of the position is not drawn"
    return {layer for layer, _ in parts}


def test_it_starts_at_its_start_and_moves_by_keyboard(slides, shown):
    page = shown
    root, slider, says = page.locator(".slides"), page.get_by_role("slider"), page.locator("output")
    page.evaluate("document.addEventListener('keydown', (event) => document.title = 'took ' + event.key)")

    def at(position):
        assert slider.input_value() == str(position) and seen(root) == {position}
        assert says.inner_text() == slides.says[position] == slider.get_attribute("aria-valuetext")

    at(slides.start)
    slider.focus()
    for key, position in (
        ("ArrowRight", slides.start + 1),
        ("End", len(slides.says) - 1),
        ("Home", 0),
        ("ArrowUp", 1),
        ("ArrowLeft", 0),
    ):
        page.keyboard.press(key)
        at(position)
    assert page.title() == "A page", "JupyterLab would have taken the key"


def test_it_has_a_name_and_tells_its_position(slides, shown):
    assert shown.get_by_role("slider", name=slides.name).count() == 1
    assert shown.get_by_role("img", name=slides.picture.alt).count() == 1
    assert shown.locator("output").get_attribute("aria-live") == "polite"


def test_without_javascript_it_is_a_picture_at_its_start(slides, without_javascript, tmp_path):
    page = go(without_javascript, tmp_path, slides._repr_html_())
    assert page.locator("output").inner_text() == slides.says[slides.start]
    assert not page.locator("input").is_visible()
    shown = page.locator("[data-layer]").all()
    assert {int(part.get_attribute("data-layer")) for part in shown if part.is_visible()} == {slides.start}


@pytest.mark.parametrize("ground", GROUNDS)
def test_its_letters_are_10_pixels_on_a_phone_and_stand_out(shown, ground):
    shown.set_viewport_size({"width": 390, "height": 900})
    shown.evaluate(
        "colours => Object.assign(document.body.style, colours)", {"color": WORDS[ground][0], "background": ground}
    )
    letters = shown.locator(".slides").evaluate(LETTERS)
    assert len(letters) > 10
    for words, pixels, colour in letters:
        channels = [float(value) for value in re.findall(r"[\d.]+", colour.removeprefix("color(srgb"))][:3]
        whole = 1 if colour.startswith("color(") else 255
        raised = "^" in words or pixels < 10 and words in {"−", "2", "3", "4", "5", "6", "0", "1"}
        assert pixels >= (6 if raised else 9.9), words  # the exponent of a tick may be smaller
        assert contrast([value / whole for value in channels], ground) >= 4.5, (words, colour)


@pytest.mark.parametrize("width", [390, 1280])
def test_it_is_no_wider_than_the_page(shown, width):
    shown.set_viewport_size({"width": width, "height": 900})
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert shown.get_by_role("slider").bounding_box()["width"] > 300, "too short to be set by a finger"


def test_the_same_output_twice_on_a_page_is_two_sliders(opened):
    slides = made("walk")
    page = opened(slides._repr_html_(), slides._repr_html_())
    page.get_by_role("slider").nth(1).focus()
    page.keyboard.press("End")
    first, second = page.locator(".slides").all()
    assert seen(first) == {slides.start} and seen(second) == {len(slides.says) - 1}


def test_two_figures_on_a_page_are_two_sliders(opened):
    page = opened(*(made(name)._repr_html_() for name in MADE))
    page.get_by_role("slider").nth(0).focus()
    page.keyboard.press("Home")
    starts = [{made(name).start} for name in MADE]
    assert starts[0] == {3} and [seen(root) for root in page.locator(".slides").all()] == [{0}, *starts[1:]]


def test_a_sentence_cannot_break_out_of_the_page(opened):
    with matplotlib.rc_context(style.STYLE):
        axes = style.canvas()
        layers = [axes.plot([0, 1], [k, k]) for k in range(2)]
        picture = Picture([axes.figure], [{"x": 1}], "stamp", 'a "picture" & <more>', "name")
    says = ['"quoted" & </script><b>bold</b>', "<!-- second"]
    page = opened(Slides(picture, layers, "a < b", says)._repr_html_())
    assert page.locator("output").inner_text() == says[0] and page.locator("b").count() == 0
    page.get_by_role("slider", name="a < b").focus()
    page.keyboard.press("End")
    assert page.locator("output").inner_text() == says[1]


def test_what_is_read_out_is_what_the_rows_have():
    for number, row in enumerate(made("walk").picture.table):
        says = made("walk").says[number]
        assert says.startswith(readable(f"α = {row['alpha']:g}: loss {row['loss, training']:.3g} in training"))
        assert row["loss, training"] == pytest.approx(np.mean([one.loss[number] for one in PATHS]))
    for eps, row, says in zip((1e-5, 1e-4, 1e-3, 1e-2), made("box_size").picture.table, made("box_size").says):
        assert row["eps"] == eps and readable(f"batch 2,000: φ at least {significant(row['batch 2000'])} %") in says
        assert says.endswith(" %.")
    for row, says in zip(made("moved_minimum").picture.table, made("moved_minimum").says):
        d = row["moved by"]
        assert row["cost, sharp"] == pytest.approx(hollows(1.5 - d) - hollows(1.5))
        assert says.startswith(f"Moved by {d:.2f}:") and f"{row['cost, sharp']:.2f} at the sharp one" in says


def test_curves_that_end_together_have_names_that_stand_apart():
    ends = {32: [[1, 2, 5]], 500: [[3, 4, 5.1]]}
    (panel,) = sliders.box_size((1e-4, 1e-3, 1e-2), ends, ends, "mnist1d").picture.panels
    lower, higher = (text.get_window_extent() for text in panel.axes[0].texts)
    assert lower.y1 <= higher.y0


def test_at_a_number_of_updates_who_is_ahead_is_read_out_first():
    """Epochs of 125 and of 2 updates, eight of each: after 16 updates the large batch has ended, the small one not
    begun."""
    slides = made("against_updates")
    for row, says in zip(slides.picture.table, slides.says, strict=True):
        large, small = row["batch 2000"], row["batch 32"]
        assert (large != "") == (row["updates"] <= 16) and (small != "") == (row["updates"] >= 125)
        assert says.startswith(f"After {row['updates']:,} updates: ")
        assert f"batch 2,000 {large:.1f} %" in says if large else "batch 2,000 has ended with" in says
        assert f"batch 32 {small:.1f} %" in says if small else "batch 32 is in its first epoch" in says
    at = {row["updates"]: row for row in slides.picture.table}
    assert at[1000]["batch 32"] == pytest.approx(curves_of((32, 2000))[32]["test"][:, -1].mean())
    sizes = 400, 2000
    together = puzzle.against_updates(curves_of(sizes), updates_of(sizes), "mnist1d", positions=8)
    row, says = next((row, says) for row, says in zip(together.picture.table, together.says) if all(row.values()))
    ahead, behind = sorted(sizes, key=lambda batch: -row[f"batch {batch}"])
    assert says.index(f"batch {ahead:,} ") < says.index(f"batch {behind:,} ")


def test_every_minimum_lies_inside_the_picture_of_the_valley():
    axes = made("rescaled").picture.panels[0].axes[0]
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    dots = {(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines}
    assert len(dots) == 4 and all(left < x < right and low < y < high for x, y in dots)


def test_a_rescaled_net_is_said_to_have_the_same_outputs_and_another_sharpness():
    for row, says in zip(made("rescaled").picture.table, made("rescaled").says, strict=True):
        assert says.startswith(f"The first weight times {row['alpha']}, the second divided by {row['alpha']}: the same")
        assert f"curvature of {row['largest curvature']:,}," in says and f"φ of {row['phi, %']:g} %." in says


def test_what_hovers_at_a_minimum_is_as_high_as_the_formula_says_and_inside_its_ellipse():
    """The loss above the minimum is ratio / 2 (1 / 1.95 + 1 / 1.5): 0.59 of the ratio."""
    slides = made("hovering")
    for ratio, row, says in zip(RATIOS, slides.picture.table, slides.says, strict=True):
        assert row["loss, formula"] == pytest.approx(ratio / 2 * (1 / 1.95 + 1 / 1.5))
        assert row["loss, seen"] == pytest.approx(row["loss, formula"], rel=0.1) and row["flat"] > 2 * row["steep"]
        assert says.startswith(f"Rate over batch size {ratio:.2g}: the walk stands {row['loss, seen']:.2g} above")
    for layer in slides.layers:
        dots, ellipse = (np.array(line.get_data()) for line in layer)
        inside = ((dots / ellipse.max(1)[:, None]) ** 2).sum(0) < 1
        assert 0.8 < inside.mean() < 0.93  # of two normal numbers, 86.5 % lie within two standard deviations


def test_a_step_on_a_parabola_grows_beyond_2_and_only_there():
    """x is multiplied by 1 - step: 10 times by -1.5 is 57.7."""
    ends = {0: "stays", 0.5: "shrinks", 1: "shrinks", 2: "stays", 2.5: "grows"}
    slides = made("steps_on_a_parabola")
    for row, says in zip(slides.picture.table, slides.says, strict=True):
        step = row["rate times curvature"]
        assert row["factor"] == 1 - step and f"it {ends[step]}" in says
        assert row["distance after 10"] == pytest.approx(abs(1 - step) ** 10)
    assert "After 10 updates it is 57.7 times what it was" in slides.says[-1]


def test_a_cloud_counts_the_batches_that_point_downhill():
    for (m, points), row, says in zip(CLOUD.items(), made("cloud_by_size").picture.table, made("cloud_by_size").says):
        assert row["downhill"] == (points[:, 0] > 0).sum() and says.startswith(f"m = {m}: {row['downhill']} of 30 ")
    assert says.endswith("is 20 degrees.")


@pytest.mark.parametrize("layers, says, start", [(2, 3, 0), (2, 2, 2), (2, 2, -1), (0, 0, 0)])
def test_positions_that_do_not_fit_are_refused_in_a_sentence(layers, says, start):
    with pytest.raises(ValueError, match="give one sentence for each layer"):
        Slides(made("walk").picture, [[]] * layers, "alpha", ["says"] * says, start)
