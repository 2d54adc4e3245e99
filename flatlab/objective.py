"""f(x): a network and a data split as one function of one flat vector.

Everything that is measured in this package is measured through an `Objective`. It works on a copy of the network, so the user's
own model keeps its parameters, buffers, gradients, modes and hooks, whatever happens here.
"""

import copy

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from flatlab.nets import build

BATCH_NORM = ("batch", "frozen", "recompute")


class Objective:
    """The mean loss f(x) of a network over a data split, as a function of the flat parameter vector x in R^n.

        f(x) = 1/N sum_i loss(net_x(input_i), target_i)

    net         a name ("F1" ...) or any nn.Module; only its parameters with requires_grad are part of x
    split       a `Split`, or a pair (inputs, targets) of tensors with N rows each
    loss        loss(outputs, targets) -> the *mean* over the rows
    batch_norm  "batch"      each evaluated batch is normalised by its own statistics (the paper's code)
                "frozen"     by the running averages the network holds
                "recompute"  by statistics pooled over the whole split, at every x anew
    chunk       most rows evaluated at once, in as equal parts as can be. Chunks are weighted by their size, so the answer does not depend on it, with one
                exception: under "batch" the chunk *is* the evaluated batch (5000 in the paper's code)

    .x      the network's own point, 1-D, on its device      .size   n
    Raises ValueError when net, split and loss do not fit, or when the network's output is random in evaluation mode.

    Source: Keskar et al. 2017, equation (1). Explained in the chapter
    [Measuring sharpness](https://flatlab.github.io/flatlab/book/measuring_sharpness.html).
    """

    def __init__(self, net, split, *, loss=cross_entropy, batch_norm="batch", chunk=5000):
        if batch_norm not in BATCH_NORM:
            raise ValueError(f"batch_norm is {batch_norm!r}: choose one of {', '.join(BATCH_NORM)}.")
        if int(chunk) < 1:
            raise ValueError(f"chunk is {chunk}: it is a number of rows, 1 or more.")
        self.inputs, self.targets = (split.x, split.y) if hasattr(split, "x") else split
        if len(self.inputs) != len(self.targets) or not len(self.inputs):
            raise ValueError(f"the split has {len(self.inputs)} inputs and {len(self.targets)} targets: "
                             "they must be as many, and at least one.")
        self.loss, self.batch_norm, self.chunk = loss, batch_norm, int(chunk)
        self.model = build(net, split) if isinstance(net, str) else copy.deepcopy(net)
        trainable = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        if not trainable:
            raise ValueError("the network has no parameter with requires_grad: there is no x to measure.")
        self.names, self.shapes = list(trainable), [p.shape for p in trainable.values()]
        self.sizes = [p.numel() for p in trainable.values()]
        self.size = sum(self.sizes)
        self.x = torch.cat([p.detach().flatten() for p in trainable.values()])
        self.model.requires_grad_(False)
        self.model.eval()
        self._norms = [m for m in self.model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        self._set_batch_norm()
        self._check_repeats()

    def __repr__(self):
        return f"Objective({self.size:,} parameters, {len(self.inputs):,} rows, batch_norm={self.batch_norm!r}, chunk={self.chunk})"

    def value(self, x):
        """f(x), a float. The sum over the rows is accumulated in float64."""
        return self.loss_and_accuracy(x, accuracy=False)[0]

    def accuracy(self, x):
        """The share of the rows whose largest output is their target, in percent."""
        return self.loss_and_accuracy(x)[1]

    @torch.no_grad()
    def loss_and_accuracy(self, x, accuracy=True):
        """(f(x), accuracy in percent) in one pass; the accuracy is None when it is not asked for."""
        self._prepare(x)
        loss = torch.zeros((), dtype=torch.float64, device=x.device)
        correct = torch.zeros((), dtype=torch.int64, device=x.device)
        for inputs, targets, share in self._chunks():
            outputs = self.outputs(x, inputs)
            loss += share * self.loss(outputs, targets).double()
            if accuracy:
                correct += (outputs.argmax(-1) == targets).sum()
        return loss.item(), 100 * correct.item() / len(self.targets) if accuracy else None

    def gradient(self, x):
        """(f(x), grad f(x)): a float and a vector of size n, in one pass over the data."""
        if self.batch_norm == "recompute" and self._norms and len(self.inputs) > self.chunk:
            raise ValueError("with batch_norm='recompute' the pooled statistics depend on x, and their gradient needs all "
                             f"{len(self.inputs):,} rows in one chunk: pass chunk={len(self.inputs)}, or another batch_norm.")
        self._check(x)
        x = x.detach().requires_grad_()
        loss = torch.zeros((), dtype=torch.float64, device=x.device)
        gradient = torch.zeros_like(x)
        with torch.enable_grad():
            for inputs, targets, share in self._chunks():
                value = self.loss(self.outputs(x, inputs), targets)
                loss += share * value.detach().double()
                gradient.add_(torch.autograd.grad(value, x)[0], alpha=share)
        return loss.item(), gradient

    def outputs(self, x, inputs):
        """The network's outputs at the point x. Differentiable in x."""
        views = (part.view(shape) for part, shape in zip(x.split(self.sizes), self.shapes))
        return functional_call(self.model, dict(zip(self.names, views)), (inputs,))

    def _chunks(self):
        """(inputs, targets, share of all rows), on the point's device; sizes differ by one row at the most."""
        count = -(-len(self.targets) // self.chunk)
        for inputs, targets in zip(self.inputs.tensor_split(count), self.targets.tensor_split(count)):
            if inputs.is_floating_point():
                inputs = inputs.to(self.x.dtype)
            yield inputs.to(self.x.device), targets.to(self.x.device), len(targets) / len(self.targets)

    def _check(self, x):
        if x.shape != self.x.shape or x.device != self.x.device or x.dtype != self.x.dtype:
            raise ValueError(f"a point of this objective is a vector of {self.size:,} {self.x.dtype} on {self.x.device}, "
                             f"but this one has shape {tuple(x.shape)}, {x.dtype}, on {x.device}.")

    def _prepare(self, x):
        self._check(x)
        if self.batch_norm == "recompute" and self._norms and len(self.inputs) > self.chunk:
            self._pool_statistics(x)

    def _set_batch_norm(self):
        for norm in self._norms:
            if self.batch_norm == "frozen" and norm.running_mean is None:
                raise ValueError("batch_norm='frozen' needs running averages, and this network has none: "
                                 "build it with running_averages=True, or choose 'batch' or 'recompute'.")
            if self.batch_norm != "frozen":                       # without averages torch uses the batch's own statistics
                norm.track_running_stats = False
                norm.running_mean = norm.running_var = norm.num_batches_tracked = None

    def _pool_statistics(self, x):
        """Give every BatchNorm layer the mean and variance of its inputs pooled over all chunks.

        A layer's inputs depend on the layers before it. Each pass makes at least one more layer exact, whatever their
        order, so as many passes as there are layers make all of them exact.
        """
        for norm in self._norms:
            norm.running_mean = norm.running_var = None
        for _ in self._norms:
            sums = {norm: [0.0, 0.0] for norm in self._norms}

            def add(norm, arguments, sums=sums):
                values = arguments[0].double().transpose(0, 1).flatten(1)
                sums[norm][0] += values.shape[1]
                sums[norm][1] += torch.stack([values.sum(1), values.square().sum(1)])

            hooks = [norm.register_forward_pre_hook(add) for norm in self._norms]
            try:
                for inputs, _, _ in self._chunks():
                    self.outputs(x, inputs)
            finally:
                for hook in hooks:
                    hook.remove()
            for norm, (count, totals) in sums.items():
                mean, square = totals / count
                norm.running_mean = mean.to(x.dtype)
                norm.running_var = (square - mean.square()).clamp_min(0).to(x.dtype)

    def _check_repeats(self):
        """Evaluate a few rows twice: a measurement of a function that is not one would be worthless."""
        inputs, targets, _ = next(self._chunks())
        inputs, targets = inputs[:64], targets[:64]
        devices = [self.x.device] if self.x.device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            first, second = (self.loss(self.outputs(self.x, inputs), targets) for _ in range(2))
        if first.shape != ():
            raise ValueError(f"the loss of a batch must be one number, its mean over the rows, but it has shape "
                             f"{tuple(first.shape)}: use reduction='mean'.")
        if not torch.allclose(first, second, equal_nan=True):
            raise ValueError("the network gives two different losses for the same rows in evaluation mode: "
                             "make it deterministic (dropout, noise or sampling is still on) before measuring it.")
