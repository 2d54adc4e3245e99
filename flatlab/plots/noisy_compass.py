"""The figures of the chapter A noisy compass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator
from numpy.typing import ArrayLike

from flatlab.plots.picture import Picture, course, rows_of
from flatlab.plots.slides import Slides
from flatlab.plots.style import BETWEEN, HALF, SMALLER, TEXT, WIDE, canvas, colours, label, plain_ticks, stamp, styled


@styled
def cloud_by_size(cloud: Mapping[int, ArrayLike], angles: Mapping[int, ArrayLike], data: str, start: int = 0) -> Slides:
    """Gradients of batches in a plane that holds the true gradient, one batch size at a time.

    Parameters
    ----------
    cloud : mapping
        {batch size: gradients x (along G, across)}, in units of the true gradient's length; a position of the slider
        for each size.
    angles : mapping
        {batch size: each gradient's angle with the true one, in degrees}, in all directions and not in the plane.
    data : str
        The data set's name.
    start : int
        The first position.

    Returns
    -------
    Slides
        One row per batch size.
    """
    axes, colour = canvas(WIDE, 3.6), colours(cloud)
    layers, says, rows = [], [], []
    for batch, gradients in cloud.items():
        along, across = np.asarray(gradients).T
        layers.append(axes.plot(along, across, "o", color=colour[batch], markersize=4, alpha=0.8, mew=0))
        downhill, angle = int((along > 0).sum()), float(np.median(np.asarray(angles[batch])))
        says.append(
            f"m = {batch}: {downhill} of {len(along)} batches agree with the true gradient about uphill and downhill; "
            f"the median angle between the two is {angle:.0f} degrees."
        )
        rows.append({"batch size": batch, "downhill": downhill, "median angle, degrees": angle})
    _true_gradient(axes)
    axes.set(xlabel="along the true gradient", ylabel="across it")
    told = course("the median angle with it in degrees", *_columns(rows, "batch size", "median angle, degrees"))
    alt = f"A cloud of dots around the tip of an arrow, the true gradient. Against the batch size, {told}."
    picture = Picture([axes.figure], rows, stamp(data, 1), alt, "cloud-by-size")
    return Slides(picture, layers, "Batch size", says, start)


@styled
def clouds(found: Mapping[str, Mapping[int, ArrayLike]], data: str) -> Picture:
    """Gradients of batches of several sizes around the true gradient, a panel for each place.

    Parameters
    ----------
    found : mapping
        {place: {batch size: gradients x (along G, across)}}, in units of the true gradient's length there.
    data : str
        The data set's name.

    Returns
    -------
    Picture
        One row per batch.
    """
    panels, rows, told = [], [], []
    for place, cloud in found.items():
        axes, colour = canvas(HALF, 3.2), colours(cloud)
        for batch, gradients in cloud.items():
            points = np.asarray(gradients)
            axes.plot(*points.T, "o", color=colour[batch], markersize=3.5, alpha=0.8, mew=0, label=f"batch {batch}")
            names: dict[str, list] = {"place": [place] * len(points), "batch size": [batch] * len(points)}
            rows += rows_of({**names, "along": points[:, 0].tolist(), "across": points[:, 1].tolist()})
            wide = np.sqrt(((points - [1, 0]) ** 2).sum(1).mean())
            told.append(f"{place}, batch {batch}: {wide:.3g} from the tip")
        _true_gradient(axes)
        axes.set(xlabel="along the true gradient", ylabel="across it")
        axes.figure.legend(  # above the dots, which may be anywhere
            title=place,
            loc="outside upper left",
            alignment="left",
            ncols=2,
            labelcolor="linecolor",
            handletextpad=0,
            fontsize=SMALLER,
            title_fontsize=11,
            borderpad=0,
            borderaxespad=0.2,
        )
        panels.append(axes.figure)
    alt = (
        "Clouds of dots around the tip of an arrow of length 1, the true gradient. The root mean square distance in "
        f"this plane, {'; '.join(told)}."
    )
    return Picture(panels, rows, stamp(data, 1), alt, "clouds")


@styled
def error_by_size(
    sizes: Sequence[int], measured: Mapping[str, Sequence[float]], closed: Mapping[str, Sequence[float]], data: str
) -> Picture:
    """The relative error of a batch's gradient against its size: measured as dots, by the closed form as lines.

    Parameters
    ----------
    sizes : sequence of int
        Batch sizes.
    measured, closed : mapping
        {place: errors, one per size}, in units of the true gradient's length.
    data : str
        The data set's name.

    Returns
    -------
    Picture
        One row per batch size.
    """
    axes, told = canvas(WIDE, 3.2), []
    columns: dict[str, list] = {"batch size": list(sizes)}
    for number, place in enumerate(measured):
        axes.plot(sizes, closed[place], "-:"[number % 2], color=BETWEEN)
        face = BETWEEN if number % 2 == 0 else "none"
        axes.plot(sizes, measured[place], "o", color=BETWEEN, markerfacecolor=face)
        label(axes, sizes[-1], closed[place][-1], place, BETWEEN)
        columns |= {f"measured, {place}": list(measured[place]), f"closed form, {place}": list(closed[place])}
        told.append(course(place, sizes, measured[place]))
    axes.set(xscale="log", yscale="log", xlabel="batch size", ylabel="error / true gradient")
    axes.set_xticks(list(sizes), labels=[f"{size:,}" for size in sizes])
    axes.minorticks_off()
    plain_ticks(axes.yaxis, LogLocator(subs=(1, 2, 5)))
    axes.set_title("dots: measured, lines: closed form")
    alt = f"The error of a batch's gradient in units of the true one, both axes logarithmic: {'; '.join(told)}."
    return Picture([axes.figure], rows_of(columns), stamp(data, 1), alt, "gradient-error-by-size")


@styled
def scale_along(
    epochs: Sequence[int], estimates: Sequence[float], errors: Sequence[float], exact: Sequence[float], data: str
) -> Picture:
    """The noise scale along training: by two batch sizes with a 95 % interval over the draws, and exactly as dots.

    Parameters
    ----------
    epochs : sequence of int
        After which it was measured.
    estimates, errors : sequence of float
        By two batch sizes, and their standard errors.
    exact : sequence of float
        From every row's own gradient.
    data : str
        The data set's name.

    Returns
    -------
    Picture
        One row per epoch.
    """
    axes, places, half = canvas(WIDE, 3), np.arange(len(epochs)), 1.96 * np.asarray(errors)
    low = np.minimum(half, 0.9 * np.asarray(estimates))  # on a logarithmic axis nothing reaches below 0
    axes.errorbar(places, estimates, [low, half], color=BETWEEN, capsize=4, linestyle=":", linewidth=1.2)
    axes.plot(places, exact, "o", color=TEXT, markerfacecolor="none")
    axes.set(yscale="log", xlabel="epoch", ylabel="noise scale, rows")
    plain_ticks(axes.yaxis, LogLocator(subs=(1, 2, 5)))
    axes.set_xticks(places, labels=[str(epoch) for epoch in epochs])
    axes.set_title("bars: by two batch sizes, circles: exact")
    columns: dict[str, list] = {
        "epoch": list(epochs),
        "by two batch sizes": list(map(float, estimates)),
        "standard error": list(map(float, errors)),
        "exact": list(map(float, exact)),
    }
    told = [course(words, epochs, values) for words, values in (("by two sizes", estimates), ("exact", exact))]
    alt = f"The noise scale in rows against the epoch, logarithmic: {'; '.join(told)}."
    return Picture([axes.figure], rows_of(columns), stamp(data, 1), alt, "noise-scale-along")


@styled
def noise_by_direction(shares: Mapping[str, Sequence[float]], isotropic: float, data: str) -> Picture:
    """The share of the gradient noise's variance that lies along each of the steepest directions of the loss.

    Parameters
    ----------
    shares : mapping
        {place: shares of the whole variance, the steepest direction first}.
    isotropic : float
        The share of any direction, if the noise were alike in all.
    data : str
        The data set's name.

    Returns
    -------
    Picture
        One row per direction.
    """
    axes, told = canvas(WIDE, 3), []
    columns: dict[str, list] = {"direction": list(range(1, 1 + max(map(len, shares.values()))))}
    for number, (place, values) in enumerate(shares.items()):
        face = "none" if number % 2 else BETWEEN
        percent = [100 * value for value in values]
        axes.plot(columns["direction"], percent, "o", color=BETWEEN, markerfacecolor=face, label=f"at the {place}")
        columns[f"share at the {place}, %"] = percent
        told.append(f"at the {place} {sum(percent):.3g} together, {course('each', columns['direction'], percent)}")
    axes.axhline(100 * isotropic, color=TEXT, linestyle=":", linewidth=1.2)
    label(axes, 1, 100 * isotropic, "noise alike in all directions", TEXT, xytext=(-4, 9))
    axes.set(yscale="log", xlabel="direction, the steepest first", ylabel="share of the noise, %")
    axes.set_xticks(columns["direction"])
    plain_ticks(axes.yaxis, LogLocator())
    axes.set_ylim(top=100)
    axes.figure.legend(loc="outside upper left", ncols=2, fontsize=SMALLER, handletextpad=0, borderaxespad=0.2)
    alt = (
        "The share of the noise along each of the steepest directions in percent, logarithmic: "
        f"{'; '.join(told)}. Noise alike in all directions: {100 * isotropic:.2g} each."
    )
    return Picture([axes.figure], rows_of(columns), stamp(data, 1), alt, "noise-by-direction")


def _true_gradient(axes: Axes) -> None:
    """An arrow of length 1."""
    axes.annotate("", (1, 0), (0, 0), arrowprops={"arrowstyle": "-|>", "color": TEXT, "linewidth": 2})
    axes.set_aspect("equal", "datalim")  # whether a cloud is round is to be seen


def _columns(rows: Sequence[Mapping[str, float]], *names: str) -> list[list[float]]:
    return [[row[name] for row in rows] for name in names]
