"""The figures of the chapter Flat and sharp."""

import numpy as np

from flatlab.plots.style import LARGE, SMALL, TEXT, band, canvas, colours, label, spread, stamp


def displaced(f, minima, displacements):
    """Figure 1: a training function with a flat and a sharp minimum, and the same function moved, a panel for each displacement.

    f       a function of an array; minima: x of the flat and of the sharp one
    """
    x = np.linspace(-4.5, 3.5, 500)
    figure, panels = canvas(2.2 * len(displacements), 3.0, 1, len(displacements), sharey=True, squeeze=False)
    figure.data = {"displacement": [], "minimum": [], "training": [], "test": []}
    for axes, d in zip(panels[0], displacements):
        axes.plot(x, f(x), color=TEXT)
        axes.plot(x, f(x - d), color=TEXT, linestyle="--", linewidth=1.2)
        for name, place, colour in zip(("flat", "sharp"), minima, (SMALL, LARGE)):
            base, high = float(f(place)), float(f(place - d))
            axes.plot([place, place], [base, high], color=colour, linewidth=3)
            axes.plot(place, base, "o", color=colour)
            label(axes, place, base, f"{name}\n+{high - base:.2f}", colour, xytext=(0, -16), ha="center")
            for column, value in zip(figure.data.values(), (float(d), name, base, high)):
                column.append(value)
        axes.set(title=f"moved by {d:g}", xticks=[], yticks=[], xlabel="x", ylim=(-0.5, None))
    panels[0][0].set_ylabel("f   (dashed: on test data)")
    stamp(figure, "a function made up for this page", 0)
    return figure


def increase(displacements, exact, estimate):
    """What a displacement costs at each minimum, and what half the curvature times its square says it costs.

    exact, estimate     {"flat": increases, "sharp": increases}, one value a displacement
    """
    figure, axes = canvas(6.2, 3.2)
    figure.data = {"displacement": [float(d) for d in displacements]}
    for name, colour in (("flat", SMALL), ("sharp", LARGE)):
        axes.plot(displacements, exact[name], color=colour)
        axes.plot(displacements, estimate[name], color=colour, linestyle=":")
        label(axes, displacements[-1], exact[name][-1], name, colour)
        figure.data |= {
            f"{name}, exact": list(map(float, exact[name])),
            f"{name}, estimate": list(map(float, estimate[name])),
        }
    axes.set(xlabel="displacement", ylabel="test increase", ylim=(0, 1.25))
    axes.set_title("solid: exact, dotted: half the curvature times the square")
    stamp(figure, "the same function", 0)
    return figure


def boxes(sides, rounded, worst, tolerance, data):
    """The training loss when every weight is rounded to a grid, and the worst loss that this could have given.

    sides       the grid's pitch, which is the side of the box
    rounded     {batch size: losses, seeds x sides}; worst: the same for the worst point of the box
    """
    colour = colours(rounded)
    figure, axes = canvas(6.2, 4.0)
    figure.data = {"side of the box": [float(side) for side in sides]}
    for batch in rounded:
        for name, table, style in (("rounded", rounded, "-"), ("worst", worst, "--")):
            mean = band(axes, sides, table[batch], colour[batch], log=True, linestyle=style)
            figure.data[f"batch {batch}, {name}"] = mean.tolist()
            figure.data[f"batch {batch}, {name}, times or over"] = (spread(table[batch], log=True)[2] / mean).tolist()
        shift = 7 if batch == max(rounded) else -7
        label(
            axes,
            sides[-1],
            figure.data[f"batch {batch}, rounded"][-1],
            f"batch {batch}",
            colour[batch],
            xytext=(6, shift),
        )
    axes.axhline(tolerance, color=TEXT, linewidth=1, linestyle=":")
    label(axes, sides[0], tolerance, "acceptable below this line", TEXT, xytext=(0, -9))
    axes.set(xscale="log", yscale="log", xlabel="side of the box", ylabel="training loss, nats")
    axes.set_title("solid: rounded, dashed: the worst point of the box")
    stamp(figure, data, len(rounded[batch]))
    return figure


def rescaled(f, alphas, curvature, sharpness):
    """Left, the loss f(w1, w2) of y = w2 relu(w1 x) and minima that are one function; right, how sharp each of them looks."""
    figure, (valley, axes) = canvas(6.6, 3.4, 1, 2)
    w = np.linspace(0.02, 4.2, 120)
    valley.contour(w, w, f(*np.meshgrid(w, w)), levels=[0.02, 0.2, 1, 4, 10], colors=TEXT, linewidths=0.8)
    scale = colours(alphas)
    for alpha in alphas:
        if alpha <= 4.2:
            valley.plot(alpha, 1 / alpha, "o", color=scale[alpha])
    valley.set(xlabel="first weight", ylabel="second weight", title="minima of one loss")
    axes.plot(alphas, curvature, color=TEXT)
    axes.plot(alphas, sharpness, color=TEXT, linestyle="--")
    for alpha, one, other in zip(alphas, curvature, sharpness):
        axes.plot([alpha, alpha], [one, other], "o", color=scale[alpha])
    label(axes, alphas[-1], curvature[-1], "curvature", TEXT, xytext=(-10, 2), ha="right")
    label(axes, alphas[-1], sharpness[-1], "$\\phi$, %", TEXT, xytext=(-10, 2), ha="right")
    axes.set(xscale="log", yscale="log", xlabel="rescaled by", title="one function, any sharpness")
    figure.data = {"alpha": list(alphas), "largest curvature": list(curvature), "phi, %": list(sharpness)}
    stamp(figure, "a net of two weights", 0)
    return figure
