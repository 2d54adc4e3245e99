"""The networks: the paper's six as its released code builds them, a LeNet and a small MLP.

Where the paper's text and its code disagree, the code is followed, because it drew the paper's figures: the
convolutions of C1 have stride 1 and its pools stride 2; BatchNorm always uses the statistics of the batch at hand;
VGG's dropouts are those of the code.
"""

import difflib
import math
from typing import Literal, get_args

import torch
from torch import nn

from flatlab.data import Data, Split
from flatlab.measure import door
from flatlab.measure.arithmetic import ALONE

#: The networks that `build` knows by name.
NetName = Literal["F1", "F2", "C1", "C2", "C3", "C4", "small-C2", "small-C4", "lenet", "mlp", "plain-mlp", "small-mlp"]
NETS: tuple[NetName, ...] = get_args(NetName)


def build(name: NetName, data: Data | Split, *, seed: int = 0, running_averages: bool = False) -> nn.Module:
    """Build a network, sized for the data and initialised glorot-uniform with zero biases.

    Parameters
    ----------
    name : {"F1", "F2", "C1", "C2", "C3", "C4", "small-C2", "small-C4", "lenet", "mlp", "plain-mlp", "small-mlp"}
        "F1" (5 x 512) and "F2" (7 x 512) are fully connected, "C1" and "C3" like AlexNet, "C2" and "C4" like VGG.
        "small-C2" and "small-C4" are the same at a quarter of the width and without dropout. "mlp" is 4 x 256,
        "plain-mlp" the same without BatchNorm, and "small-mlp" 4 x 64.
    data : Data or Split
        What it is for. Of a `Split` the largest label tells the number of classes.
    seed : int
        Decides the initialisation.
    running_averages : bool
        False: BatchNorm has batch statistics only, as the paper's code. True: torch's running averages.

    Returns
    -------
    nn.Module
        On the data's device, in training mode. No global random state is used or changed.

    Raises
    ------
    ValueError
        For an unknown name, or for inputs that the network cannot take.

    Notes
    -----
    Source: Keskar et al. 2017, appendix B, and its released `network_zoo.py`.
    """
    if name not in NETS:
        near = difflib.get_close_matches(str(name), NETS, 1, 0.0)[0]
        raise ValueError(
            f"there is no net {name!r}: choose one of {', '.join(NETS)} (nearest: {near}), "
            "or pass an nn.Module of your own."
        )
    split = getattr(data, "train", data)
    door.instance(
        split,
        Split,
        "a network by name is made for data that tell its inputs and classes, as flatlab.load('mnist1d') or "
        "flatlab.Split(inputs, targets)",
    )
    seed = door.seed(seed)
    if not len(split):  # type: ignore[arg-type]
        raise ValueError("a network by name is made for data that have rows, and these have none.")
    classes = getattr(data, "classes", None) or int(split.y.max()) + 1  # type: ignore[union-attr]
    shape = tuple(split.x.shape[1:])  # type: ignore[union-attr]
    with ALONE, torch.random.fork_rng(devices=[]), torch.device("cpu"):  # whatever the default device is
        torch.default_generator.manual_seed(seed)  # the host's alone: torch.manual_seed would seed those of GPUs too
        net = _architecture(name, shape, classes, running_averages)
        for module in net.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    return net.to(split.x.device)  # type: ignore[union-attr]


def _architecture(name, shape, classes, running_averages):
    if name in ("F1", "F2", "mlp", "small-mlp"):
        widths = {"F1": [512] * 5, "F2": [512] * 7, "mlp": [256] * 4, "small-mlp": [64] * 4}[name]
        return _fully_connected(math.prod(shape), widths, classes, running_averages)
    if name == "plain-mlp":
        return _without(nn.BatchNorm1d, _fully_connected(math.prod(shape), [256] * 4, classes, running_averages))
    if len(shape) != 3:
        raise ValueError(
            f"the net {name} needs images (channels x height x width), but each input here has shape "
            f"{shape}: choose F1, F2 or mlp."
        )
    channels, height, width = shape
    if name == "lenet":
        return _lenet(channels, height, width, classes)
    if name in ("C1", "C3"):
        return _shallow(channels, height, width, classes, running_averages)
    if name in ("C2", "C4"):
        return _deep(channels, height, width, classes, running_averages)
    return _without(nn.Dropout, _deep(channels, height, width, classes, running_averages, slimmer=4))


def _without(kind, layers):
    return nn.Sequential(*(layer for layer in layers if not isinstance(layer, kind)))


def _fully_connected(inputs, widths, classes, running_averages):
    layers = [nn.Flatten()]
    for width in widths:
        layers += [nn.Linear(inputs, width), nn.BatchNorm1d(width, track_running_stats=running_averages), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, classes))


def _convolution(inputs, outputs, kernel, running_averages):
    return [
        nn.Conv2d(inputs, outputs, kernel, padding="same"),
        nn.BatchNorm2d(outputs, track_running_stats=running_averages),
        nn.ReLU(),
    ]


def _dense(inputs, outputs, running_averages):
    return [
        nn.Linear(inputs, outputs),
        nn.BatchNorm1d(outputs, track_running_stats=running_averages),
        nn.ReLU(),
        nn.Dropout(0.5),
    ]


def _shallow(channels, height, width, classes, running_averages):
    """C1 and C3: the code's `shallownet`."""
    halved = math.ceil(height / 4) * math.ceil(width / 4)  # two 'same' pools of stride 2
    return nn.Sequential(
        *_convolution(channels, 64, 5, running_averages),
        nn.MaxPool2d(3, stride=2, padding=1),
        *_convolution(64, 64, 5, running_averages),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.Flatten(),
        *_dense(64 * halved, 384, running_averages),
        *_dense(384, 192, running_averages),
        nn.Linear(192, classes),
    )


def _deep(channels, height, width, classes, running_averages, slimmer=1):
    """C2 and C4: the code's `deepnet`, VGG-16 with BatchNorm, with every width divided by `slimmer`.

    No dropout stands right before a pool.
    """
    if height < 32 or width < 32:
        raise ValueError(
            f"the nets C2 and C4 halve an image five times and need 32 x 32 pixels, but these are "
            f"{height} x {width}: choose C1 or lenet."
        )
    layers = []
    for outputs, depth, dropout in ((64, 2, 0.3), (128, 2, 0.4), (256, 3, 0.4), (512, 3, 0.4), (512, 3, 0.4)):
        outputs //= slimmer
        for place in range(depth):
            layers += _convolution(channels, outputs, 3, running_averages)
            layers += [nn.Dropout(dropout)] if place < depth - 1 else [nn.MaxPool2d(2)]
            channels = outputs
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Dropout(0.5),
        *_dense(channels * (height // 32) * (width // 32), channels, running_averages),
        nn.Linear(channels, classes),
    )


def _lenet(channels, height, width, classes):
    """LeNet-5 with ReLU and max pooling, and no BatchNorm."""
    if height < 12 or width < 12:
        raise ValueError(
            f"lenet needs images of 12 x 12 pixels or more, but these are {height} x {width}: choose F1 or mlp."
        )
    after = (height // 2 - 4) // 2 * ((width // 2 - 4) // 2)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * after, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, classes),
    )
