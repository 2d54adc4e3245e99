"""The figures of the chapter The edge of stability."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flatlab.plots.picture import Picture, course, rows_of
from flatlab.plots.slides import Slides
from flatlab.plots.style import (
    HALF,
    LARGE,
    TEXT,
    WIDE,
    alike,
    canvas,
    colours,
    label,
    label_ends,
    plain_ticks,
    stamp,
    styled,
)

EDGE = "$\\lambda_{\\max}\\,\\eta\\,/\\,2$"


@styled
def steps_on_a_parabola(steps: Sequence[float], count: int = 10, start: int = 0) -> Slides:
    """Gradient descent on a parabola from a distance of 1, for several steps.

    Parameters
    ----------
    steps : sequence of float
        The rate times the curvature; a position of the slider for each.
    count : int
        Of updates.
    start : int
        The first position.

    Returns
    -------
    Slides
        One row per step.

    Notes
    -----
    An update multiplies the distance by `1 - step`.
    """
    valley, axes, times = canvas(HALF), canvas(HALF), np.arange(count + 1)
    x = np.linspace(-2.2, 2.2, 100)
    valley.plot(x, x**2 / 2, color=TEXT, linewidth=1)
    axes.axhline(0, color=TEXT, linewidth=0.8)
    layers, says, rows = [], [], []
    for step in steps:
        factor = 1 - step
        path = factor**times
        line = "-" if step else "none"  # where nothing moves there is no way to draw
        layers.append(
            valley.plot(path, path**2 / 2, "o", linestyle=line, color=LARGE, linewidth=1, markersize=5)
            + axes.plot(times, path, "o-", color=LARGE, linewidth=1, markersize=5)
        )
        grown = abs(path[-1])
        fate = "it grows" if grown > 1 else "it shrinks" if grown < 1 else "it stays as large as it was"
        says.append(
            f"ηλ = {step:.2f}: every update multiplies the distance by {factor:.2f}. After {count} updates it is "
            f"{grown:.3g} times what it was: {fate}."
        )
        rows.append(
            {"rate times curvature": float(step), "factor": float(factor), f"distance after {count}": float(grown)}
        )
    valley.set(xlim=(-2.2, 2.2), ylim=(-0.15, 2.4), xlabel="x", ylabel="loss", yticks=[])
    axes.set(xlim=(-0.5, count + 0.5), ylim=(-3, 3), xticks=range(0, count + 1, 2), xlabel="update", ylabel="x")
    told = course("the distance after the last update", steps, [row[f"distance after {count}"] for row in rows])
    alt = (
        "First a parabola with the points that gradient descent visits, then the same points against the number of "
        f"the update. Against rate times curvature, {told}."
    )
    words = stamp("a parabola", 0)
    picture = Picture([valley.figure, axes.figure], rows, words, alt, "parabola")
    return Slides(picture, layers, "Rate times curvature", says, start)


@styled
def descents(found: Mapping[float, Mapping[str, Sequence[Any]]], data: str) -> Picture:
    """Curvature in units of the edge along full-batch descent, one curve for each rate, and the loss below.

    Parameters
    ----------
    found : mapping
        {rate: {"step", "edge": where it was measured and `lambda_max rate / 2` there, "loss": at every step}}.
    data : str
        The data set's name.

    Returns
    -------
    Picture
        One row per rate and measured step.
    """
    above, below = canvas(WIDE, 4.4, 2, sharex=True)
    above.axhline(1, color=TEXT, linewidth=0.8)
    rows, told = [], []
    for (rate, seen), style in zip(found.items(), ("-", ":")):
        steps = seen["step"]
        above.plot(steps, seen["edge"], style, color=LARGE)
        below.plot(seen["loss"], style, color=LARGE, linewidth=1.2)
        at = [seen["loss"][step] for step in steps]
        rows += rows_of({"rate": [rate] * len(steps), "step": steps, "lambda rate / 2": seen["edge"], "loss": at})
        told.append(course(f"rate {rate:g}", steps, seen["edge"]) + course(", its loss", steps, at))
    last = max(len(seen["loss"]) for seen in found.values()) - 1
    label_ends(below, last, {f"rate {rate:g}": (seen["loss"][-1], LARGE) for rate, seen in found.items()})
    above.set(ylabel=EDGE, ylim=(0, None))
    above.set_title(", ".join(f"{name}: rate {rate:g}" for name, rate in zip(("solid", "dotted"), found)))
    below.set(yscale="log", ylabel="training loss", xlabel="step")
    plain_ticks(below.yaxis)
    alt = (
        "Above, the largest eigenvalue in units of 2 / rate against the step of full-batch descent, and a level line "
        f"at 1; below, the loss: {'; '.join(told)}."
    )
    return Picture([above.figure], rows, stamp(data, 1), alt, "edge-descents")


@styled
def by_batch_size(found: Mapping[int, Mapping[str, Sequence[Any]]], data: str) -> Picture:
    """Along descent by batches of several sizes at one rate: first the curvature of the whole loss, then that of a
    batch's loss along its own gradient, both in units of the edge.

    Parameters
    ----------
    found : mapping
        {batch size: {"step", "edge", "batch": where it was measured, `lambda_max rate / 2`, likewise for the batch}}.
    data : str
        The data set's name.

    Returns
    -------
    Picture
        One row per batch size and measured step.
    """
    whole, own, colour, rows, told = canvas(HALF, 3.2), canvas(HALF, 3.2), colours(found), [], []
    last = max(seen["step"][-1] for seen in found.values())
    for axes in (whole, own):
        axes.plot([0, last], [1, 1], color=TEXT, linewidth=0.8)  # no further, where the names stand
    for batch, seen in found.items():
        steps = seen["step"]
        whole.plot(steps, seen["edge"], color=colour[batch])
        own.plot(steps, seen["batch"], "o", color=colour[batch], markersize=4, alpha=0.8)
        rows += rows_of(
            {
                "batch size": [batch] * len(steps),
                "step": steps,
                "lambda rate / 2": seen["edge"],
                "batch sharpness rate / 2": seen["batch"],
            }
        )
        told.append(course(f"batch {batch}", steps, seen["edge"]) + course(", its own", steps, seen["batch"]))
    whole.set(xlabel="step", ylabel=EDGE, title="all rows, steepest direction")
    own.set(xlabel="step", ylabel="batch sharpness $\\times\\ \\eta\\,/\\,2$", title="a batch, its own gradient")
    alike([whole, own])
    for axes in (whole, own):
        axes.set_ylim(0, None)
    name, apart = math.inf, 0.08 * whole.get_ylim()[1]  # names that would lie on one another stand below one another
    for batch, seen in sorted(found.items(), key=lambda item: -item[1]["edge"][-1]):
        name = min(name - apart, seen["edge"][-1])
        label(whole, seen["step"][-1], name, f"{batch:,}", colour[batch])
    alt = (
        "First the largest eigenvalue of the whole loss in units of 2 / rate against the step, for each batch size; "
        "then, as dots, the curvature of a batch's loss along its own gradient in the same units; a level line at 1 "
        f"in both: {'; '.join(told)}."
    )
    return Picture([whole.figure, own.figure], rows, stamp(data, 1), alt, "edge-by-batch-size")


@styled
def throw(curvature: Sequence[float], height: Sequence[float], predicted: float) -> Picture:
    """Descent on `f(x, y) = (a + b x) y^2 / 2`, whose curvature along y depends on x.

    Parameters
    ----------
    curvature, height : sequence of float
        The rate times `a + b x`, and y, before every update.
    predicted : float
        Where the curvature ends by the closed form.

    Returns
    -------
    Picture
        One row per update.
    """
    steep, wide, times = canvas(HALF), canvas(HALF), np.arange(len(curvature))
    steep.axhline(2, color=TEXT, linewidth=0.8)
    steep.axhline(predicted, color=TEXT, linestyle=":")
    label(steep, 0, predicted, "predicted", TEXT, xytext=(2, 9))
    steep.plot(times, curvature, color=LARGE)
    wide.axhline(0, color=TEXT, linewidth=0.8)
    wide.plot(times, height, color=LARGE, linewidth=1)
    steep.set(xlabel="update", ylabel="$\\eta\\,(a + b x)$")
    wide.set(xlabel="update", ylabel="y")
    rows: list[dict[str, Any]] = rows_of(
        {"update": times.tolist(), "rate times curvature": list(curvature), "y": list(height)}
    )
    alt = (
        f"First {course('the rate times the curvature', times, curvature)}; the closed form says {predicted:.3g} at "
        f"the end. Then y, which swings from side to side: {course('its size', times, np.abs(height))}."
    )
    return Picture([steep.figure, wide.figure], rows, stamp("a function of two numbers", 0), alt, "throw")
