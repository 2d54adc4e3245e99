"""The picture in the README."""

import numpy as np

from flatlab.measure.estimate import interval
from flatlab.plots.style import by_batch, canvas, colours, label, spread, stamp


def headline(runs, sharpness):
    """Test accuracy falls and sharpness rises with the batch size.

    sharpness   {batch size: values of phi(1e-3), one a seed}
    """
    groups = by_batch(runs)
    colour = colours(groups)
    figure, (upper, lower) = canvas(6.2, 4.6, 2, 1, sharex=True)
    figure.data = {"batch size": [], "seed": [], "test accuracy": [], "phi(1e-3)": []}
    for batch, group in groups.items():
        tested = [run.history["test_accuracy"][-1] for run in group]
        mean, half = interval(tested)
        upper.errorbar(batch, mean, half, fmt="o", color=colour[batch], capsize=3)
        label(upper, batch, mean, f"{mean:.1f}", colour[batch], xytext=(8, 0))
        (low,), (middle,), (high,) = spread(np.c_[sharpness[batch]], log=True)
        lower.errorbar(batch, middle, [[middle - low], [high - middle]], fmt="o", color=colour[batch], capsize=3)
        label(lower, batch, middle, f"{middle:.0f}", colour[batch], xytext=(8, 0))
        for run, accurate, phi in zip(group, tested, sharpness[batch]):
            for column, value in zip(figure.data.values(), (batch, run.seed, accurate, phi)):
                column.append(value)
    upper.set(ylabel="test accuracy, %")
    lower.set(xscale="log", yscale="log", xlabel="batch size", ylabel="sharpness $\\phi(10^{-3})$, %")
    lower.set_xticks(list(groups), labels=[str(batch) for batch in groups])
    lower.minorticks_off()
    lower.margins(x=0.12)
    stamp(figure, runs[0].facts["data"], len(group))
    return figure


def write_headline(path, seeds=5):
    """Train and measure what the README's picture shows, smoke tier, and write it as an SVG.

    `python -c "from flatlab.plots.headline import write_headline; write_headline('book/_static/headline.svg')"`
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
    figure = headline(runs, phis)
    figure.savefig(path, format="svg", metadata={"Date": None})
    return figure
