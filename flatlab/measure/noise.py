"""How far a batch's gradient is from the gradient over all rows, and which batch size that calls for.

The gradients g_i of the single rows' losses have this mean and this covariance over f's own N rows, which are the
population:

    G = 1/N sum_i g_i = grad f(x),      S = 1/N sum_i (g_i - G) (g_i - G)^T

For the gradient g_m of the mean loss of m rows drawn without replacement

    E |g_m - G|^2 = tr(S) c(m),      c(m) = (1/m - 1/N) N/(N - 1)

and c(m) is about `1 / m` while m is far below N.

Where BatchNorm uses the statistics of the batch, a row has no gradient of its own. A batch of two or more rows
has one, as training sees it, and what those statistics add to the noise is then part of the answer.
"""

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from math import sqrt

import torch
from torch.func import grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from flatlab.measure import door
from flatlab.measure.arithmetic import in_own_arithmetic
from flatlab.measure.estimate import Estimate
from flatlab.measure.memory import is_used_up
from flatlab.measure.protocols import MeanFunction

# Most numbers in the per-example gradients held at once. A GPU wants much work; to a processor's process the system
# gives new pages for each tensor of more than 32 MB, which costs more than what is computed.
GRADIENTS_HELD = defaultdict(lambda: 2**22, cuda=2**24)
DRAWN = ("gradient", "subset", "rows")  # what an f needs of which batches are drawn


@in_own_arithmetic
def noise_scale(
    f: MeanFunction, x: torch.Tensor | None = None, *, small: int, big: int, samples: int = 50, seed: int = 0
) -> Estimate:
    """The simple noise scale: the batch size at which noise and signal are equally long, from two batch sizes.

    Parameters
    ----------
    f : Objective
        Over two tensors, (inputs, targets).
    x : Tensor, optional
        A point of f; f.x without one.
    small, big : int
        Numbers of rows, `1 <= small < big <= N`; small = 1 with big = N is exact.
    samples : int
        How many draws, 2 or more; each is a pass over `big` rows.
    seed : int
        Of the draws.

    Returns
    -------
    Estimate
        In rows. An estimate of the signal that may be zero is warned of and used as it is, also when negative.

    Raises
    ------
    ValueError
        If an argument makes no sense, or the data are a list of batches.
    FloatingPointError
        If a gradient is not finite.

    Notes
    -----
    ::

        B_simple = tr(S) / |G|^2

    where tr(S) and ``|G|^2`` solve, for m = small and m = big,

        E |g_m|^2 = |G|^2 + tr(S) c(m)

    A sample is `big` rows drawn without replacement and cut into batches of `small`;
    their mean gradient is the big batch's, so one pass gives both lengths. G is the gradient over f's own rows, not
    over the distribution that they came from. B_simple is the ratio of the two means, and its standard error is by the
    delta method.

    Source: McCandlish, Kaplan & Amodei 2018, equation (2.9) and appendix A.1, here for finite data. Explained in the
    chapter `A noisy compass <https://flatlab.github.io/flatlab/book/noisy_compass.html>`_.

    Examples
    --------
    The gradients of the two rows are (2, 0, 2) and (0, 4, 4), so tr(S) is 6 and ``|G|^2`` is 14:

    >>> net, rows = torch.nn.Linear(2, 1), (torch.eye(2), torch.zeros(2, 1))
    >>> f = flatlab.Objective(net, rows, loss=torch.nn.functional.mse_loss)
    >>> round(float(flatlab.noise_scale(f, torch.tensor([1.0, 2.0, 0.0]), small=1, big=2)), 4)
    0.4286
    """
    x = _point(f, x, "noise_scale")
    small, big = door.count("small", small, what="a number of rows"), door.count("big", big, what="a number of rows")
    if not 1 <= small < big <= f.rows:
        raise ValueError(
            f"small is {small} and big is {big}: they are numbers of rows, 1 <= small < big <= {f.rows:,}."
        )
    draw = _draws(f, small, samples, seed)
    of_small, of_big = torch.stack([_two_lengths(f, x, draw(big), small) for _ in range(samples)]).T
    variance = (of_small - of_big) / (_share(f, small) - _share(f, big))  # tr(S)
    signal = of_big - variance * _share(f, big)  # |G|^2
    scale, length = _ratio(variance, signal), Estimate.mean(signal)
    if length.value <= 1.96 * length.stderr:
        warnings.warn(
            f"|G|^2 is estimated as {length.value:.2g} +- {1.96 * length.stderr:.2g} and may be zero, "
            "so nothing bounds the noise scale: take a larger big, or more samples.",
            RuntimeWarning,
            stacklevel=3,
        )
    return scale


def _two_lengths(f: MeanFunction, x: torch.Tensor, drawn: torch.Tensor, small: int) -> torch.Tensor:
    """The mean of |g_small|^2 over the whole small batches of the rows drawn, and |g_big|^2 of all of them."""
    mean, lengths = torch.zeros_like(x), []
    for part in drawn.split(small):
        gradient = f.subset(part).gradient(x)[1]
        mean.add_(gradient, alpha=len(part) / len(drawn))
        if len(part) == small:  # the last may be shorter
            lengths.append(_square(gradient))
    return torch.stack([torch.stack(lengths).mean(), _square(mean)])


