"""f(x): a network and a data split as one function of one flat vector.

Everything that is measured in this package is measured through an `Objective`. It works on a copy of the network, so
the user's own model keeps its parameters, buffers, gradients, modes and hooks, whatever happens here.
"""

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from flatlab import refusals
from flatlab.accuracy import Answers
from flatlab.chunks import Chunks, Pair, within_memory
from flatlab.data import Split
from flatlab.formulas import by_formula
from flatlab.generators import undisturbed
from flatlab.hessian import CHECKPOINTED, CUT, NO_GRADIENT, GaussNewton, Hessian, ProductMethod
from flatlab.measure import door, memory
from flatlab.measure.arithmetic import own_arithmetic
from flatlab.nets import NetName, build
from flatlab.wrappers import copied, unwrap_parts, unwrapped

#: By which statistics BatchNorm layers normalise, as `Objective` explains it.
BatchNormPolicy = Literal["batch", "frozen", "recompute"]
BATCH_NORM_POLICIES: tuple[BatchNormPolicy, ...] = get_args(BatchNormPolicy)
#: What a loss is over the rows of a batch, their mean or their sum.
Reduction = Literal["mean", "sum"]
REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)

#: A function of a network's outputs and the targets, which returns one number for a batch.
Loss: TypeAlias = Callable[[Any, torch.Tensor], torch.Tensor]


