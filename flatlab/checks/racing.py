"""The race of Lab 5: a network, its rows, the gradients that a recipe may ask for, and the marker's own recipes.

A lab's cells use it, so it is there where a lab is marked too. What a lab asks for is not.
"""

import functools
import hashlib
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from flatlab.checks.answer import Student, Wrong, numbers, unchanged
from flatlab.data import load

GRADIENTS, ROWS, TRAINING, DRAWS = 60, 1000, 2000, 3
INPUTS, UNITS, CLASSES, LAYERS = 40, 64, 10, 3
RATE, MOMENTUM, GHOST = 0.05, 0.9, 50  # of the marker's own recipes; the rate belongs to batches of 32 rows


class Race:
    """A network's loss on some rows, whose gradients are counted.

    What begins with _ stays with the marker: in the cage a recipe can ask for the rest alone.
    """

    def __init__(self, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], gradients: int = GRADIENTS) -> None:
        self._train, self._test, self._gradients, self._spent = train, test, gradients, 0
        self._shapes: list[tuple[int, ...]] = []
        width = train[0].shape[1]
        for _ in range(LAYERS):
            self._shapes += [(width, UNITS), (UNITS,), (UNITS,), (UNITS,)]
            width = UNITS
        self._shapes += [(width, CLASSES), (CLASSES,)]
        self._asked: list[Sequence[int]] = []  # the rows of each gradient

    @property
    def rows(self) -> int:
        """The number of training rows."""
        return len(self._train[0])

    @property
    def most(self) -> int:
        """The most rows of a batch."""
        return ROWS

    @property
    def gradients(self) -> int:
        """How many gradients may be asked for."""
        return self._gradients

    @property
    def sizes(self) -> list[int]:
        """How many numbers of a point belong to each of the network's tensors."""
        return [math.prod(shape) for shape in self._shapes]

    def batch(self, rows: Any, size: int = ROWS) -> "Batch":
        """The mean loss over the rows of these numbers. BatchNorm takes its statistics over parts of `size` rows."""
        chosen = torch.as_tensor(rows).detach().cpu().long().flatten()
        if not 0 < len(chosen) <= ROWS or not 0 <= int(chosen.min()) <= int(chosen.max()) < self.rows:
            raise Wrong(f"a batch has 1 to {ROWS:,} rows, with numbers from 0 to {self.rows - 1:,}.")
        if not 2 <= int(size):
            raise Wrong("BatchNorm needs parts of two rows or more.")
        return Batch(self, chosen, int(size))

    def _outputs(self, x: Tensor, inputs: Tensor, size: int) -> Tensor:
        """The scores of the classes."""
        parts = [one.view(shape) for one, shape in zip(x.split(self.sizes), self._shapes)]
        h = inputs
        for weight, bias, scale, shift in zip(*(parts[k : 4 * LAYERS : 4] for k in range(4))):
            h = h @ weight + bias
            groups = h.split(size) if len(h) % size else [h.view(-1, size, UNITS)]
            away = [(rows.var(-2, unbiased=False, keepdim=True) + 1e-5).sqrt() for rows in groups]
            normalised = [scale * (rows - rows.mean(-2, keepdim=True)) / by + shift for rows, by in zip(groups, away)]
            h = torch.cat([rows.view(-1, UNITS) for rows in normalised]).relu()
        return h @ parts[-2] + parts[-1]

    def _gradient(self, x: Tensor, rows: Tensor, size: int) -> tuple[float, Tensor]:
        self._spent += 1
        if self._spent > self._gradients:
            raise Wrong(f"{self._gradients} gradients are all that there are, and it asks for more.")
        self._asked.append(rows.tolist())
        inputs, classes = (one[rows] for one in self._train)
        point = torch.as_tensor(x).detach().float().clone().requires_grad_()
        if point.shape != (sum(self.sizes),):
            raise Wrong(f"the point has shape {tuple(point.shape)}, and should have {sum(self.sizes):,} numbers.")
        loss = cross_entropy(self._outputs(point, inputs, size), classes)
        return float(loss.detach()), torch.autograd.grad(loss, point)[0]


class Batch:
    """The mean loss over one batch of a race."""

    def __init__(self, race: Race, rows: Tensor, size: int) -> None:
        self._race, self._rows, self._size = race, rows, size

    def gradient(self, x: Tensor) -> tuple[float, Tensor]:
        """The value and the gradient at x. Each call is one of the race's gradients."""
        return self._race._gradient(x, self._rows, self._size)


