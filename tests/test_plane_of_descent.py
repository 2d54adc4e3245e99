"""The landing page's picture: where a point is drawn, by hand."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.path import Path

pytest.importorskip("matplotlib")

from flatlab.measure.paths import Surface
from flatlab.plots import style
from flatlab.plots.plane_of_descent import paths_on_a_plane

EPOCHS = (0, 1, 2, 5)


def descent():
    """From (1, 1, 1, 0): one run along the first axis to a distance of 4, with a bow of 2 off the plane; the other one
    to (3, 4) of the first two."""
    x0 = torch.tensor([1.0, 1.0, 1.0, 0.0])

    def run(*moves):
        points = {epoch: x0 + torch.tensor(move) for epoch, move in zip(EPOCHS, moves)}
        return SimpleNamespace(x0=x0, x=points[EPOCHS[-1]], points=points, facts={"data": "mnist1d"})

    zero = (0.0, 0.0, 0.0, 0.0)
    runs = {
        32: run(zero, (1.0, 0.0, 2.0, 0.0), (2.0, 0.0, 0.0, 0.0), (4.0, 0.0, 0.0, 0.0)),
        2000: run(zero, (1.0, 1.0, 0.0, 0.0), (2.0, 2.0, 0.0, 0.0), (3.0, 4.0, 0.0, 0.0)),
    }
    alphas = tuple(k / 4 for k in range(-2, 7))
    loss = tuple(tuple(0.005 + (a - 1) ** 2 + b**2 for b in alphas) for a in alphas)
    return Surface(alphas, alphas, loss, loss, "batch"), runs, {32: [2, 1, 0.5, 0.01], 2000: [2, 1.5, 1, 0.4]}


def test_names_of_lines_do_not_lie_on_one_another_or_on_a_word():
    """Of a hollow so narrow that all of its lines pass one place, and a word on the way."""
    axes = style.canvas()
    x, y = np.meshgrid(np.linspace(-1, 1, 41), np.linspace(-1, 1, 41))
    lines = axes.contour(x, y, 100 * x**2 + y**2, (0.03, 0.1, 0.3, 1, 3, 10, 30))
    word = axes.text(0.4, 0, "a word")
    style.name_lines(axes, lines)
    axes.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert word in axes.texts and len(boxes) >= 3
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_a_name_stands_where_no_line_runs_through_it():
    """To the right of the point a line comes down, and its own curve came from the left."""
    axes = style.canvas()
    x, y = np.meshgrid(np.linspace(0, 4, 41), np.linspace(-1, 1, 41))
    lines = axes.contour(x, y, x, (2.6,))
    axes.plot([0, 2], [0, 0])
    style.label(axes, 2, 0, "batch 32", "black")
    (name,) = axes.texts

    def crossed():
        parts = [part for level in lines.get_paths() for part in level.to_polygons(closed_only=False)]
        ways = [Path(axes.transData.transform(part)) for part in (*parts, axes.lines[0].get_xydata())]
        return any(way.intersects_bbox(name.get_window_extent(), filled=False) for way in ways)

    axes.figure.draw_without_rendering()
    assert crossed(), "where it stands at first"
    style.off_lines(axes, lines, further=(31, 14))
    assert not crossed() and name.get_position() != (31, 14)


def test_a_name_in_the_middle_of_narrow_rings_stands_further_away():
    axes = style.canvas()
    x, y = np.meshgrid(np.linspace(-10, 10, 201), np.linspace(-10, 10, 201))
    rings = axes.contour(x, y, x**2 + y**2, np.linspace(0, 1.5, 15) ** 2)
    style.label(axes, 0, 0, "32", "black")
    style.off_lines(axes, rings, further=(60, 30))
    assert axes.texts[0].get_position() == (60, 30)


def drawn():
    return paths_on_a_plane(*descent(), start=1)


def test_a_point_is_drawn_at_its_own_distances():
    slides = drawn()
    axes = slides.picture.panels[0].axes[0]
    ways = {line.get_color().upper(): line.get_xydata() for line in axes.lines if line.get_linewidth() == 1}
    assert ways[style.SMALL] == pytest.approx(np.array([[0, 0], [1, 0], [2, 0], [4, 0]]))
    assert ways[style.LARGE] == pytest.approx(np.array([[0, 0], [1, 1], [2, 2], [3, 4]]))


def test_what_the_picture_loses_stands_in_the_table():
    first = drawn().picture.table[1]
    assert first["distance, batch 32"] == pytest.approx(5**0.5) and first["off the plane, batch 32"] == pytest.approx(2)
    assert drawn().says[3] == (
        "After epoch 5: batch 32 has a training loss of 0.01, 4.0 from the start; batch 2,000 has a training loss of "
        "0.4, 5.0 from the start."
    )


def test_the_loss_is_least_where_the_first_run_ends():
    axes = drawn().picture.panels[0].axes[0]
    lowest = next(each for each in axes.collections if len(each.get_paths()))
    around = np.concatenate([path.vertices for path in lowest.get_paths()[:1]])
    assert around.mean(0) == pytest.approx([4, 0], abs=0.3), "the contour of 0.01 encloses it"
