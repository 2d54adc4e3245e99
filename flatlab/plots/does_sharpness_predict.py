"""The figures of the chapter Does sharpness predict?"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from scipy.stats import rankdata

from flatlab.plots.picture import Picture, course, rows_of
from flatlab.plots.slides import Slides
from flatlab.plots.style import BETWEEN, HALF, TEXT, WIDE, canvas, colours, label, stamp, styled
from flatlab.study.correlations import along, tau

#: One network by its choices (the batch size first), its test error in percent, and its measures by name.
Net = tuple[tuple[Any, ...], float, dict[str, float]]
SHAPES = "os^D"  # of the dots, by a choice


@styled
def two_choices(shifts: Sequence[float], batches: Sequence[int], groups: int = 3, start: int = 0) -> Slides:
    """Made-up nets: a larger batch raises a measure and the error, a second choice raises one and lowers the other.

    Parameters
    ----------
    shifts : sequence of float
        By how much one step of the second choice moves both; a position of the slider for each.
    batches : sequence of int
        Batch sizes; a step from one to the next moves both by 1.
    groups : int
        How many values the second choice has.
    start : int
        The first position.

    Returns
    -------
    Slides
        One row per shift.

    Notes
    -----
    Net (b, g) has the measure `b + s g` and the error `b - s g`, for the shift s.
    """
    nets, taus, colour, layers = canvas(HALF, 3), canvas(HALF, 3), colours(batches), []
    found: dict[str, list[float]] = {"all nets": [], "batch size alone": [], "second choice alone": []}
    for shift in shifts:
        made: list[Net] = [
            ((batch, group), b - shift * group, {"measure": b + shift * group})
            for group in range(groups)
            for b, batch in enumerate(batches)
        ]
        found["all nets"].append(tau([net[2]["measure"] for net in made], [net[1] for net in made]))
        found["batch size alone"].append(along(made, "measure", 0))
        found["second choice alone"].append(along(made, "measure", 1))
        layer = []
        for (batch, group), error, measures in made:
            layer += nets.plot(measures["measure"], error, SHAPES[group], color=colour[batch])
        layers.append(layer)
    nets.set(xlabel="a measure", ylabel="test error", xticks=[], yticks=[])
    nets.set_title(f"blue: batch {min(batches):,}, orange: {max(batches):,}\nshape: the second choice")
    lines = ((TEXT, "-"), (BETWEEN, "-"), (BETWEEN, "--"))
    for (name, values), (shade, style) in zip(found.items(), lines):
        taus.plot(shifts, values, style, color=shade)
        for layer, shift, value in zip(layers, shifts, values):
            layer += taus.plot(shift, value, "o", color=shade)
    for name, (shade, _), y, away in zip(found, lines, (-1, 1, -1), (0, -12, 12)):
        at = found[name][-1] if name == "all nets" else y
        label(taus, shifts[-1], at, name, shade, xytext=(-2, away or 12), ha="right")
    taus.set(xlabel="shift by the second choice", ylabel="Kendall's $\\tau$", ylim=(-1.2, 1.2))
    says = [
        f"Shift {shift:.2f}: Kendall's τ is {whole:+.2f} over all {groups * len(batches)} nets, {own:+.2f} along the "
        f"batch size alone and {other:+.2f} along the second choice alone."
        for shift, whole, own, other in zip(shifts, *found.values())
    ]
    rows = rows_of({"shift": list(map(float, shifts)), **found})
    told = "; ".join(course(name, shifts, values) for name, values in found.items())
    alt = (
        "First a dot for each made-up net, its error against its measure; the second choice moves groups of dots right "
        f"and down. Then Kendall's tau against that shift: {told}."
    )
    words = stamp("nets made up for this page", 0)
    picture = Picture([nets.figure, taus.figure], rows, words, alt, "two-choices")
    return Slides(picture, layers, "Shift by the second choice", says, start)


@styled
def by_measure(nets: Sequence[Net], choices: Sequence[str], data: str, start: int = 0) -> Slides:
    """Each net's test error against its rank by a measure, one measure at a time.

    Parameters
    ----------
    nets : sequence of (choices, test error in percent, {measure: value})
        Of one seed. The choices are the batch size, then two more.
    choices : sequence of str
        What the choices are called.
    data : str
        The data set's name.
    start : int
        The first position.

    Returns
    -------
    Slides
        A position of the slider for each measure, and one row per net.
    """
    axes, errors, layers, says = canvas(WIDE, 3.6), [net[1] for net in nets], [], []
    batches, second, third = (list(dict.fromkeys(net[0][k] for net in nets)) for k in range(3))
    colour, measures = colours(batches), list(nets[0][2])
    for name in measures:
        values = [net[2][name] for net in nets]
        layer = []
        for (batch, fill, shape), error, rank in zip((net[0] for net in nets), errors, rankdata(values)):
            face = colour[batch] if fill == second[0] else "none"
            form = SHAPES[third.index(shape)]
            layer += axes.plot(rank, error, form, color=colour[batch], markerfacecolor=face, markersize=8)
        layers.append(layer)
        alone = ", ".join(f"{along(list(nets), name, k):+.2f} along the {words}" for k, words in enumerate(choices))
        says.append(f"{name}: Kendall's τ with the test error is {tau(values, errors):+.2f} over all nets; {alone}.")
    axes.set(xlabel="rank by the measure, the smallest first", ylabel="test error, %")
    axes.set_title(
        f"colour: {choices[0]} {', '.join(map(str, batches))}, blue to orange\n"
        f"filled: {choices[1]} {second[0]}, hollow: {', '.join(map(str, second[1:]))}\n"
        f"circle: {third[0]}" + "".join(f", {form}: {each}" for form, each in zip(("square", "triangle"), third[1:]))
    )
    rows = [
        {**dict(zip(choices, made)), "test error": float(error), **{name: float(v) for name, v in found.items()}}
        for made, error, found in nets
    ]
    alt = f"The test error of {len(nets)} nets against their rank by each measure. {' '.join(says)}"
    return Slides(Picture([axes.figure], rows, stamp(data, 1), alt, "by-measure"), layers, "Measure", says, start)


@styled
def bound_by_width(found: Mapping[int, Mapping[str, Sequence[float]]], data: str) -> Picture:
    """The two terms of a PAC-Bayes bound against the width of the noise on the weights.

    Parameters
    ----------
    found : mapping
        {batch size: {"width", "error": the training error with that noise, "margin": what the bound adds}}.
    data : str
        The data set's name.

    Returns
    -------
    Picture
        One row per batch size and width.
    """
    panels, colour, rows, told = [canvas(HALF), canvas(HALF)], colours(found), [], []
    for axes, name in zip(panels, ("error", "margin")):
        for batch, seen in found.items():
            axes.plot(seen["width"], seen[name], "o-", color=colour[batch], markersize=4)
            told.append(course(f"batch {batch}, {name}", seen["width"], seen[name]))
        axes.set(xscale="log", xlabel="width of the noise, $\\sigma$")
    error, margin = panels
    for batch, seen in found.items():
        rows += rows_of({"batch size": [batch] * len(seen["width"]), **{name: list(seen[name]) for name in seen}})
    _named(error, found, colour)
    error.set(ylim=(-0.05, 1.05), ylabel="training error with the noise")
    margin.axhline(1, color=TEXT, linewidth=0.8)
    margin.set(yscale="log", ylabel="what the distance adds")
    margin.set_title("line: an error of 100 %")
    error.set_title("what the flatness decides")
    alt = f"Against the width of the noise on the weights, two terms of a bound on the error: {'; '.join(told)}."
    return Picture([axes.figure for axes in panels], rows, stamp(data, 1), alt, "bound-by-width")


def _named(axes: Axes, found: Mapping[int, Mapping[str, Sequence[float]]], colour: Mapping[float, str]) -> None:
    """Name the curves in a corner, because they lie on one another at both ends."""
    for place, batch in enumerate(found):
        axes.text(0.04, 0.9 - 0.13 * place, f"batch {batch}", color=colour[batch], transform=axes.transAxes)