class Objective:
    """The mean loss of a network over a data split, as a function f(x) of the flat parameter vector x in `R^n`.

    Parameters
    ----------
    net : str or nn.Module
        A name of `flatlab.build`, e.g. "F1", or a network of your own. Only its parameters with requires_grad are part
        of x.
    split : Split, pair of Tensor, or iterable of such pairs
        Inputs and targets with N rows each. For data larger than memory a list or DataLoader of such pairs, the same at
        every reading.
    loss : callable
        loss(outputs, targets) -> one number for a batch.
    reduction : {"mean", "sum"}
        What that number is over the batch's rows.
    batch_norm : {"batch", "frozen", "recompute"}
        How BatchNorm layers normalise. "batch": each evaluated batch by its own statistics (the paper's code).
        "frozen": by the running averages that the network holds. "recompute": by statistics pooled over the whole
        split, at every x anew.
    chunk : int
        Most rows evaluated at once, in as equal parts as can be; a list's own batches are left as they are. Chunks are
        weighted by their size, so the answer does not depend on it, with one exception: under "batch" the chunk *is*
        the evaluated batch (5000 in the paper's code). Where a GPU's memory is used up and the answer does not depend
        on it, the chunks are halved, with a warning.

    Attributes
    ----------
    x : Tensor
        The network's own point, of shape (n,), on the data's device (the network's own, where the data are batches).
    size : int
        n, the number of parameters.
    rows : int
        N, the number of rows.
    names : list of str
        The parameters that x is made of, in their order.
    model : nn.Module
        The copy of the network.

    Raises
    ------
    ValueError
        When net, split and loss do not fit, when the loss is not what reduction says, or when the outputs or the
        batches are random in evaluation mode.

    Notes
    -----
    The function is the paper's equation (1)::

        f(x) = 1/N sum_i f_i(x),    f_i(x) = loss(net_x(input_i), target_i)

    The checks made here evaluate a few rows, of a network that counts its evaluations up to a hundred times. What it
    does only later, or counts where neither its modules nor its buffers hold it, they cannot see.

    Source: Keskar et al. 2017. Explained in the chapter
    [Measuring sharpness](https://flatlab.github.io/flatlab/book/measuring_sharpness.html).
    """

    # What the checks at the door found out, for the measurements to use.
    needs_graph: bool  # the net differentiates in its own forward
    draws: bool  # the net draws random numbers, which change nothing
    cut: str | None  # a parameter that the loss moves with, and has no gradient by
    additive: bool  # the loss is a mean or a sum over the rows
    single: bool  # the outputs are one tensor
    classes: int | None  # the dimension of the outputs along which the classes lie
    ignored: tuple  # targets that the loss leaves out
    drawn = False  # whether these are some of the rows of another

    def __init__(
        self,
        net: NetName | nn.Module,
        split: Split | Pair | Iterable[Pair],
        *,
        loss: Loss = cross_entropy,
        reduction: Reduction = "mean",
        batch_norm: BatchNormPolicy = "batch",
        chunk: int = 5000,
    ) -> None:
        if batch_norm not in BATCH_NORM_POLICIES:
            raise ValueError(f"batch_norm is {batch_norm!r}: choose one of {', '.join(BATCH_NORM_POLICIES)}.")
        if reduction not in REDUCTIONS:
            raise ValueError(
                f"reduction is {reduction!r}: say whether the loss is the 'mean' or the 'sum' over the rows."
            )
        chunk = door.count("chunk", chunk, what="the most rows evaluated at once")
        door.instance(loss, Callable, "loss is a function of (outputs, targets), as torch's cross_entropy")  # type: ignore[arg-type]
        door.instance(net, (str, nn.Module), "an Objective takes an nn.Module, or a name such as 'F1'")
        self.loss, self.reduction, self.batch_norm, self.chunk = loss, reduction, batch_norm, chunk
        self._take(Chunks(split, self.chunk))
        memory.within(
            lambda: self._make(net, split),
            lambda reason: (
                f"the memory does not suffice for an Objective, which holds a copy of the network ({reason}): take a "
                "device with more of it, or a smaller network."
            ),
        )

    def _make(self, net: NetName | nn.Module, split: Split | Pair | Iterable[Pair]) -> None:
        with own_arithmetic(torch.device("cpu")):
            self.model = build(net, split) if isinstance(net, str) else copied(net)  # type: ignore[arg-type]
            self._settle(None if self.data.batches is not None else self.inputs.device)
        with own_arithmetic(self.x.device):
            refusals.check(self, None if isinstance(net, str) else unwrapped(net))

    def _take(self, data: Chunks) -> None:
        self.data, self.rows = data, data.rows
        if data.batches is None:
            self.inputs, self.targets = data.inputs, data.targets

    def _settle(self, device: torch.device | None) -> None:
        """Find x in the network and bring the network into the state in which it is measured."""
        trainable = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        if not any(p.numel() for p in trainable.values()):
            raise ValueError(
                "the network has no parameter with requires_grad, or only empty ones: there is no x to measure."
            )
        kinds = {p.dtype for p in trainable.values()}
        if not kinds <= {torch.float32, torch.float64}:
            raise ValueError(
                f"the network has parameters of type {', '.join(sorted(map(str, kinds)))}: measure a copy of it in "
                "float32 or float64, as copy.deepcopy(net).float()."
            )
        if device is not None:
            self.model.to(device)
        unwrap_parts(self.model)
        by_formula(self.model)
        trainable = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.names, self._parameters = list(trainable), list(trainable.values())
        self.shapes, self.sizes = [p.shape for p in self._parameters], [p.numel() for p in self._parameters]
        self.size = sum(self.sizes)
        self._shared = len(list(self.model.named_parameters(remove_duplicate=False))) > len(
            list(self.model.parameters())
        )
        self.x = torch.cat([p.detach().flatten() for p in self._parameters])
        self._point = torch.empty_like(self.x)
        self.model.requires_grad_(False)
        self.model.eval()
        self.norms = [m for m in self.model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        self._set_batch_norm()

    def __repr__(self) -> str:
        return (
            f"Objective({self.size:,} parameters, {self.rows:,} rows, batch_norm={self.batch_norm!r}, "
            f"chunk={self.chunk})"
        )

    def value(self, x: torch.Tensor | None = None) -> float:
        """The value at a point.

        Parameters
        ----------
        x : Tensor, optional
            A point, of shape (n,); f.x without one.

        Returns
        -------
        float
            f(x). The sum over the rows is accumulated in float64.
        """
        return self.loss_and_accuracy(x, accuracy=False)[0]

    def accuracy(self, x: torch.Tensor | None = None) -> float | None:
        """The accuracy at a point.

        Parameters
        ----------
        x : Tensor, optional
            A point, of shape (n,); f.x without one.

        Returns
        -------
        float or None
            The share of the rows whose largest output is their target, in percent; None where `loss_and_accuracy` has
            none.
        """
        return self.loss_and_accuracy(x)[1]

    @within_memory
    def loss_and_accuracy(self, x: torch.Tensor | None = None, accuracy: bool = True) -> tuple[float, float | None]:
        """The value and the accuracy at a point, in one pass.

        Parameters
        ----------
        x : Tensor, optional
            A point, of shape (n,); f.x without one.
        accuracy : bool
            Whether the accuracy is asked for.

        Returns
        -------
        loss : float
            f(x).
        accuracy : float or None
            In percent; None when it is not asked for, or when the outputs are not scores of classes that the targets
            number. Negative targets and those that the loss ignores are not counted.
        """
        x = self.x if x is None else x
        with self.settings(), torch.no_grad():
            self._prepare(x)
            self.load(x)
            losses = _Sum()
            answers = Answers(self.classes, self.ignored) if accuracy else None
            for inputs, targets, weight in self.chunks():
                with torch.set_grad_enabled(self.needs_graph):
                    outputs, value = self._evaluate(inputs, targets)
                    if answers:
                        answers.add(outputs, targets)
                    losses.add(weight, value)
            return losses.value(), answers.percent() if answers else None

    @within_memory
    def gradient(self, x: torch.Tensor | None = None) -> tuple[float, torch.Tensor]:
        """The value and the gradient at a point, in one pass over the data.

        Parameters
        ----------
        x : Tensor, optional
            A point, of shape (n,); f.x without one.

        Returns
        -------
        value : float
            f(x).
        gradient : Tensor
            `grad f(x)`, of shape (n,).

        Raises
        ------
        ValueError
            When the loss has no gradient, none by a parameter that it moves with, or none chunk by chunk.
        """
        x = self.x if x is None else x
        with self.settings(), torch.no_grad():
            self.prepare_gradient(x)
            self.load(x)
            losses, gradient = _Sum(), torch.zeros_like(x)
            for parameter, share in zip(self._parameters, self._views(gradient)):
                parameter.requires_grad_().grad = share  # the backward passes add into the one flat vector
            try:
                for inputs, targets, weight in self.chunks():
                    with torch.enable_grad():
                        value = self._evaluate(inputs, targets)[1]
                        losses.add(weight, value)
                        self._backward(value if weight == 1 else weight * value)
            finally:
                for parameter in self._parameters:
                    parameter.requires_grad_(False).grad = None
            return losses.value(), gradient

    def _evaluate(self, inputs: torch.Tensor, targets: torch.Tensor) -> tuple[Any, torch.Tensor]:
        """The outputs and the loss of a chunk. Rows that were drawn may be fewer than what was seen at the door."""
        try:
            outputs = self.model(inputs)
        except (RuntimeError, ValueError, AssertionError) as error:
            if not self.drawn or memory.is_used_up(error):
                raise
            raise ValueError(refusals.what_fails(self, inputs, targets, error)) from error
        return outputs, self.loss(outputs, targets)

    def settings(self) -> AbstractContextManager[None]:
        """What every evaluation is made in: own arithmetic, and no trace in a generator that the network draws from."""
        own = own_arithmetic(self.x.device)
        return undisturbed(self.x.device, own) if self.draws else own

    def _backward(self, value: torch.Tensor) -> None:
        if not value.requires_grad:
            raise ValueError(NO_GRADIENT)
        try:
            value.backward(inputs=self._parameters)
        except RuntimeError as error:
            if "checkpoint" not in str(error):
                raise
            raise ValueError(CHECKPOINTED) from error

    def hessian(
        self, x: torch.Tensor | None = None, *, names: Sequence[str] | None = None, method: ProductMethod | None = None
    ) -> Hessian:
        """The operator `v -> grad^2 f(x) v`: see `flatlab.hessian.Hessian`."""
        return Hessian(self, x, names=names, method=method)

    def gauss_newton(self, x: torch.Tensor | None = None, *, names: Sequence[str] | None = None) -> GaussNewton:
        """The operator `v -> G v`, the Hessian without the net's own curvature: see `flatlab.hessian.GaussNewton`."""
        return GaussNewton(self, x, names=names)

    def subset(self, numbers: torch.Tensor | Sequence[int]) -> "Objective":
        """The same network's loss over some of the rows.

        Parameters
        ----------
        numbers : Tensor or sequence of int
            The rows' numbers, each from 0 to `N - 1`.

        Returns
        -------
        Objective
            It shares the network with this one.

        Raises
        ------
        ValueError
            When the data are batches, from which rows cannot be picked, and when the loss is no mean over the rows.
        """
        part = copy.copy(self)
        part.drawn = True
        part._take(self.data.subset(numbers))
        if not self.additive:
            raise ValueError(
                "the loss is not a mean over the rows, or the outputs for a row depend on other rows, so some of the "
                "rows are another function: what draws rows (groups, batches, noise) has no meaning for it."
            )
        return part

    def load(self, x: torch.Tensor) -> None:
        """Copy a point into the network, whose parameters are views of one flat vector."""
        with torch.no_grad():
            if (
                self._parameters[0].data_ptr() != self._point.data_ptr()
            ):  # in a copy of this objective they are none yet
                for parameter, part in zip(self._parameters, self._views(self._point)):
                    parameter.data = part
            self._point.copy_(x)

    def outputs(self, x: torch.Tensor, inputs: torch.Tensor) -> Any:
        """The network's outputs for some inputs at the point x. Differentiable in x."""
        with self.settings():
            parameters = dict(zip(self.names, self._views(x)))
            return functional_call(self.model, parameters, (inputs.clone(),), tie_weights=self._shared)

    def _views(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The parameters at the point x: views of it."""
        return [part.view_as(parameter) for part, parameter in zip(x.split(self.sizes), self._parameters)]

    def chunks(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, float]]:
        """(inputs, targets, weight), on the point's device; f is the sum of weight times the chunk's loss.

        They are copies, because a network or a loss may change what it is given.
        """
        for inputs, targets in self.data:
            weight = (len(targets) if self.reduction == "mean" else 1) / self.rows
            yield self.placed(inputs), self.placed(targets), weight

    def placed(self, rows: torch.Tensor) -> torch.Tensor:
        """A copy of some rows on the point's device; real numbers in the point's type."""
        return rows.to(self.x.device, self.x.dtype if rows.is_floating_point() else None, copy=True)

    def prepare_gradient(self, x: torch.Tensor) -> None:
        """Refuse what is no point of this objective, parameters by which torch has no gradient, and statistics whose
        dependence on x spans several chunks."""
        if self.cut:
            raise ValueError(
                f"the loss moves with {self.cut} and has no gradient by it, because between them there is {CUT}: take "
                "that out of the network, or the parameter out of x (requires_grad_(False)) before making an Objective."
            )
        if self.batch_norm == "recompute" and self.norms and self.count > 1:
            raise ValueError(
                "with batch_norm='recompute' the pooled statistics depend on x, and their gradient needs all "
                f"{self.rows:,} rows in one chunk: pass chunk={self.rows}, or another batch_norm."
            )
        self._prepare(x)

    @property
    def count(self) -> int:
        """How many chunks there are."""
        return len(self.data)

    def halve(self, reason: str) -> None:
        """Make the chunks half as large, and warn of it, because the device's memory is used up.

        Parameters
        ----------
        reason : str
            What the device said.

        Raises
        ------
        UsedUp
            Where they cannot be smaller, or where that would measure another function.
        """
        rows = -(-self.rows // self.count) if self.data.batches is None else max(self.data.sizes)
        used = f"the memory of {self.x.device} is used up by {rows:,} rows at once ({reason})"
        if rows == 1:
            advice = "this network needs another device"
        elif self.data.batches is not None:
            advice = "pass batches of fewer rows"
        elif not self.additive:
            advice = "the loss is not a mean over the rows, so that it needs all of them at once: pass fewer rows"
        elif self.norms and self.batch_norm != "frozen":
            advice = (
                f"pass chunk={rows // 2} if that is what you want to measure, because under "
                f"batch_norm={self.batch_norm!r} the chunk is part of the function"
            )
        else:
            self.chunk = self.data.most = rows // 2
            if self.x.is_cuda:
                torch.cuda.empty_cache()
            warnings.warn(
                f"{used}: it goes on with {self.chunk:,} at once; for an Objective chunk={self.chunk} says so from the "
                "start.",
                stacklevel=4,
            )
            return
        raise memory.UsedUp(f"{used}: {advice}.")

    def _check(self, x):
        door.instance(x, torch.Tensor, "a point of this objective is a vector like f.x or run.x")
        if x.shape != self.x.shape or x.device != self.x.device or x.dtype != self.x.dtype:
            raise ValueError(
                f"a point of this objective is a vector of {self.size:,} {self.x.dtype} on {self.x.device}, "
                f"but this one has shape {tuple(x.shape)}, {x.dtype}, on {x.device}."
            )

    def _prepare(self, x):
        self._check(x)
        if self.batch_norm == "recompute":
            for norm in self.norms:  # without averages torch takes the chunk's own statistics
                norm.running_mean = norm.running_var = None
            if self.norms and self.count > 1:
                self._pool_statistics(x)

    def _set_batch_norm(self):
        for norm in self.norms:
            if self.batch_norm == "frozen" and norm.running_mean is None:
                raise ValueError(
                    "batch_norm='frozen' needs running averages, and this network has none: "
                    "build it with running_averages=True, or choose 'batch' or 'recompute'."
                )
            if self.batch_norm != "frozen":  # without averages torch uses the batch's own statistics
                norm.track_running_stats = False
                norm.running_mean = norm.running_var = norm.num_batches_tracked = None

    def _pool_statistics(self, x):
        """Give every BatchNorm layer the mean and variance of its inputs pooled over all chunks.

        A layer's inputs depend on the layers before it. Each pass makes at least one more layer exact, whatever their
        order, so as many passes as there are layers make all of them exact.
        """
        for _ in self.norms:
            sums = {norm: [0.0, 0.0] for norm in self.norms}

            def add(norm, arguments, sums=sums):
                values = arguments[0].double().transpose(0, 1).flatten(1)
                sums[norm][0] += values.shape[1]
                sums[norm][1] += torch.stack([values.sum(1), values.square().sum(1)])

            hooks = [norm.register_forward_pre_hook(add) for norm in self.norms]
            self.load(x)
            try:
                for inputs, _, _ in self.chunks():
                    self.model(inputs)
            finally:
                for hook in hooks:
                    hook.remove()
            for norm, (count, totals) in sums.items():
                mean, square = totals / count
                norm.running_mean = mean.to(x.dtype)
                norm.running_var = (square - mean.square()).clamp_min(0).to(x.dtype)


class _Sum:
    """A weighted sum of numbers that lie on a device, in float64, with one wait for the device."""

    def __init__(self) -> None:
        self.weights: list[float] = []
        self.numbers: list[torch.Tensor] = []

    def add(self, weight: float, number: torch.Tensor) -> None:
        self.weights.append(weight)
        self.numbers.append(number.detach())

    def value(self) -> float:
        numbers = torch.stack(self.numbers).tolist() if len(self.numbers) > 1 else [self.numbers[0].item()]
        total = 0.0
        for weight, number in zip(self.weights, numbers):  # one after the other, as sum() does it before Python 3.12
            total += weight * number
        return total
