"""f(x): a network and a data split as one function of one flat vector.

Everything that is measured in this package is measured through an `Objective`. It works on a copy of the network, so
the user's own model keeps its parameters, buffers, gradients, modes and hooks, whatever happens here.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from flatlab.data import Split
from flatlab.formulas import by_formula
from flatlab.hessian import GaussNewton, Hessian, ProductMethod
from flatlab.nets import NetName, build

BatchNormPolicy = Literal["batch", "frozen", "recompute"]
BATCH_NORM_POLICIES: tuple[BatchNormPolicy, ...] = get_args(BatchNormPolicy)
Reduction = Literal["mean", "sum"]
REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)

Pair: TypeAlias = tuple[torch.Tensor, torch.Tensor]  # inputs and targets, with as many rows
Loss: TypeAlias = Callable[[Any, torch.Tensor], torch.Tensor]  # of the network's outputs and the targets


class Objective:
    """The mean loss of a network over a data split, as a function f(x) of the flat parameter vector x in R^n.

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
        the evaluated batch (5000 in the paper's code).

    Attributes
    ----------
    x : Tensor
        The network's own point, of shape (n,), on its device.
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

        f(x) = 1/N sum_i loss(net_x(input_i), target_i)

    Source: Keskar et al. 2017. Explained in the chapter
    [Measuring sharpness](https://flatlab.github.io/flatlab/book/measuring_sharpness.html).
    """

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
        if int(chunk) < 1:
            raise ValueError(f"chunk is {chunk}: it is a number of rows, 1 or more.")
        self.loss, self.reduction, self.batch_norm, self.chunk = loss, reduction, batch_norm, int(chunk)
        self._read(split)
        self.model = build(net, split) if isinstance(net, str) else _copy(net)  # type: ignore[arg-type]
        if self._batches is None:
            self.model.to(self.inputs.device)  # where `train` trains: the copy goes to the data
        trainable = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        if not trainable:
            raise ValueError("the network has no parameter with requires_grad: there is no x to measure.")
        kinds = {p.dtype for p in trainable.values()}
        if not kinds <= {torch.float32, torch.float64}:
            raise ValueError(
                f"the network has parameters of type {', '.join(sorted(map(str, kinds)))}: measure a copy of it in "
                "float32 or float64, as copy.deepcopy(net).float()."
            )
        by_formula(self.model)
        self.names, self.shapes = list(trainable), [p.shape for p in trainable.values()]
        self.sizes = [p.numel() for p in trainable.values()]
        self.size = sum(self.sizes)
        self._shared = len(list(self.model.named_parameters(remove_duplicate=False))) > len(
            list(self.model.parameters())
        )
        self.x = torch.cat([p.detach().flatten() for p in trainable.values()])
        self.model.requires_grad_(False)
        self.model.eval()
        self._norms = [m for m in self.model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        self._set_batch_norm()
        self._check_repeats()

    def __repr__(self) -> str:
        return (
            f"Objective({self.size:,} parameters, {self.rows:,} rows, batch_norm={self.batch_norm!r}, "
            f"chunk={self.chunk})"
        )

    def value(self, x: torch.Tensor) -> float:
        """The value at a point.

        Parameters
        ----------
        x : Tensor
            A point, of shape (n,).

        Returns
        -------
        float
            f(x). The sum over the rows is accumulated in float64.
        """
        return self.loss_and_accuracy(x, accuracy=False)[0]

    def accuracy(self, x: torch.Tensor) -> float | None:
        """The accuracy at a point.

        Parameters
        ----------
        x : Tensor
            A point, of shape (n,).

        Returns
        -------
        float or None
            The share of the rows whose largest output is their target, in percent; None where `loss_and_accuracy` has
            none.
        """
        return self.loss_and_accuracy(x)[1]

    @torch.no_grad()
    def loss_and_accuracy(self, x: torch.Tensor, accuracy: bool = True) -> tuple[float, float | None]:
        """The value and the accuracy at a point, in one pass.

        Parameters
        ----------
        x : Tensor
            A point, of shape (n,).
        accuracy : bool
            Whether the accuracy is asked for.

        Returns
        -------
        loss : float
            f(x).
        accuracy : float or None
            In percent; None when it is not asked for, or when the targets are not class numbers, one for each vector of
            outputs.
        """
        self._prepare(x)
        loss = torch.zeros((), dtype=torch.float64, device=x.device)
        correct = torch.zeros((), dtype=torch.int64, device=x.device)
        answers = 0
        for inputs, targets, weight in self.chunks():
            outputs = self.outputs(x, inputs)
            loss += weight * self.loss(outputs, targets).double()
            classes = accuracy and torch.is_tensor(outputs) and not targets.is_floating_point()
            if classes and outputs.shape[:-1] == targets.shape:
                correct += (outputs.argmax(-1) == targets).sum()
                answers += targets.numel()
        return loss.item(), 100 * correct.item() / answers if answers else None

    def gradient(self, x: torch.Tensor) -> tuple[float, torch.Tensor]:
        """The value and the gradient at a point, in one pass over the data.

        Parameters
        ----------
        x : Tensor
            A point, of shape (n,).

        Returns
        -------
        value : float
            f(x).
        gradient : Tensor
            grad f(x), of shape (n,).

        Raises
        ------
        ValueError
            When the loss has no gradient, or none chunk by chunk.
        """
        self.prepare_gradient(x)
        loss = torch.zeros((), dtype=torch.float64, device=x.device)
        gradient = torch.zeros_like(x)
        parts = self._named(x.detach())
        for name, share in self._named(gradient).items():
            parts[name].requires_grad_().grad = share  # the backward passes add into the one flat vector
        with torch.enable_grad():
            for inputs, targets, weight in self.chunks():
                value = self.loss(self._outputs(parts, inputs), targets)
                if not value.requires_grad:
                    raise ValueError(
                        "the loss has no gradient: somewhere between the parameters and it there is an argmax, a "
                        "detach() or a no_grad()."
                    )
                loss += weight * value.detach().double()
                (weight * value).backward(inputs=list(parts.values()))
        return loss.item(), gradient

    def hessian(
        self, x: torch.Tensor | None = None, *, names: Sequence[str] | None = None, method: ProductMethod | None = None
    ) -> Hessian:
        """The operator v -> grad^2 f(x) v: see `Hessian`."""
        return Hessian(self, x, names=names, method=method)

    def gauss_newton(self, x: torch.Tensor | None = None, *, names: Sequence[str] | None = None) -> GaussNewton:
        """The operator v -> G v, the Hessian without the network's own curvature: see `GaussNewton`."""
        return GaussNewton(self, x, names=names)

    def subset(self, numbers: torch.Tensor | Sequence[int]) -> "Objective":
        """The same network's loss over some of the rows.

        Parameters
        ----------
        numbers : Tensor or sequence of int
            The rows' numbers, each from 0 to N - 1.

        Returns
        -------
        Objective
            It shares the network with this one.

        Raises
        ------
        ValueError
            When the data are batches, from which rows cannot be picked.
        """
        if self._batches is not None:
            raise ValueError(
                "rows cannot be picked from a list of batches: pass the data as two tensors (inputs, targets)."
            )
        part = copy.copy(self)
        part.inputs, part.targets, part.rows = self.inputs[numbers], self.targets[numbers], len(numbers)
        return part

    def outputs(self, x: torch.Tensor, inputs: torch.Tensor) -> Any:
        """The network's outputs for some inputs at the point x. Differentiable in x."""
        return self._outputs(self._named(x), inputs)

    def _outputs(self, parameters, inputs):
        return functional_call(self.model, parameters, (inputs,), tie_weights=self._shared)

    def _named(self, x):
        """The parameters at the point x, by name: views of it."""
        return {name: part.view(shape) for name, part, shape in zip(self.names, x.split(self.sizes), self.shapes)}

    def chunks(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, float]]:
        """(inputs, targets, weight), on the point's device; f is the sum of weight times the chunk's loss."""
        for inputs, targets in self._parts():
            if inputs.is_floating_point():
                inputs = inputs.to(self.x.dtype)
            weight = (len(targets) if self.reduction == "mean" else 1) / self.rows
            yield inputs.to(self.x.device), targets.to(self.x.device), weight

    def prepare_gradient(self, x: torch.Tensor) -> None:
        """Refuse what is no point of this objective, and statistics whose dependence on x spans several chunks."""
        if self.batch_norm == "recompute" and self._norms and self.count > 1:
            raise ValueError(
                "with batch_norm='recompute' the pooled statistics depend on x, and their gradient needs all "
                f"{self.rows:,} rows in one chunk: pass chunk={self.rows}, or another batch_norm."
            )
        self._prepare(x)

    @property
    def count(self) -> int:
        """How many chunks there are."""
        return -(-self.rows // self.chunk) if self._batches is None else len(self._sizes)

    def _read(self, split):
        """Take the data: two tensors, or batches that are read once to count their rows."""
        self._batches = None
        if hasattr(split, "x"):
            split = (split.x, split.y)
        if isinstance(split, (tuple, list)) and len(split) == 2 and all(torch.is_tensor(part) for part in split):
            self.inputs, self.targets = split
            self.rows = len(self.targets)
            if len(self.inputs) != self.rows or not self.rows:
                raise ValueError(
                    f"the split has {len(self.inputs)} inputs and {self.rows} targets: "
                    "they must be as many, and at least one."
                )
            return
        if not hasattr(split, "__iter__") or hasattr(split, "__next__"):
            raise ValueError(
                "the data must be two tensors (inputs, targets), or batches of them that can be read again and "
                "again: a list or a DataLoader, not an iterator, which is empty after one reading."
            )
        self._batches = split
        with torch.random.fork_rng(devices=[]):  # a shuffling loader draws an order: it is refused below
            self._sizes = [_count(batch) for batch in self._parts()]
        self.rows = sum(self._sizes)
        if not self.rows:
            raise ValueError("the batches hold no rows: pass at least one (inputs, targets).")

    def _parts(self):
        if self._batches is None:
            yield from zip(self.inputs.tensor_split(self.count), self.targets.tensor_split(self.count))
            return
        with torch.random.fork_rng(devices=[]):  # a DataLoader draws a seed when its reading begins
            batches = iter(self._batches)
        yield from batches

    def _check(self, x):
        if x.shape != self.x.shape or x.device != self.x.device or x.dtype != self.x.dtype:
            raise ValueError(
                f"a point of this objective is a vector of {self.size:,} {self.x.dtype} on {self.x.device}, "
                f"but this one has shape {tuple(x.shape)}, {x.dtype}, on {x.device}."
            )

    def _prepare(self, x):
        self._check(x)
        if self.batch_norm == "recompute":
            for norm in self._norms:  # without averages torch takes the chunk's own statistics
                norm.running_mean = norm.running_var = None
            if self._norms and self.count > 1:
                self._pool_statistics(x)

    def _set_batch_norm(self):
        for norm in self._norms:
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
        for _ in self._norms:
            sums = {norm: [0.0, 0.0] for norm in self._norms}

            def add(norm, arguments, sums=sums):
                values = arguments[0].double().transpose(0, 1).flatten(1)
                sums[norm][0] += values.shape[1]
                sums[norm][1] += torch.stack([values.sum(1), values.square().sum(1)])

            hooks = [norm.register_forward_pre_hook(add) for norm in self._norms]
            try:
                for inputs, _, _ in self.chunks():
                    self.outputs(x, inputs)
            finally:
                for hook in hooks:
                    hook.remove()
            for norm, (count, totals) in sums.items():
                mean, square = totals / count
                norm.running_mean = mean.to(x.dtype)
                norm.running_var = (square - mean.square()).clamp_min(0).to(x.dtype)

    @torch.no_grad()
    def _check_repeats(self):
        """Evaluate a few rows twice: a measurement of a function that is not one would be worthless."""
        devices = [self.x.device] if self.x.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            first = self._first_rows()
            torch.rand(())  # a generator that has gone on must make no difference
            second = self._first_rows()
            inputs, targets = first
            losses = [self.loss(self.outputs(self.x, x), y) for x, y in (first, second)]
            doubled = self.loss(self.outputs(self.x, torch.cat([inputs, inputs])), torch.cat([targets, targets]))
        if losses[0].shape != ():
            raise ValueError(
                f"the loss of a batch must be one number, its mean or sum over the rows, but it has shape "
                f"{tuple(losses[0].shape)}: use reduction='mean' or 'sum' in the loss, and say which."
            )
        if not all(torch.equal(one, other) for one, other in zip(first, second)):
            raise ValueError(
                "the batches differ from one reading to the next: read the same rows in the same order "
                "(shuffle=False, no augmentation)."
            )
        if not torch.allclose(*losses, equal_nan=True):
            raise ValueError(
                "the network gives two different losses for the same rows in evaluation mode: "
                "make it deterministic (dropout, noise or sampling is still on) before measuring it."
            )
        ratio = (doubled / losses[0]).item()  # of the rows taken twice: 1 for a mean, 2 for a sum
        if abs(ratio - {"mean": 2, "sum": 1}[self.reduction]) < 1e-3:
            said = {"mean": "sum", "sum": "mean"}[self.reduction]
            raise ValueError(
                f"the loss is a {said} over the rows, but reduction is {self.reduction!r}: pass reduction={said!r}."
            )

    def _first_rows(self):
        """(inputs, targets) of the first rows."""
        inputs, targets, _ = next(self.chunks())
        return inputs[:64], targets[:64]


def _copy(net):
    """The network again, with nothing shared."""
    try:
        return copy.deepcopy(net)
    except RuntimeError as error:
        raise ValueError(
            "the network cannot be copied, because it keeps a tensor that was computed from its parameters: let its "
            "forward and its hooks keep tensor.detach(), and take weight_norm from "
            "torch.nn.utils.parametrizations."
        ) from error


def _count(batch):
    """How many rows a batch has."""
    if isinstance(batch, (tuple, list)) and len(batch) == 2 and all(torch.is_tensor(part) for part in batch):
        if len(batch[0]) == len(batch[1]):
            return len(batch[1])
        raise ValueError(f"a batch has {len(batch[0])} inputs and {len(batch[1])} targets: they must be as many.")
    raise ValueError(
        "the data must be two tensors (inputs, targets), or batches that are such pairs: turn arrays into tensors, and "
        "let the network or the loss take apart what is more than two."
    )
