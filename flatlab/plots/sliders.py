"""The sliders of the chapters: each is a `Slides`, made from numbers that the page has anyway."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from flatlab.measure.paths import Path
from flatlab.plots.between_two_minima import PARTS, SEEN_ALONG, name_ends
from flatlab.plots.picture import Picture, course, rows_of
from flatlab.plots.slides import Slides
from flatlab.plots.style import (
    BETWEEN,
    HALF,
    LARGE,
    SMALL,
    TEXT,
    WIDE,
    band,
    canvas,
    colours,
    label,
    label_ends,
    stamp,
    styled,
)
from flatlab.study.ledger import significant
from flatlab.study.recorded import Tier


@styled
def moved_minimum(f: Callable, minima: Sequence[float], displacements: Sequence[float], start: int = 0) -> Slides:
    """A training function with a flat and a sharp minimum, the same function moved, and what the move costs at each.

    Parameters
    ----------
    f : function of an array
        The training function.
    minima : (float, float)
        x of the flat and of the sharp minimum.
    displacements : sequence of float
        A position of the slider for each.
    start : int
        The first position.

    Returns
    -------
    Slides
        One row per displacement.
    """
    x, (valley, axes) = np.linspace(-4.5, 3.5, 150), (canvas(HALF), canvas(HALF))
    ends = [(name, place, colour) for name, place, colour in zip(("flat", "sharp"), minima, (SMALL, LARGE))]
    cost = {name: [float(f(place - d) - f(place)) for d in displacements] for name, place, _ in ends}
    valley.plot(x, f(x), color=TEXT)
    for name, place, colour in ends:
        valley.plot(place, f(place), "o", color=colour)
        label(valley, place, f(place), name, colour, xytext=(0, -12), ha="center")
        axes.plot(displacements, cost[name], color=colour)
        label(axes, displacements[-1], cost[name][-1], name, colour)
    layers, says = [], []
    for number, d in enumerate(displacements):
        layer = valley.plot(x, f(x - d), "--", color=TEXT, linewidth=1.2) + axes.plot([d, d], [0, 1], ":", color=TEXT)
        for name, place, colour in ends:
            layer += valley.plot([place, place], [f(place), f(place - d)], color=colour, linewidth=3)
            layer += axes.plot(d, cost[name][number], "o", color=colour)
        layers.append(layer)
        says.append(
            f"Moved by {d:.2f}: the loss on test data is higher by {cost['flat'][number]:.2f} at the flat minimum "
            "and by "
            f"{cost['sharp'][number]:.2f} at the sharp one."
        )
    valley.set(xticks=[], yticks=[], xlabel="x", ylabel="f   (dashed: on test data)", ylim=(-0.25, None))
    axes.set(xlabel="moved by", ylabel="cost of the move", ylim=(-0.05, 1.15))
    told = [course(name, displacements, values) for name, values in cost.items()]
    alt = (
        "First a curve with a broad and a narrow hollow, and a dashed copy that is moved, then the cost: "
        f"{'; '.join(told)}."
    )
    rows = rows_of(
        {"moved by": map(float, displacements), **{f"cost, {name}": values for name, values in cost.items()}}
    )
    words = stamp("a function made up for this page", 0)
    return Slides(Picture([valley.figure, axes.figure], rows, words, alt, "moved"), layers, "Move it by", says, start)


@styled
def box_size(
    epsilons: Sequence[float], phis: Mapping[int, Sequence], first: Mapping[int, Sequence], data: str, start: int = 0
) -> Slides:
    """Sharpness against the size of the box, and what the gradient alone predicts.

    Parameters
    ----------
    epsilons : sequence of float
        A position of the slider for each.
    phis, first : mapping
        {batch size: percent, seeds x epsilons}: found by search, and to first order.
    data : str
        The data set's name.
    start : int
        The first position.

    Returns
    -------
    Slides
        One row per size of the box.
    """
    axes, colour, columns = canvas(WIDE, 3.2), colours(phis), {"eps": list(map(float, epsilons))}
    layers: list[list] = [[axes.axvline(eps, color=TEXT, linewidth=0.8)] for eps in epsilons]
    for batch in phis:
        for words, table, style in (("", phis[batch], "-"), (", first order", first[batch], ":")):
            mean = band(axes, epsilons, table, colour[batch], log=True, linestyle=style)
            columns[f"batch {batch}{words}"] = mean.tolist()
            for layer, eps, value in zip(layers, epsilons, mean):
                layer += axes.plot(
                    eps, value, "o", color=colour[batch], markerfacecolor="none" if words else colour[batch]
                )
    label_ends(axes, epsilons[-1], {f"batch {batch}": (columns[f"batch {batch}"][-1], colour[batch]) for batch in phis})
    axes.set(xscale="log", yscale="log", xlabel="$\\varepsilon$", ylabel="$\\phi$, %")
    axes.margins(y=0.12)  # room for the upper name below the title
    axes.set_title("solid: found by search, dotted: first order")
    rows, seeds = rows_of(columns), len(next(iter(phis.values())))
    says = [
        f"ε = {row['eps']:.2g}: "
        + "; ".join(
            f"batch {batch}: φ at least {significant(row[f'batch {batch}'])} %, to first order "
            f"{significant(row[f'batch {batch}, first order'])} %"
            for batch in phis
        )
        + "."
        for row in rows
    ]
    told = [course(name, epsilons, values) for name, values in columns.items() if name != "eps"]
    alt = f"Sharpness in percent against the size of the box, both logarithmic: {'; '.join(told)}."
    return Slides(
        Picture([axes.figure], rows, stamp(data, seeds), alt, "box-size"), layers, "Size of the box", says, start
    )


@styled
def walk(found: Mapping[str, Sequence[Path]], data: str, start: int = 0, tier: Tier | None = None) -> Slides:
    """Loss and accuracy along the line between two minima, one point of it at a time.

    Parameters
    ----------
    found : mapping
        {"train" or "test": a `Path` for each seed}; a position of the slider for each of their alphas.
    data : str
        The data set's name.
    start : int
        The first position.
    tier : {"smoke", "reduced", "colab", "paper"}, optional
        At which it was recorded.

    Returns
    -------
    Slides
        One row per point of the line.
    """
    alphas, panels = found["train"][0].alphas, [canvas(HALF, 3), canvas(HALF, 3)]
    columns: dict[str, Any] = {"alpha": list(alphas)}
    layers: list[list] = [[axes.axvline(alpha, color=TEXT, linewidth=0.8) for axes in panels] for alpha in alphas]
    for axes, (kind, words) in zip(panels, SEEN_ALONG):
        for part, name, style in PARTS:
            mean = band(axes, alphas, [getattr(path, kind) for path in found[part]], BETWEEN, linestyle=style)
            columns[f"{kind}, {name}"] = mean.tolist()
            for layer, alpha, value in zip(layers, alphas, mean):
                layer += axes.plot(
                    alpha, value, "o", color=BETWEEN, markerfacecolor="none" if style == "--" else BETWEEN
                )
        axes.set(ylabel=words)
        name_ends(axes)
    panels[0].set_title("solid: training, dashed: test")
    panels[1].set_title(" ")
    rows = rows_of(columns)
    says = [
        f"α = {row['alpha']:g}: loss {row['loss, training']:.3g} in training and {row['loss, test']:.3g} in test, "
        f"accuracy {row['accuracy, training']:.1f} % and {row['accuracy, test']:.1f} %"
        for row in rows
    ]
    told = [course(name, alphas, values) for name, values in columns.items() if name != "alpha"]
    alt = f"Along the line, small batch at 0 and large batch at 1, mean over seeds: {'; '.join(told)}."
    words = stamp(data, len(found["train"]), tier)
    figures = [axes.figure for axes in panels]
    return Slides(Picture(figures, rows, words, alt, f"walk-{data}"), layers, "Walk to α", says, start)
