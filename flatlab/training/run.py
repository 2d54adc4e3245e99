"""A run: what training gives back."""

import copy
import dataclasses
from dataclasses import dataclass

from torch import Tensor, nn

from flatlab.training.recipe import Recipe
from flatlab.training.trainer import load_point

HISTORY = ("epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "distance", "seconds", "updates")


@dataclass(frozen=True)
class Run:
    """What training gives back. Accuracies are in percent.

    Attributes
    ----------
    x0, x : Tensor
        The first and the last point, each of shape (n,).
    history : dict of str to list
        Lists with one entry per epoch: epoch, train_loss, train_accuracy (averages over the epoch's own steps, dropout on, as in
        Fig. 2), test_loss, test_accuracy, distance (||x - x0||), seconds, updates (both since the start).
    recipe : Recipe
        How it was trained.
    seed : int
        What decided initialisation, batches and dropout.
    facts : dict
        Where it comes from: versions, device, data, semantics.
    buffers : dict of str to Tensor
        The network's buffers at x, such as running averages.
    points : dict of int to Tensor
        Epoch -> the point after it, for the epochs that `train` was told to keep; 0 is x0.
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
        end = {name: values[-1] for name, values in self.history.items()} if self.history["epoch"] else None
        tail = f", train {end['train_accuracy']:.2f} %, test {end['test_accuracy']:.2f} %" if end else ""
        return (
            f"Run({self.facts['net']} on {self.facts['data']}, batch {self.facts['rows']}, seed {self.seed}, "
            f"{len(self.history['epoch'])} epochs{tail})"
        )

    def model(self) -> nn.Module:
        """A copy of the network at x, in evaluation mode."""
        model = copy.deepcopy(self.net).eval()
        load_point(model, self.x, self.buffers)
        return model
