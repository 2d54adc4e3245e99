"""The battery: trained nets on which the maximisers are compared. `python benchmarks/battery.py` prints the table and
records it.

The nets, seeds, sizes and eps were fixed before any maximiser was run on them. Each takes about a second to train.

Another processor or number of threads adds in another order, and so trains another net. The tests therefore judge the
maximisers at recorded points, `battery.safetensors`: what seed 0 trained to on one machine, whatever came out. They
compute in float64, because at a loss of 1e-7 the order of additions in float32 decides which search wins.
`OMP_NUM_THREADS=1 python benchmarks/battery.py record` trains every net and writes that file anew.
"""

import dataclasses
import itertools
import json
import sys
import time
from dataclasses import dataclass, field

import torch
from safetensors.torch import load_file, save
from torch import nn
from torch.nn.functional import mse_loss
from torch.nn.utils import vector_to_parameters

import flatlab
from flatlab.data import Data, Split, load
from flatlab.files import write_whole
from flatlab.study.recorded import REPOSITORY, origin

POINTS = REPOSITORY / "benchmarks" / "battery.safetensors"  # a vector x for each net

METHODS = {"lbfgs": 10, "scipy": 10, "scipy-scaled": 10, "apgd": 20, "vertex": 10, "best": 10}  # method -> steps
RIVALS = ("scipy", "scipy-scaled", "apgd")  # that the default may not fall short of by more than 3 %
EPS = (1e-3, 5e-4)
SUBSPACES = (None, 20)


@dataclass(frozen=True)
class Entry:
    """A net, its data and how it is trained."""

    name: str
    net: object  # () -> nn.Module
    data: object  # () -> Data
    recipe: dict
    sharper: float = 1.0  # factor on the last layer: with all answers right, a lower loss
    loss: object = field(default=nn.functional.cross_entropy)

    def objective(self, seed=0):
        """The trained net's `Objective` over its training set."""
        data = self.data()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = self.net()
        if self.loss is mse_loss:
            model = _regress(net, data)
        else:
            model = flatlab.train(net, data, seed=seed, progress=False, **self.recipe).model()
        with torch.no_grad():
            for parameter in list(model.modules())[-1].parameters():
                parameter *= self.sharper
        return flatlab.Objective(model, data.train, loss=self.loss)

    def recorded(self, dtype):
        """The net's `Objective` at its recorded point, computed in dtype."""
        net, data = self.net().to(dtype), self.data()
        vector_to_parameters(load_file(POINTS)[self.name].to(dtype), net.parameters())
        x, y = data.train.x.to(dtype), data.train.y
        return flatlab.Objective(net, (x, y.to(dtype) if self.loss is mse_loss else y), loss=self.loss)


def _regress(net, data, steps=400):
    """Full-batch Adam on the squared error."""
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        mse_loss(net(data.train.x), data.train.y).backward()
        optimizer.step()
    return net


def _small(name, rows):
    """Some training rows of a data set; the test rows are not used here, so few are kept."""
    data = load(name, device="cpu").subset(rows)
    return dataclasses.replace(data, test=data.test.subset(20))