@in_own_arithmetic
def signal_to_noise(
    f: MeanFunction, x: torch.Tensor | None = None, *, batch_sizes: Iterable[int], samples: int = 50, seed: int = 0
) -> list[Estimate]:
    """The gradient's signal to noise for each batch size m, measured on batches drawn without replacement.

    Parameters
    ----------
    f : Objective
        Over two tensors, (inputs, targets).
    x : Tensor, optional
        A point of f; f.x without one.
    batch_sizes : iterable of int
        Numbers of rows, each from 1 to N - 1.
    samples : int
        How many batches of each size, 2 or more.
    seed : int
        Of the draws.

    Returns
    -------
    list of Estimate
        One for each batch size.

    Raises
    ------
    ValueError
        If an argument makes no sense, or the data are a list of batches.
    FloatingPointError
        If a gradient is not finite.

    Notes
    -----
    The closed form is about `m / B_simple` while m is far below N::

        |G|^2 / E |g_m - G|^2  =  |G|^2 / (tr(S) c(m))

    Source: McCandlish, Kaplan & Amodei 2018, section 2.2. Explained in the chapter
    `A noisy compass <https://flatlab.github.io/flatlab/book/noisy_compass.html>`_.
    """
    x = _point(f, x, "signal_to_noise")
    batch_sizes = door.counts("batch_sizes", batch_sizes, 1, f.rows - 1, "numbers of rows")
    draw = _draws(f, min(batch_sizes), samples, seed)
    full = f.gradient(x)[1]
    measured = []
    for m in batch_sizes:
        noise = torch.stack([_square(f.subset(draw(m)).gradient(x)[1] - full) for _ in range(samples)])
        measured.append(_ratio(_square(full).expand(samples), noise))
    return measured


@in_own_arithmetic
def hessian_noise_scale(
    f: MeanFunction, x: torch.Tensor | None = None, *, batch_size: int = 32, samples: int = 100, seed: int = 0
) -> Estimate:
    """The noise scale that weighs every direction by its curvature.

    With batches of this size a step of the best length makes half the progress of one along G.

    Parameters
    ----------
    f : Objective
        Over two tensors, (inputs, targets).
    x : Tensor, optional
        A point of f; f.x without one.
    batch_size : int
        m, from 1 to N - 1. With m = 1 the products are per example; where few examples make most of the gradient, as in
        a trained net, larger batches find the same number with fewer products.
    samples : int
        How many batches, 2 or more; each takes one product with H over all rows.
    seed : int
        Of the draws.

    Returns
    -------
    Estimate
        In rows. A ``G^T H G`` that is not positive is warned of and used as it is: the loss does not bend up along G,
        no step has a best length, and the number implies no batch size.

    Raises
    ------
    ValueError
        If an argument makes no sense, or the data are a list of batches.
    FloatingPointError
        If a gradient is not finite.

    Notes
    -----
    ::

        B_noise = tr(H S) / (G^T H G),      tr(H S) c(m) = E d^T H d,      d = g_m - G

    The second holds for every m, so that batches of one size give the first. H is the Hessian of f at x.

    Source: McCandlish, Kaplan & Amodei 2018, equation (2.8). Explained in the chapter
    `A noisy compass <https://flatlab.github.io/flatlab/book/noisy_compass.html>`_.
    """
    x = _point(f, x, "hessian_noise_scale", "hessian")
    batch_size = door.count("batch_size", batch_size, 1, f.rows - 1, "a number of rows")
    draw = _draws(f, batch_size, samples, seed)
    full, hessian = f.gradient(x)[1], f.hessian(x)

    def curvature(v):
        return (v @ (hessian @ v)).double()

    along = curvature(full)
    if along <= 0:
        warnings.warn(
            f"G^T H G is {along:.2g}: the loss does not bend up along the gradient, so this noise "
            "scale implies no batch size.",
            RuntimeWarning,
            stacklevel=3,
        )
    noise = torch.stack([curvature(f.subset(draw(batch_size)).gradient(x)[1] - full) for _ in range(samples)])
    return _ratio(noise / _share(f, batch_size), along.expand(samples))