def stretched(seed: int) -> int:
    """A long seed of a short one, which takes a tenth of a second: who tries all short ones would take years."""
    return int.from_bytes(hashlib.pbkdf2_hmac("sha256", str(seed).encode(), b"the race", 200_000, 8), "big")


@functools.lru_cache(maxsize=4)
def signals(seed: int) -> tuple:
    """(training, test) pairs of rows and classes for each draw of a seed.

    In each draw the signals are rotated and the classes have other names: to a fully connected network nothing
    changes, but a point that was trained before is of no use, and the numbers of one gradient do not show which rows
    these are.
    """
    data = load("mnist1d", device="cpu")
    generator = torch.Generator().manual_seed(stretched(seed))
    found = []
    for _ in range(DRAWS):
        rotation = torch.linalg.qr(torch.randn(INPUTS, INPUTS, generator=generator)).Q
        names = torch.randperm(CLASSES, generator=generator)
        chosen = torch.randperm(len(data.train), generator=generator)[:TRAINING]
        train, test = (
            (split.x.flatten(1)[rows] @ rotation, names[split.y[rows]])
            for split, rows in ((data.train, chosen), (data.test, torch.arange(len(data.test))))
        )
        found.append((train, test))
    return tuple(found)


def start_of(race: Race, seed: int) -> Tensor:
    """Where training begins: uniform weights, each layer's within 1/sqrt(inputs), and BatchNorm without effect."""
    generator = torch.Generator().manual_seed(seed)
    parts, reach = [], 1.0
    for place, shape in enumerate(race._shapes):
        reach = shape[0] ** -0.5 if len(shape) == 2 else reach
        drawn = (2 * torch.rand(shape, generator=generator) - 1) * reach
        kind = place % 4 if place < 4 * LAYERS else 0
        parts.append((torch.ones(shape) if kind == 2 else torch.zeros(shape) if kind == 3 else drawn).flatten())
    return torch.cat(parts)


def accuracy(race: Race, x: Tensor) -> float:
    """On rows that no gradient has seen, in percent; BatchNorm takes their statistics."""
    inputs, classes = race._test
    with torch.no_grad():
        return 100 * float((race._outputs(x, inputs, len(inputs)).argmax(1) == classes).float().mean())


def lap(recipe: Student, seed: int, number: int = 0) -> tuple[float, Tensor]:
    """The test accuracy that a recipe reaches in one draw of a seed, and the point where it ends.

    The start is that of the draw, whatever the seed, so that it says nothing about the rows.
    """
    race = Race(*signals(seed)[number])
    end = end_of(recipe, race, start_of(race, number), number)
    return accuracy(race, end), end


def end_of(recipe: Student, race: Race, start: Tensor, seed: int) -> Tensor:
    """The point that a recipe returns; a hint where it is none, where it moved its start or asked for no gradient."""
    x = start.clone()
    end = numbers(recipe(race, x, seed), start.shape, f"the last point, {len(start):,} numbers").float()
    unchanged("x", x, start)
    if torch.equal(end, start):
        raise Wrong("it returns the point that it was given: train, and return where you end.")
    if not race._asked:
        raise Wrong("it asked for no gradient: train with f.batch(rows).gradient(x).")
    return end


def marker(lr: float, size: int = ROWS) -> Student:
    """A recipe of the marker's: descent with momentum at one rate, over batches of shuffled rows."""

    def recipe(f: Race, x: Tensor, seed: int) -> Tensor:
        generator, x, velocity = torch.Generator().manual_seed(seed), x.clone(), torch.zeros_like(x)
        rows = len(f._train[0])  # a race's own: the marker's recipes are no answer where a lab is marked
        for step in range(f.gradients):
            first = step * f.most % rows
            if first == 0:
                order = torch.randperm(rows, generator=generator)
            velocity = MOMENTUM * velocity + f.batch(order[first : first + f.most], size).gradient(x)[1]
            x = x - lr * velocity
        return x

    return recipe


def rivals() -> dict[str, Student]:
    """The marker's three recipes: the rate of batches of 32 rows as it is, grown as the root, and with ghosts."""
    grown = RATE * (ROWS / 32) ** 0.5
    return {"plain": marker(RATE), "root": marker(grown), "root + ghost": marker(grown, GHOST)}
