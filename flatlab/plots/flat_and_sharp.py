"""The figures of the chapter Flat and sharp."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from flatlab.plots.picture import Picture, course, rows_of
from flatlab.plots.slides import Slides
from flatlab.plots.style import (
    HALF,
    LARGE,
    SMALL,
    SMALLER,
    TEXT,
    THIRD,
    WIDE,
    alike,
    band,
    canvas,
    colours,
    label,
    label_ends,
    spread,
    stamp,
    styled,
)
from flatlab.plots.tables import plus_minus


@styled
def displaced(f: Callable, minima: Sequence[float], displacements: Sequence[float]) -> Picture:
    """Figure 1: a training function with a flat and a sharp minimum, and the same function moved, a panel for each
    displacement.

    Parameters
    ----------
    f : function of an array
        The training function.
    minima : (float, float)
        x of the flat and of the sharp minimum.
    displacements : sequence of float
        By which the test function is moved.

    Returns
    -------
    Picture
        One row per displacement and minimum.
    """
    x, panels, rows, told = np.linspace(-4.5, 3.5, 500), [], [], []
    for d in displacements:
        axes = canvas(THIRD if len(displacements) > 1 else WIDE)
        axes.plot(x, f(x), color=TEXT)
        axes.plot(x, f(x - d), color=TEXT, linestyle="--", linewidth=1.2)
        for name, place, colour in zip(("flat", "sharp"), minima, (SMALL, LARGE)):
            base, high = float(f(place)), float(f(place - d))
            axes.plot([place, place], [base, high], color=colour, linewidth=3)
            axes.plot(place, base, "o", color=colour)
            label(axes, place, base, f"{name}\n+{high - base:.2f}", colour, xytext=(0, -18), ha="center")
            told.append(f"{high - base:.2f} at the {name} minimum when moved by {d:g}")
            rows.append({"displacement": float(d), "minimum": name, "training": base, "test": high})
        axes.set(title=f"moved by {d:g}", xticks=[], yticks=[], xlabel="x", ylim=(-0.5, None))
        axes.set_ylabel("f   (dashed: on test data)")
        panels.append(axes)
    alike(panels)
    alt = (
        "A curve with a broad and a narrow hollow, and a dashed copy of it that is moved. The move costs "
        f"{', '.join(told)}."
    )
    figures = [axes.figure for axes in panels]
    name = f"displaced by {' '.join(f'{d:g}' for d in displacements)}"
    return Picture(figures, rows, stamp("a function made up for this page", 0), alt, name)


@styled
def increase(
    displacements: Sequence[float], exact: Mapping[str, Sequence[float]], estimate: Mapping[str, Sequence[float]]
) -> Picture:
    """What a displacement costs at each minimum, and what half the curvature times its square says it costs.

    Parameters
    ----------
    displacements : sequence of float
        By which the test function is moved.
    exact, estimate : mapping
        {"flat": increases, "sharp": increases}, one value a displacement.

    Returns
    -------
    Picture
        One row per displacement.
    """
    axes, columns, told = canvas(), {"displacement": list(map(float, displacements))}, []
    for name, colour in (("flat", SMALL), ("sharp", LARGE)):
        axes.plot(displacements, exact[name], color=colour)
        axes.plot(displacements, estimate[name], color=colour, linestyle=":")
        label(axes, displacements[-1], exact[name][-1], name, colour)
        for words, values in (("exact", exact[name]), ("estimate", estimate[name])):
            columns[f"{name}, {words}"] = list(map(float, values))
            told.append(course(f"{name}, {words},", displacements, values))
    axes.set(xlabel="displacement", ylabel="test increase", ylim=(0, 1.25))
    axes.set_title("solid: exact\ndotted: half the curvature times $d^2$")
    alt = f"What a displacement costs at each minimum: {'; '.join(told)}."
    return Picture([axes.figure], rows_of(columns), stamp("the same function", 0), alt, "increase")


@styled
def boxes(
    sides: Sequence[float],
    rounded: Mapping[int, Sequence[Sequence[float]]],
    worst: Mapping[int, Sequence[Sequence[float]]],
    tolerance: float,
    data: str,
) -> Picture:
    """The training loss when every weight is rounded to a grid, and the worst loss that this could have given.

    Parameters
    ----------
    sides : sequence of float
        The grid's pitch, which is the side of the box.
    rounded, worst : mapping
        {batch size: losses, seeds x sides}: of the rounded point, and of the worst point of the box.
    tolerance : float
        The largest loss that is acceptable.
    data : str
        The data set's name.

    Returns
    -------
    Picture
        One row per side.
    """
    colour, axes, columns, told = colours(rounded), canvas(height=3.2), {"side of the box": list(map(float, sides))}, []
    for batch in rounded:
        for name, table, style in (("rounded", rounded, "-"), ("worst", worst, "--")):
            mean = band(axes, sides, table[batch], colour[batch], log=True, linestyle=style)
            columns[f"batch {batch}, {name}"] = mean.tolist()
            columns[f"batch {batch}, {name}, times or over"] = (spread(table[batch], log=True)[2] / mean).tolist()
            told.append(course(f"batch {batch}, {name}", sides, mean))
    ends = {f"batch {batch}": (columns[f"batch {batch}, rounded"][-1], colour[batch]) for batch in rounded}
    label_ends(axes, sides[-1], ends)
    axes.axhline(tolerance, color=TEXT, linewidth=1.5, linestyle=(0, (1, 3)))
    axes.set(xscale="log", yscale="log", xlabel="side of the box", ylabel="training loss, nats")
    axes.set_title("solid: rounded, dashed: worst of the box\ndotted: the largest loss that is acceptable")
    alt = (
        f"Training loss in nats against the side of the box, both logarithmic: {'; '.join(told)}. Acceptable: "
        f"{tolerance:g}."
    )
    return Picture([axes.figure], rows_of(columns), stamp(data, len(rounded[batch])), alt, "boxes")


@styled
def rescaled(
    f: Callable, alphas: Sequence[float], curvature: Sequence[float], sharpness: Sequence[float], start: int = 0
) -> Slides:
    """First a loss of two weights and minima that are one function, then how sharp each of them looks.

    Parameters
    ----------
    f : function of two arrays
        The loss f(w1, w2) of `y = w2 relu(w1 x)`.
    alphas : sequence of float
        The minima are `(alpha, 1 / alpha)`; a position of the slider for each.
    curvature, sharpness : sequence of float
        The largest eigenvalue and phi at each.
    start : int
        The first position.

    Returns
    -------
    Slides
        One row per minimum.
    """
    valley, axes = canvas(HALF), canvas(HALF)
    most = 2 * max(alphas)
    w = np.geomspace(1 / most, most, 120)
    levels = valley.contour(w, w, f(*np.meshgrid(w, w)), levels=[0.1, 1, 100], colors=TEXT, linewidths=0.8)
    valley.set(xscale="log", yscale="log", xlabel="first weight", ylabel="second weight", title="minima of one loss")
    left, upper = 0.5, w[w > 2]  # where no minimum is
    places = [(left, upper[np.argmin(np.abs(f(left, upper) - level))]) for level in (1, 100)]
    valley.clabel(levels, (1, 100), fmt="%g", fontsize=SMALLER, manual=places)
    scale = colours(alphas)
    for alpha in alphas:
        valley.plot(alpha, 1 / alpha, "o", color=scale[alpha])
    axes.plot(alphas, curvature, color=TEXT)
    axes.plot(alphas, sharpness, color=TEXT, linestyle="--")
    layers, says = [], []
    for alpha, one, other in zip(alphas, curvature, sharpness):
        axes.plot([alpha, alpha], [one, other], "o", color=scale[alpha])
        ring: Any = {"marker": "o", "markersize": 12, "markerfacecolor": "none", "color": TEXT, "linestyle": "none"}
        rings = valley.plot(alpha, 1 / alpha, **ring) + axes.plot([alpha, alpha], [one, other], **ring)
        layers.append([*rings, axes.axvline(alpha, color=TEXT, linewidth=0.8)])
        says.append(
            f"The first weight times {alpha:g}, the second divided by {alpha:g}: the same outputs, a largest curvature "
            f"of {plus_minus([one])}, and a sharpness φ of {plus_minus([other])} %."
        )
    label(axes, alphas[-1], curvature[-1], "curvature", TEXT, xytext=(-12, 2), ha="right")
    label(axes, alphas[-1], sharpness[-1], "$\\phi$, %", TEXT, xytext=(-12, 2), ha="right")
    axes.margins(y=0.1)
    axes.set(xscale="log", yscale="log", xlabel="rescaled by", title="one function, any sharpness")
    told = [course("largest curvature", alphas, curvature), course("sharpness in percent", alphas, sharpness)]
    alt = (
        "First the valley of a loss of two weights with minima along its floor, then, against the rescaling: "
        f"{'; '.join(told)}."
    )
    rows = rows_of({"alpha": alphas, "largest curvature": curvature, "phi, %": sharpness})
    picture = Picture([valley.figure, axes.figure], rows, stamp("a net of two weights", 0), alt, "rescaled")
    return Slides(picture, layers, "Weights times", says, start)
