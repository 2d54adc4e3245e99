"""One training problem: a model whose parameters are views of one flat point, its optimizer and its data.

On a GPU small steps are bound by the time to launch them, so there a step of a fixed batch size is captured once as a CUDA graph
and replayed.
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from flatlab.objective import Objective
from flatlab.updates import UPDATES

OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD, "adagrad": torch.optim.Adagrad,
              "rmsprop": torch.optim.RMSprop, "rprop": torch.optim.Rprop}


class Problem:
    """One training problem: the model whose parameters are views of `point`, its gradient, optimizer and data."""

    def __init__(self, model, data, recipe):
        trainable = [p for p in model.parameters() if p.requires_grad]
        if not trainable:
            raise ValueError("the network has no parameter with requires_grad: there is nothing to train.")
        self.model, self.data, self.recipe = model.train(), data, recipe
        self.update = UPDATES[recipe.update]
        self.point = nn.Parameter(torch.cat([p.detach().flatten() for p in trainable]))
        self.point.grad = torch.zeros_like(self.point)
        self.loss = torch.zeros((), dtype=torch.float64, device=self.point.device)          # sums over the epoch so far
        self.correct = torch.zeros((), dtype=torch.int64, device=self.point.device)
        self.graph = None
        for parameter, x, g in zip(trainable, *(_views(v, trainable) for v in (self.point.detach(), self.point.grad))):
            parameter.data, parameter.grad = x, g
        options = {"lr": recipe.lr}
        if recipe.optimizer != "rprop":
            options["weight_decay"] = recipe.weight_decay
        if recipe.optimizer == "sgd":
            options["momentum"] = recipe.momentum
        if recipe.optimizer in ("adam", "sgd", "adagrad"):
            options["fused"] = True
        if recipe.optimizer == "adam" and self.point.is_cuda:
            options["capturable"] = True
        self.optimizer = OPTIMIZERS[recipe.optimizer]([self.point], **options)

    def gradient(self, inputs, targets):
        """Set point.grad to the gradient of the batch's mean loss; return the loss and the number of correct answers."""
        self.point.grad.zero_()
        with torch.autocast(self.point.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            outputs = self.model(inputs)
        loss = cross_entropy(outputs.float() if self.recipe.precision == "bf16" else outputs, targets)
        loss.backward()
        return loss.detach(), (outputs.detach().argmax(1) == targets).sum()

    def step(self, batch):
        """One update on the rows `batch`."""
        loss, correct = self.update(self, self.data.train.x[batch], self.data.train.y[batch])
        self.loss += loss * len(batch)
        self.correct += correct

    def epoch(self, rows):
        """One pass over the training set in a fresh random order; returns its mean loss and accuracy in percent."""
        count = len(self.data.train.y)
        order = torch.randperm(count, device=self.point.device)
        if self.point.is_cuda and self.recipe.optimizer in ("adam", "sgd") and self.graph is None:
            self._capture(rows)
        self.loss.zero_()
        self.correct.zero_()
        for batch in order.split(batch_sizes(count, rows)):
            if self.graph is not None and len(batch) == rows:
                self.rows.copy_(batch)
                self.graph.replay()
            else:
                self.step(batch)
        return self.loss.item() / count, 100 * self.correct.item() / count

    def _capture(self, rows):
        """Record a step on `rows` rows as a CUDA graph, which reads the rows' numbers from self.rows.

        Capturing wants a few real steps first; whatever they changed is put back.
        """
        before = {name: tensor.clone() for name, tensor in self.state().items()}
        self.rows = torch.arange(rows, device=self.point.device)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.step(self.rows)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step(self.rows)
        for name, tensor in self.state().items():
            tensor.copy_(before[name]) if name in before else tensor.zero_()       # an optimizer starts with all zeros
        self.graph = graph

    def test(self):
        """(loss, accuracy in percent) on the test split, by running averages if the net keeps them."""
        averages = any(getattr(m, "running_mean", None) is not None for m in self.model.modules())
        f = Objective(self.model, self.data.test, batch_norm="frozen" if averages else "batch")
        return f.loss_and_accuracy(f.x)

    def state(self):
        """All that the next epoch depends on, as named tensors."""
        optimizer = {f"optimizer.{k}": v for k, v in self.optimizer.state[self.point].items() if torch.is_tensor(v)}
        return {"x": self.point.detach(), **optimizer, **{f"buffer.{k}": v for k, v in self.model.named_buffers()}}

    def restore(self, tensors):
        load_point(self.model, None, part_of(tensors, "buffer."))
        self.point.data.copy_(tensors["x"])
        self.optimizer.state[self.point].update(part_of(tensors, "optimizer."))


def load_point(model, x, buffers):
    """Copy a point and buffers into a model."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    if x is not None:
        size = sum(p.numel() for p in trainable)
        if x.shape != (size,):
            raise ValueError(f"x0 has shape {tuple(x.shape)}, but this network's points have shape ({size},).")
        with torch.no_grad():
            for parameter, part in zip(trainable, _views(x, trainable)):
                parameter.copy_(part)
    for name, buffer in model.named_buffers():
        if name in buffers:
            buffer.copy_(buffers[name])


def batch_sizes(count, rows):
    """The sizes of an epoch's batches. A single last row joins the batch before it: BatchNorm could not normalise it."""
    sizes = [rows] * (count // rows) + [count % rows] * (count % rows > 0)
    if len(sizes) > 1 and sizes[-1] == 1 and rows > 1:
        sizes[-2:] = [rows + 1]
    return sizes


def part_of(tensors, prefix):
    return {name[len(prefix):]: t for name, t in tensors.items() if name.startswith(prefix)}


def _views(vector, parameters):
    parts = vector.split([p.numel() for p in parameters])
    return [part.view(p.shape) for part, p in zip(parts, parameters)]
