"""The loss along a path between two points: the paper's Figures 3 and 7."""

import math
from dataclasses import dataclass

import torch

ALPHAS = tuple(k / 8 - 1 for k in range(25))                      # linspace(-1, 2, 25), the paper's, exactly


@dataclass(frozen=True)
class Path:
    """The loss and accuracy (percent) along a path; alpha = 0 is the first point and alpha = 1 the second."""

    alphas: tuple
    loss: tuple
    accuracy: tuple
    kind: str                                                     # "line" or "arc"
    batch_norm: str

    def barrier(self):
        """max over alpha in [0, 1] of f(alpha) - ((1 - alpha) f(0) + alpha f(1)): how far the path rises above the chord
        between its ends. Zero or more where both ends are among the alphas. Raises ValueError where they are not."""
        loss = dict(zip(self.alphas, self.loss))
        if 0 not in loss or 1 not in loss:
            raise ValueError("the barrier lies between alpha = 0 and alpha = 1: have both among the alphas.")
        return max(value - ((1 - alpha) * loss[0] + alpha * loss[1]) for alpha, value in loss.items() if 0 <= alpha <= 1)

    def __float__(self):
        return self.barrier()


def line(f, a, b, alphas=ALPHAS):
    """f((1 - alpha) a + alpha b) for each alpha: the straight line through two points.

    f       an `Objective`; its BatchNorm policy decides how the points between are normalised
    a, b    points of f, at alpha = 0 and 1 (in the paper small and large batch)

    Returns a `Path`. Both ends are reproduced exactly. Source: Keskar et al. 2017, Figure 3; Goodfellow et al. 2015.
    Explained in the chapter [Between two minima](https://flatlab.github.io/flatlab/book/between_two_minima.html).
    """
    return _path(f, a, b, alphas, "line", lambda alpha: (1 - alpha, alpha))


def arc(f, a, b, alphas=ALPHAS):
    """f(cos(alpha pi/2) a + sin(alpha pi/2) b) for each alpha: the curved path of Figure 7.

    At alpha = -1 and 2 the points are -b and -a. Arguments and result as for `line`.
    Source: Keskar et al. 2017, Figure 7.
    """
    return _path(f, a, b, alphas, "arc", lambda alpha: (_cosine(alpha), _cosine(1 - alpha)))


def _cosine(alpha):
    """cos(alpha pi/2), exactly 0, 1 or -1 where alpha is whole, so that the path meets its ends exactly."""
    return (1.0, 0.0, -1.0, 0.0)[int(alpha) % 4] if alpha == int(alpha) else math.cos(alpha * math.pi / 2)


def _path(f, a, b, alphas, kind, weights):
    alphas = tuple(float(alpha) for alpha in alphas)
    values = []
    for alpha in alphas:
        first, second = weights(alpha)
        values.append(f.loss_and_accuracy(torch.add(first * a, b, alpha=second)))
    loss, accuracy = zip(*values)
    return Path(alphas, loss, accuracy, kind, f.batch_norm)
