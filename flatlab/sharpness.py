"""How much can the loss rise within a small box? Metric 2.1 of Keskar et al. 2017."""

from dataclasses import dataclass, field

from flatlab.maximise import Maximum, maximise
from flatlab.region import box


@dataclass(frozen=True)
class Sharpness:
    """phi = 100 (peak - base) / (1 + base). `float(sharpness)` is phi, in percent."""

    percent: float                                 # phi, a lower bound
    base: float                                    # f(x)
    peak: float                                    # the largest value found in the box
    eps: float
    subspace: int | None                           # p, or None for the full space
    batch_norm: str                                # the objective's choice; it changes phi by an order of magnitude
    seed: int                                      # of the subspace
    maximum: Maximum = field(repr=False)

    def __float__(self):
        return self.percent

    def __str__(self):
        space = "full space" if self.subspace is None else f"{self.subspace} random dimensions"
        return (f"phi({self.eps:g}) >= {self.percent:.4g} %  (f rises from {self.base:.4g} to {self.peak:.4g}; {space}, "
                f"BatchNorm {self.batch_norm}, {self.maximum.evaluations} evaluations)")


def sharpness(f, x=None, eps=1e-3, *, subspace=None, method="lbfgs", steps=10, seed=0):
    """Metric 2.1, equation (4): the sharpness of f at x,

        phi = 100 (max_{z in C_eps} f(x + A z) - f(x)) / (1 + f(x)),

    with the box C_eps of `box`. It is a lower bound, as every maximum found by search is, and it does not change when the part
    of the loss above f(x) is found at another scale: no tolerance in the search is absolute.

    f           an `Objective` over the training set
    x           a point of f, default f.x
    eps, subspace, seed     see `box`
    method, steps           see `maximise`

    Returns a `Sharpness`. Raises ValueError for arguments that make no sense, and FloatingPointError where f(x) is not finite.
    Source: Keskar et al. 2017, Metric 2.1. Explained in the chapter
    [Measuring sharpness](https://flatlab.github.io/flatlab/book/measuring_sharpness.html).
    """
    x = f.x if x is None else x
    maximum = maximise(f, box(f, x, eps, subspace=subspace, seed=seed), method=method, steps=steps)
    base = maximum.history[0]
    percent = 100 * (maximum.value - base) / (1 + base)
    return Sharpness(percent, base, maximum.value, eps, subspace, f.batch_norm, seed, maximum)
