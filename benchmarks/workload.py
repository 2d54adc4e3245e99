"""What is measured in every comparison: nets like the paper's F1 on inputs of MNIST's size, made here from a seed."""

import functools

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import flatlab
from flatlab.data import Data, Split

F1 = (512,) * 5  # 784-512-512-512-512-512-10 with BatchNorm: n = 1,462,794
F1_SHORT = (512,) * 3  # the same with three hidden layers: n = 935,434


def blobs(rows, inputs=784, classes=10, seed=0, device="cpu", test_rows=500):
    """A `Data` of Gaussian classes whose means are about as far apart as their points scatter."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(classes, inputs, generator=generator) * 4 / inputs**0.5

    def split(count):
        y = torch.randint(classes, (count,), generator=generator)
        x = torch.empty(count, inputs)
        for part, labels in zip(x.split(1000), y.split(1000)):  # by parts: no second array of this size
            torch.randn(part.shape, generator=generator, out=part)
            part += means[labels]
        return Split(x, y).to(device)

    return Data(f"{classes} Gaussian classes", classes, split(rows), split(test_rows))


def network(widths=F1, inputs=784, classes=10, running_averages=False, batch_norm=True, seed=0):
    """A fully-connected net with BatchNorm and ReLU after every hidden layer, as `flatlab.build("F1", ...)`."""
    layers = [nn.Flatten()]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for width in widths:
            layers += [nn.Linear(inputs, width)]
            layers += [nn.BatchNorm1d(width, track_running_stats=running_averages)] * batch_norm + [nn.ReLU()]
            inputs = width
        return nn.Sequential(*layers, nn.Linear(inputs, classes))


@functools.lru_cache
def trained(widths=F1, rows=2000, inputs=784, epochs=10, device="cpu", **options):
    """(net, data), the net trained briefly: Adam, batch 256."""
    data = blobs(rows, inputs, device=device)
    run = flatlab.train(
        network(widths, inputs, **options), data, batch_size=min(256, rows), epochs=epochs, progress=False
    )
    return run.model(), data


def loss_and_gradient(net, split):
    """The bare computation, as anyone would write it: the mean loss over the rows, and .grad set on the parameters."""
    net.zero_grad()
    loss = cross_entropy(net(split.x), split.y)
    loss.backward()
    return loss.item()