@in_own_arithmetic
def gradient_variance(
    f: MeanFunction, x: torch.Tensor | None = None, *, samples: int | None = None, seed: int = 0
) -> Estimate:
    """The variance of the per-example gradients, from every row's own gradient.

    Parameters
    ----------
    f : Objective
        Over two tensors, (inputs, targets).
    x : Tensor, optional
        A point of f; f.x without one.
    samples : int, optional
        How many rows to draw without replacement, 2 or more; without it all, and the standard error is 0.
    seed : int
        Of the draws.

    Returns
    -------
    Estimate
        Of the gradients only the lengths are kept.

    Raises
    ------
    ValueError
        If a row has no gradient of its own, or the samples do not fit.
    FloatingPointError
        If a gradient is not finite.

    Notes
    -----
    ::

        tr(S) = 1/N sum_i |g_i - G|^2

    Divided by ``|G|^2``, with G from `f.gradient(x)[1]`, it is B_simple of `noise_scale`, without sampling.

    Source: McCandlish, Kaplan & Amodei 2018, equation (2.9). Explained in the chapter
    `A noisy compass <https://flatlab.github.io/flatlab/book/noisy_compass.html>`_.
    """
    x = _point(f, x, "gradient_variance", "outputs", "loss", "chunks")
    _refuse_single_rows(f)
    if samples is not None:
        samples = door.count("samples", samples, 2, f.rows, "rows to draw, or None for all of them")
    drawn = f if samples is None else f.subset(_draws(f, 1, samples, seed)(samples))
    full = f.gradient(x)[1]
    lengths = []
    for inputs, targets, _ in drawn.chunks():
        held = max(1, GRADIENTS_HELD[x.device.type] // f.size)
        for part in zip(inputs.split(held), targets.split(held)):
            lengths += [_square(one - full) for one in _per_example(f, x, *part)]
    mean = Estimate.mean(_finite(torch.stack(lengths)))
    unseen = 1 - drawn.rows / f.rows  # of a finite population
    return Estimate(mean.value, mean.stderr * sqrt(unseen) if unseen else 0.0, mean.samples)


def _per_example(f: MeanFunction, x: torch.Tensor, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Every row's own gradient, of shape (rows, n)."""

    def gradient(one, target):
        return grad(lambda x: f.loss(f.outputs(x, one[None]), target[None].clone()))(x)

    with sdpa_kernel(SDPBackend.MATH):  # vmap has no rule for the fused attention
        try:
            return vmap(gradient)(inputs, targets)
        except RuntimeError:  # nor for some other layers; and where the memory is used up, it may suffice for one row
            pass
        try:
            return torch.stack([gradient(*row) for row in zip(inputs, targets)])
        except (RuntimeError, ValueError, AssertionError) as error:
            if is_used_up(error):
                raise
            raise ValueError(
                "a row has no gradient of its own, because the network or the loss does not take one row alone "
                f"({door.reason(error)}): take noise_scale, with batches."
            ) from error


def _point(f: MeanFunction, x: torch.Tensor | None, measurement: str, *members: str) -> torch.Tensor:
    """The point to measure an f at whose rows can be drawn, of which there are two or more."""
    x = door.point(f, x, measurement, *DRAWN, *members)
    if f.rows < 2:
        raise ValueError(
            f"{measurement} takes two rows or more, because a single row's gradient is that over all rows and has no "
            "noise, and this objective has one."
        )
    return x


def _draws(f: MeanFunction, smallest: int, samples: int, seed: int) -> Callable[[int], torch.Tensor]:
    """A function that draws so many rows without replacement, from a generator of its own."""
    door.count("samples", samples, 2, what="because a standard error needs them")
    if smallest == 1:
        _refuse_single_rows(f)
    f.subset([0])  # refuses data in batches
    generator = torch.Generator("cpu").manual_seed(door.seed(seed))
    return lambda count: torch.randperm(f.rows, generator=generator, device="cpu")[:count]


def _refuse_single_rows(f: MeanFunction) -> None:
    if not getattr(f, "additive", True):
        raise ValueError(
            "the loss is not a mean over the rows, or the outputs for a row depend on other rows, so that a row has no "
            "gradient of its own."
        )
    if f.batch_norm != "frozen" and door.has_batch_norm(f):
        raise ValueError(
            f"with batch_norm={f.batch_norm!r} a row's loss depends on other rows, so it has no "
            "gradient of its own: take batches of 2 rows or more, or batch_norm='frozen'."
        )


def _share(f: MeanFunction, m: int) -> float:
    """c(m): the variance of a batch's gradient, as a share of tr(S)."""
    return (1 / m - 1 / f.rows) * f.rows / (f.rows - 1)


def _square(vector: torch.Tensor) -> torch.Tensor:
    """The squared length of a vector, in float64; of many at once torch takes it at a seventh of the speed."""
    return torch.linalg.vector_norm(vector, dtype=torch.float64).square()


def _ratio(above: torch.Tensor, below: torch.Tensor) -> Estimate:
    """mean(above) / mean(below) over paired samples, with the standard error by the delta method: that of
    mean(above - ratio below) / mean(below)."""
    ratio = _finite(above).mean() / _finite(below).mean()
    rest = Estimate.mean(above - ratio * below)
    return Estimate(ratio.item(), (rest.stderr / below.mean().abs()).item(), len(above))


def _finite(values: torch.Tensor) -> torch.Tensor:
    if not values.isfinite().all():
        raise FloatingPointError("a gradient is not finite at this point, so its noise cannot be measured.")
    return values
