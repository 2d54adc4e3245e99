"""A run: what training gives back."""

import copy
import dataclasses
from dataclasses import dataclass

from torch import Tensor, nn

from flatlab.training.recipe import Recipe
from flatlab.training.trainer import load_point

HISTORY = ("epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "distance", "seconds", "updates")


@dataclass(frozen=True, eq=False)
class Run:
    """What training gives back. Accuracies are in percent, and None where the targets are not classes.

    Attributes
    ----------
    x0, x : Tensor
        The first and the last point, each of shape (n,).
    history : dict of str to list
        Lists with one entry per epoch: epoch, train_loss, train_accuracy (averages over the epoch's own steps, dropout
        on, as in Fig. 2), test_loss, test_accuracy, distance (`||x - x0||`), seconds, updates (both since the start).
    recipe : Recipe
        How it was trained.
    seed : int
        What decided initialisation, batches and dropout.
    facts : dict
        Where it comes from: versions, device, data, semantics.
    buffers : dict of str to Tensor
        The network's buffers at x, such as running averages.
    points : dict of int to Tensor
        By epoch the point after it, for the epochs that `train` was told to keep; 0 is x0.
    net : nn.Module
        The network; `model()` gives a copy that is at x.
    """

    x0: Tensor
    x: Tensor
    history: dict[str, list]
    recipe: Recipe
    seed: int
    facts: dict
    buffers: dict[str, Tensor]
    points: dict[int, Tensor]
    net: nn.Module = dataclasses.field(repr=False)

    def __repr__(self) -> str:
        return (
            f"Run({self.facts['net']} on {self.facts['data']}, batch {self.facts['rows']}, seed {self.seed}, "
            f"{len(self.history['epoch'])} epochs{''.join(f', {part}' for part in self.accuracies(2))})"
        )

    def accuracies(self, digits: int) -> list[str]:
        """The last accuracies in words; none where the targets are not classes."""
        last = {part: self.history[f"{part}_accuracy"][-1:] for part in ("train", "test")}
        return [f"{part} {values[0]:.{digits}f} %" for part, values in last.items() if values not in ([], [None])]

    def model(self) -> nn.Module:
        """A copy of the network at x, in evaluation mode."""
        model = copy.deepcopy(self.net).eval()
        load_point(model, self.x, self.buffers)
        return model
