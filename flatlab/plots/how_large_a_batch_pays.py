"""The figures of the chapter How large a batch pays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flatlab.plots.picture import Picture, course, rows_of
from flatlab.plots.slides import Slides
from flatlab.plots.style import (
    BETWEEN,
    HALF,
    TEXT,
    WIDE,
    around,
    batch_axis,
    canvas,
    colours,
    label,
    plain_ticks,
    spread,
    stamp,
    styled,
)
from flatlab.study.recorded import Tier


@styled
def trade(
    counts: Mapping[int, int], least_updates: float, least_rows: float, target: float, data: str, start: int = 0
) -> Slides:
    """Updates to a target against the batch size, and the rows seen against the updates, one batch size at a time.

    Parameters
    ----------
    counts : mapping
        {batch size: updates to the target}; a position of the slider for each.
    least_updates, least_rows : float
        S_min and E_min of the hyperbola through them.
    target : float
        The training loss.
    data : str
        The data set's name.
    start : int
        The first position.

    Returns
    -------
    Slides
        One row per batch size.

    Notes
    -----
    With E = S m, the two say the same::

        S = S_min + E_min / m
        (S / S_min - 1) (E / E_min - 1) = 1

    where S counts updates and E rows.
    """
    updates, plane, colour = canvas(HALF, 3.2), canvas(HALF, 3.2), colours(counts)
    sizes, m = list(counts), np.geomspace(0.7 * min(counts), 1.4 * max(counts), 80)
    curve, first = least_updates + least_rows / m, sizes[0]
    updates.plot(m, counts[first] * first / m, ":", color=TEXT)
    updates.plot(m, curve, color=TEXT, linewidth=1)
    plane.plot(curve, m * curve, color=TEXT, linewidth=1)
    plane.axvline(least_updates, color=TEXT, linewidth=0.8, linestyle="--")
    plane.axhline(least_rows, color=TEXT, linewidth=0.8, linestyle="--")
    layers, says, rows = [], [], []
    for size, count in counts.items():
        for axes, place in ((updates, (size, count)), (plane, (count, size * count))):
            axes.plot(*place, "o", color=colour[size], markersize=5)
        ring: dict[str, Any] = {"color": colour[size], "markerfacecolor": "none", "markersize": 12, "mew": 1.8}
        layers.append(updates.plot(size, count, "o", **ring) + plane.plot(count, size * count, "o", **ring))
        times = (count / least_updates, size * count / least_rows)
        says.append(
            f"Batches of {size}: {count:,} updates, {size * count:,} rows. That is {times[0]:.1f} times the fewest "
            f"updates and {times[1]:.1f} times the fewest rows."
        )
        fitted = least_updates + least_rows / size
        rows.append({"batch size": size, "updates": count, "rows": size * count, "updates, fitted": fitted})
    batch_axis(updates, sizes)
    updates.set(yscale="log", ylabel=f"updates to a loss of {target:g}", title="dotted: perfect scaling")
    updates.set_ylim(0.7 * least_updates, 1.4 * max(counts.values()))
    plane.set(xscale="log", yscale="log", xlabel="updates", ylabel="rows", title="dashed: the fewest of each")
    plane.set_ylim(0.7 * least_rows, None)
    for axis in (updates.yaxis, plane.xaxis, plane.yaxis):
        plain_ticks(axis)
    told = [course(name, sizes, [row[name] for row in rows]) for name in ("updates", "rows")]
    alt = (
        "First the updates to the target against the batch size, both logarithmic, with a dotted line where twice "
        f"the batch takes half the updates; then the rows against the updates, with a hyperbola: {'; '.join(told)}."
    )
    picture = Picture([updates.figure, plane.figure], rows, stamp(data, 1), alt, "trade")
    return Slides(picture, layers, "Batch size", says, start)


@styled
def best_rates(rates: Mapping[int, float], critical: float, data: str) -> Picture:
    """The best rate of each batch size, beside what one noisy step asks for.

    Parameters
    ----------
    rates : mapping
        {batch size: the rate with the fewest updates}.
    critical : float
        B, the batch size at which the best rate is half of the largest.
    data : str
        The data set's name.

    Returns
    -------
    Picture
        One row per batch size.

    Notes
    -----
    The line is this, with the largest rate that fits the logarithms best::

        eps(m) = eps_max / (1 + B / m)
    """
    axes, colour, sizes = canvas(WIDE, 3), colours(rates), np.array(list(rates), float)
    found, shape = np.array(list(rates.values())), 1 / (1 + critical / sizes)
    largest = float(spread(np.c_[found / shape], log=True)[1][0])
    m = np.geomspace(sizes[0], sizes[-1], 60)
    axes.plot(m, largest / (1 + critical / m), color=TEXT, linewidth=1)
    for power, words in ((1, "linear rule"), (0.5, "root rule")):
        line = found[0] * (m / m[0]) ** power
        seen = line <= 1.5 * max(found)
        axes.plot(m[seen], line[seen], ":", color=TEXT)
        label(axes, m[seen][-1], line[seen][-1], words, TEXT, xytext=(0, 9), ha="center")
    for size, rate in rates.items():
        axes.plot(size, rate, "o", color=colour[size])
    batch_axis(axes, list(rates))
    axes.set(yscale="log", ylabel="best rate", ylim=(0.6 * min(found), 2.2 * max(found)))
    plain_ticks(axes.yaxis)
    rows = rows_of(
        {"batch size": list(rates), "best rate": list(map(float, found)), "by the curve": (largest * shape).tolist()}
    )
    told = [course(name, list(rates), [row[name] for row in rows]) for name in ("best rate", "by the curve")]
    alt = (
        "The best rate against the batch size, both logarithmic, with a curve that rises and then turns level, and two "
        f"dotted lines for the linear and the root rule: {'; '.join(told)}."
    )
    return Picture([axes.figure], rows, stamp(data, 1), alt, "best-rates")


@styled
def two_scales(
    critical: Mapping[str, Sequence[float]],
    noise: Mapping[str, Sequence[float]],
    data: str,
    seeds: int,
    tier: Tier | None = None,
) -> Picture:
    """Critical batch sizes and noise scales on one axis.

    Parameters
    ----------
    critical, noise : mapping
        {of what: rows, one value per seed}.
    data : str
        The data set's name.
    seeds : int
        Of what is recorded; what the page has measured has one value.
    tier : {"smoke", "reduced", "colab", "paper"}, optional
        At which they were recorded.

    Returns
    -------
    Picture
        One row per value's name: its mean and interval in the logarithm.
    """
    entries = [(name, values, BETWEEN, "critical batch size") for name, values in critical.items()]
    entries += [(name, values, BETWEEN, "noise scale") for name, values in noise.items()]
    axes, rows = canvas(WIDE, 0.8 + 0.52 * len(entries)), []
    for place, (name, values, colour, kind) in enumerate(entries):
        low, mean, high = (float(end[0]) for end in spread(np.c_[values], log=True))
        face = colour if kind == "critical batch size" else "none"
        axes.plot([low, high], [place, place], color=colour)
        axes.plot(mean, place, "o", color=colour, markerfacecolor=face)
        axes.text(0.01, place - 0.3, name, transform=axes.get_yaxis_transform(), color=colour, va="center")
        rows.append({"what": kind, "of": name, "rows": mean, "low": low, "high": high})
    axes.set_xscale("log")
    around(axes, "x", np.concatenate([values for _, values, _, _ in entries]), log=True)
    axes.set(xlabel="rows", yticks=[], ylim=(len(entries) - 0.4, -0.8))
    axes.set_title("filled: critical batch size, open: noise scale")
    axes.spines["left"].set_visible(False)
    told = "; ".join(f"{row['what']}, {row['of']}: {row['rows']:.3g}" for row in rows)
    words = stamp(data, seeds, tier)
    if seeds > 1 and any(len(values) == 1 for _, values, _, _ in entries):
        words = f"recorded: {words}; of this page: {stamp(data, 1)}"
    alt = f"Batch sizes on a logarithmic axis, one line each: {told}."
    return Picture([axes.figure], rows, words, alt, "two-scales")