def _normals(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _clouds(rows=400, wrong=0.2):
    """Five Gaussian classes in 20 dimensions; a share of the labels is drawn at random."""
    y = torch.arange(rows) % 5
    x = _normals(rows, 20) + _normals(5, 20, seed=1)[y]
    noisy = torch.rand(rows, generator=torch.Generator().manual_seed(2)) < wrong
    y = torch.where(noisy, torch.randint(0, 5, (rows,), generator=torch.Generator().manual_seed(3)), y)
    return Data("clouds", 5, Split(x, y), Split(x[:20], y[:20]))


def _spirals(rows=200):
    """Two spirals in the plane."""
    y = torch.arange(rows) % 2
    turn = torch.linspace(0.5, 6, rows)
    x = torch.stack([turn.cos(), turn.sin()], 1) * turn[:, None] / 3 * (1 - 2 * y[:, None]) + 0.05 * _normals(rows, 2)
    return Data("spirals", 2, Split(x, y), Split(x[:20], y[:20]))


def _teacher(rows=300):
    """The outputs of a random tanh net, with a little noise."""
    x = _normals(rows, 10)
    y = torch.tanh(x @ _normals(10, 5, seed=1)) @ _normals(5, 1, seed=2) + 0.1 * _normals(rows, 1, seed=3)
    return Data("teacher", 1, Split(x, y), Split(x[:20], y[:20]))


def _mlp(*widths, norm=False, activation=nn.ReLU):
    layers = [nn.Flatten()]
    for inputs, outputs in itertools.pairwise(widths[:-1]):
        layers += [nn.Linear(inputs, outputs), *[nn.BatchNorm1d(outputs)] * norm, activation()]
    return nn.Sequential(*layers, nn.Linear(*widths[-2:]))


def _conv1d(norm):
    batch_norm = nn.BatchNorm1d if norm else lambda channels: nn.Identity()
    return nn.Sequential(
        nn.Unflatten(1, (1, 40)),
        nn.Conv1d(1, 16, 5, stride=2),
        batch_norm(16),
        nn.ReLU(),
        nn.Conv1d(16, 16, 5, stride=2),
        batch_norm(16),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(112, 10),
    )


def _conv2d(norm):
    batch_norm = nn.BatchNorm2d if norm else lambda channels: nn.Identity()
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        batch_norm(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3),
        batch_norm(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def _mnist1d(rows):
    return lambda: _small("mnist1d", rows)


def _digits(rows):
    return lambda: _small("digits", rows)


BATTERY = (
    Entry(
        "mlp 4x256 BN, mnist1d, batch 32",
        lambda: _mlp(40, 256, 256, 256, 256, 10, norm=True),
        _mnist1d(600),
        {"batch_size": 32, "epochs": 8},
    ),
    Entry(
        "mlp 4x256 BN, mnist1d, batch 300",
        lambda: _mlp(40, 256, 256, 256, 256, 10, norm=True),
        _mnist1d(600),
        {"batch_size": 300, "epochs": 40},
    ),
    Entry(
        "mlp 4x256 BN, mnist1d, 1 epoch",
        lambda: _mlp(40, 256, 256, 256, 256, 10, norm=True),
        _mnist1d(600),
        {"batch_size": 100, "epochs": 1},
    ),
    Entry(
        "mlp 2x64 BN, mnist1d, loss 1e-7",
        lambda: _mlp(40, 64, 64, 10, norm=True),
        _mnist1d(200),
        {"batch_size": 200, "epochs": 100, "lr": 1e-2},
        sharper=2.0,
    ),
    Entry("mlp 64, mnist1d, batch 50", lambda: _mlp(40, 64, 10), _mnist1d(600), {"batch_size": 50, "epochs": 40}),
    Entry(
        "mlp 3x100, mnist1d, batch 300",
        lambda: _mlp(40, 100, 100, 100, 10),
        _mnist1d(600),
        {"batch_size": 300, "epochs": 150},
    ),
    Entry(
        "mlp 64, digits, loss 1e-7",
        lambda: _mlp(64, 64, 10),
        _digits(200),
        {"batch_size": 200, "epochs": 150, "lr": 1e-2},
        sharper=3.0,
    ),
    Entry("softmax regression, digits", lambda: _mlp(64, 10), _digits(500), {"batch_size": 50, "epochs": 20}),
    Entry("conv BN, mnist1d, batch 32", lambda: _conv1d(True), _mnist1d(400), {"batch_size": 32, "epochs": 15}),
    Entry("conv, mnist1d, batch 200", lambda: _conv1d(False), _mnist1d(400), {"batch_size": 200, "epochs": 100}),
    Entry("conv BN, digits, batch 250", lambda: _conv2d(True), _digits(500), {"batch_size": 250, "epochs": 40}),
    Entry("conv, digits, batch 25", lambda: _conv2d(False), _digits(500), {"batch_size": 25, "epochs": 8}),
    Entry(
        "mlp 2x50 tanh, noisy clouds",
        lambda: _mlp(20, 50, 50, 5, activation=nn.Tanh),
        _clouds,
        {"batch_size": 100, "epochs": 150},
    ),
    Entry(
        "mlp 2x8 tanh, spirals",
        lambda: _mlp(2, 8, 8, 2, activation=nn.Tanh),
        _spirals,
        {"batch_size": 50, "epochs": 150, "lr": 1e-2},
    ),
    Entry(
        "mlp 2x32 BN, spirals, lr too high",
        lambda: _mlp(2, 32, 32, 2, norm=True),
        _spirals,
        {"batch_size": 20, "epochs": 20, "optimizer": "sgd", "lr": 2.0, "momentum": 0.9},
    ),
    Entry("mlp 2x30 tanh, regression", lambda: _mlp(10, 30, 30, 1, activation=nn.Tanh), _teacher, {}, loss=mse_loss),
)


def measure(f, methods=METHODS):
    """One row for each eps and space: phi and evaluations of each method."""
    rows = []
    for eps in EPS:
        for subspace in SUBSPACES:
            found = {
                method: flatlab.sharpness(f, eps=eps, subspace=subspace, method=method, steps=steps)
                for method, steps in methods.items()
            }
            rows.append(
                {
                    "eps": eps,
                    "subspace": subspace,
                    "base": found["lbfgs"].base,
                    "phi": {method: s.percent for method, s in found.items()},
                    "evaluations": {method: s.maximum.evaluations for method, s in found.items()},
                }
            )
    return rows


def share(row):
    """phi of the default over the largest phi of its rivals."""
    return row["phi"]["lbfgs"] / max(row["phi"][method] for method in RIVALS)


def record():
    """Train every net and write the point it ends at.

    The largest are rounded to float16, so that the file stays small. The others are kept exactly, because the rounding
    can move a point off its minimum: it hid that the regression net's sharpness is missed by 20 %.
    """
    points = {entry.name: entry.objective().x for entry in BATTERY}
    write_whole(POINTS, save({name: x.half() if x.numel() > 100_000 else x for name, x in points.items()}))


def main():
    """Measure every net, print the table, write results/battery.json."""
    began, table = time.perf_counter(), []
    print(f"{'':38}{'n':>8}{'loss':>9}  {'eps':5}{'space':>6}" + "".join(f"{m:>15}" for m in METHODS) + "   share")
    for entry in BATTERY:
        f = entry.objective()
        for row in measure(f):
            table.append({"net": entry.name, "size": f.size, **row})
            cells = (f"{row['phi'][m]:.4g} ({row['evaluations'][m]})" for m in METHODS)
            print(
                f"{entry.name:38}{f.size:8}{row['base']:9.2g}  {row['eps']:<5g}{row['subspace'] or 'full':>6}"
                + "".join(f"{cell:>15}" for cell in cells)
                + f"   {share(row):.3f}",
                flush=True,
            )
    result = {"methods": METHODS, "rivals": RIVALS, "rows": table, "provenance": origin("cpu", began)}
    write_whole(REPOSITORY / "results" / "battery.json", json.dumps(result, indent=1).encode())
    return min(map(share, table)) < 0.97


if __name__ == "__main__":
    sys.exit(record() if sys.argv[1:] == ["record"] else main())
