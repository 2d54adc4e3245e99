"""The picture on the landing page: the plane through a start and two ends, with both paths on it."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from flatlab.measure.paths import Surface
from flatlab.plots.picture import Picture, course, rows_of
from flatlab.plots.slides import Slides
from flatlab.plots.style import TEXT, WIDE, canvas, colours, label, name_lines, off_lines, stamp, styled
from flatlab.training.train import Run

LEVELS = (0.01, 0.03, 0.1, 0.3, 1, 3)  # nats
KEPT = (0, 1, 2, 3, 5, 8, 13, 20, 35, 60, 100)  # epochs at which the slider of the landing page stops


@styled
def paths_on_a_plane(
    surface: Surface, runs: Mapping[int, Run], losses: Mapping[int, Sequence[float]], start: int = 0
) -> Slides:
    """The training loss on the plane through the start and both ends, and both paths as they are seen from above it.

    Parameters
    ----------
    surface : Surface
        What `flatlab.plane(f, x0, through=(a, b))` finds, with the ends of the two runs in their order.
    runs : mapping of int to Run
        {batch size: its run}, two from one start that have kept the same epochs.
    losses : mapping
        {batch size: the training loss at each kept epoch}.
    start : int
        The first position.

    Returns
    -------
    Slides
        A position and a row for each kept epoch.

    Notes
    -----
    With orthonormal e_1, e_2 on the plane, e_1 towards the first end, a point x is drawn at::

        (e_1 . (x - x0), e_2 . (x - x0))

    Its distance from the plane is lost in the picture, and stands in the table.
    """
    first, second = runs.values()
    e1, e2, corner = _frame(first.x0, first.x, second.x)
    alpha, beta = np.meshgrid(surface.alphas, surface.betas, indexing="ij")
    axes, colour = canvas(WIDE, 3.6), colours(runs)
    lines = axes.contour(
        alpha * corner[0] + beta * corner[1], beta * corner[2], surface.loss, LEVELS, colors=TEXT, linewidths=0.7
    )
    epochs = sorted(first.points)
    layers: list[list] = [[] for _ in epochs]
    found: dict[str, list] = {"epoch": epochs}
    told = []
    for batch, run in runs.items():
        across, distance, off = _seen(run, epochs, e1, e2)
        axes.plot(*across.T, color=colour[batch], linewidth=1)
        label(axes, across[-1, 0], across[-1, 1], f"batch {batch:,}", colour[batch])
        for place, layer in enumerate(layers):
            if place:  # at the start there is no way to draw
                layer += axes.plot(*across[: place + 1].T, color=colour[batch], linewidth=3)
            layer += axes.plot(*across[place], "o", color=colour[batch], markersize=10)
        found |= {
            f"loss, batch {batch}": list(map(float, losses[batch])),
            f"distance, batch {batch}": distance,
            f"off the plane, batch {batch}": off,
        }
        told.append(course(f"the distance of batch {batch} from the start", epochs, distance))
    axes.plot(0, 0, "o", color=TEXT)
    axes.set(xlabel="distance, towards the end of the small batch", ylabel="distance, across")
    axes.margins(0)
    off_lines(axes, lines, further=(31, 14))  # right of the narrow rings around the end of the large batch
    label(axes, 0, 0, "start", TEXT, xytext=(0, -12), ha="center")
    name_lines(axes, lines)
    rows = rows_of(found)
    says = [
        f"After epoch {row['epoch']}: "
        + "; ".join(
            f"batch {batch:,} has a training loss of {row[f'loss, batch {batch}']:.2g}, "
            f"{row[f'distance, batch {batch}']:.1f} from the start"
            for batch in runs
        )
        + "."
        for row in rows
    ]
    alt = f"Contours of the training loss on a plane through three points, with two paths: {'; '.join(told)}."
    picture = Picture([axes.figure], rows, stamp(first.facts["data"], 1), alt, "plane-of-descent")
    return Slides(picture, layers, "Epoch", says, start)


def _frame(x0: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Orthonormal e_1, e_2, and (|a|, b's part along e_1, b's part along e_2), all seen from x0."""
    to_a, to_b = (a - x0).double(), (b - x0).double()
    e1 = to_a / to_a.norm()
    rest = to_b - (to_b @ e1) * e1
    e2 = rest / rest.norm()
    return e1, e2, np.array([float(part) for part in (to_a.norm(), to_b @ e1, rest.norm())])


def _seen(
    run: Run, epochs: Sequence[int], e1: torch.Tensor, e2: torch.Tensor
) -> tuple[np.ndarray, list[float], list[float]]:
    """Of a run's kept points: the place on the plane, the distance from the start, and that from the plane."""
    moved = torch.stack([(run.points[epoch] - run.x0).double() for epoch in epochs])
    across = torch.stack([moved @ e1, moved @ e2], 1)
    off = (moved - across @ torch.stack([e1, e2])).norm(dim=1)
    return across.cpu().numpy(), moved.norm(dim=1).tolist(), off.tolist()
