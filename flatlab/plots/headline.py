"""The picture in the README and on the landing page."""

from pathlib import Path

import numpy as np
from matplotlib.ticker import LogLocator

from flatlab.plots.picture import Picture
from flatlab.plots.style import batch_axis, canvas, colours, dot, label, means, plain_ticks, stamp, styled
from flatlab.study import columns
from flatlab.study.ledger import significant
from flatlab.study.recorded import Result, largest_with

NET = "mlp, half"  # the network of `fig4` that has each batch size up to more than half of the rows


@styled
def headline(result: Result, net: str = NET) -> Picture:
    """Test accuracy and sharpness against the batch size.

    Parameters
    ----------
    result : Result
        Of `fig4`.
    net : str
        One of the result's.

    Returns
    -------
    Picture
        One row per net that was trained.
    """
    values = result.values[net]
    sizes = values[columns.BATCH_SIZE][0]
    tested, sharp = (
        dict(zip(sizes, np.transpose(values[name]).tolist()))
        for name in (columns.accuracy("test"), columns.phi_series(1e-3))
    )
    colour, (upper, lower), rows = colours(sizes), canvas(height=4.4, down=2, sharex=True), []
    for size in sizes:
        mean = dot(upper, size, tested[size], colour[size])
        middle = dot(lower, size, sharp[size], colour[size], log=True)
        if size in (min(sizes), max(sizes)):  # on the outer side, where no other interval is
            side = {"xytext": (-8, 0), "ha": "right"} if size == min(sizes) else {"xytext": (8, 0)}
            label(upper, size, mean, f"{mean:.1f}", colour[size], **side)
            label(lower, size, middle, significant(middle, 2), colour[size], **side)
        for seed, accuracy, phi in zip(result.seeds[net], tested[size], sharp[size]):
            rows.append({"batch size": size, "seed": seed, "test accuracy": accuracy, "phi(1e-3)": phi})
    batch_axis(lower, sizes[::2])  # there is no room for the name of each
    lower.margins(x=0.2)
    upper.set(ylabel="test accuracy, %")
    lower.set(yscale="log", ylabel="sharpness $\\phi(10^{-3})$, %")
    plain_ticks(lower.yaxis, LogLocator(subs=(1, 3)))
    alt = f"Against batch size, in percent. Test accuracy: {means(tested)}. Sharpness: {means(sharp, log=True)}."
    words = stamp(result.data[net], len(result.seeds[net]), result.tier)
    return Picture([upper.figure], rows, words, alt, "headline")


def write_headline(path: str | Path) -> None:
    """Write the README's picture as an SVG, from the largest recorded result.

    `python -c "from flatlab.plots.headline import write_headline; write_headline('book/_static/headline.svg')"`

    Parameters
    ----------
    path : str or pathlib.Path
        Of the SVG.
    """
    headline(largest_with("fig4", NET)).save(path)
