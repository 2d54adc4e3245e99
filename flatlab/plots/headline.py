"""The picture in the README."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.ticker import LogLocator

from flatlab.plots.picture import Picture
from flatlab.plots.style import batch_axis, by_batch, canvas, colours, dot, label, means, plain_ticks, stamp, styled
from flatlab.training.train import Run


@styled
def headline(runs: Sequence[Run], sharpness: Mapping[int, Sequence[float]]) -> Picture:
    """Test accuracy and sharpness against the batch size.

    Parameters
    ----------
    runs : sequence of Run
        Several seeds for each batch size, on one data set.
    sharpness : mapping
        {batch size: values of phi(1e-3), one per seed}.

    Returns
    -------
    Picture
        One row per run.
    """
    groups = by_batch(runs)
    colour, (upper, lower), rows, tested = colours(groups), canvas(height=4.4, down=2, sharex=True), [], {}
    for batch, group in groups.items():
        tested[batch] = [run.history["test_accuracy"][-1] for run in group]
        mean = dot(upper, batch, tested[batch], colour[batch])
        label(upper, batch, mean, f"{mean:.1f}", colour[batch], xytext=(8, 0))
        middle = dot(lower, batch, sharpness[batch], colour[batch], log=True)
        label(lower, batch, middle, f"{middle:.0f}", colour[batch], xytext=(8, 0))
        for run, accuracy, phi in zip(group, tested[batch], sharpness[batch]):
            rows.append({"batch size": batch, "seed": run.seed, "test accuracy": accuracy, "phi(1e-3)": phi})
    batch_axis(lower, groups)
    upper.set(ylabel="test accuracy, %")
    lower.set(yscale="log", ylabel="sharpness $\\phi(10^{-3})$, %")
    plain_ticks(lower.yaxis, LogLocator(subs=(1, 3)))
    alt = f"Against batch size, in percent. Test accuracy: {means(tested)}. Sharpness: {means(sharpness)}."
    return Picture([upper.figure], rows, stamp(runs[0].facts["data"], len(group)), alt, "headline")


def write_headline(path: str | Path, seeds: int = 5) -> Picture:
    """Train and measure what the README's picture shows, smoke tier, and write it as an SVG.

    `python -c "from flatlab.plots.headline import write_headline; write_headline('book/_static/headline.svg')"`

    Parameters
    ----------
    path : str or pathlib.Path
        Of the SVG.
    seeds : int
        For each batch size.

    Returns
    -------
    Picture
        What was written.
    """
    import flatlab

    data_set, store = flatlab.load("mnist1d"), flatlab.Store()
    f = flatlab.Objective("mlp", data_set.train)
    runs = [
        flatlab.train("mlp", data_set, batch_size=batch, seed=seed, store=store)
        for batch in (32, 128, 400, 2000)
        for seed in range(seeds)
    ]
    phis = {batch: [float(flatlab.sharpness(f, run.x)) for run in group] for batch, group in by_batch(runs).items()}
    picture = headline(runs, phis)
    picture.save(path)
    return picture
