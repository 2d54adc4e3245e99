"""A recipe: everything that is chosen about how to train, checked where it is written down."""

import math
import numbers
from dataclasses import dataclass, fields
from typing import Literal, TypedDict, get_args

from flatlab.measure import door
from flatlab.training.updates import STRENGTHS, UPDATE_RULES, Update

#: The optimizers of torch that a `Recipe` knows by name.
Optimizer = Literal["adam", "sgd", "adagrad", "rmsprop", "rprop"]
#: In which arithmetic a network is trained.
Precision = Literal["float32", "tf32", "bf16"]
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are the paper's: Adam as Keras sets it, small batch, 100 epochs.

    Parameters
    ----------
    batch_size : int or float
        The batch: an int is a number of rows, a float a fraction of the training set (0.10 is the paper's large batch).
    epochs : int
        How often the whole training set is passed over.
    optimizer : {"adam", "sgd", "adagrad", "rmsprop", "rprop"}
        Whose step is taken: that of torch's Adam, SGD, Adagrad, RMSprop or Rprop.
    lr : float
        The learning rate in the first epoch.
    momentum : float
        The momentum of sgd, which is the only optimizer that takes one.
    weight_decay : float
        The weight w of a penalty `w ||x||^2 / 2`, in the form in which the optimizer adds it; rprop has none.
    update : Update
        How a batch becomes a step: plain, sam, conservative, adversarial, stability, ghost, noisy_gradient,
        noisy_iterate, noisy_inputs, noisy_labels, sampled_noise, asam, gradient_penalty, lars or lamb (see
        `flatlab.training.updates`).
    strength : float, optional
        The one number of an update other than plain and lamb; left out, the update's own default.
    growth : float
        The batch grows by this factor per epoch, up to `grow_to` (dynamic sampling).
    grow_to : int or float, optional
        Where a batch stops growing, in rows or as a fraction of the training set; left out, at the whole training set.
    decay : float
        The learning rate of epoch k is `lr / (1 + decay (k - 1))`.
    warm_up : int
        Over so many epochs the learning rate rises in equal steps to lr.
    l1 : float
        The weight w of a penalty `w ||x||_1`.
    augmentation : float
        Reflect, turn and move each image at random (appendix E.1 of the paper), or move and stretch each signal: 1 is
        as far as the paper does, 0.5 half as far, and 0 leaves the rows as they are.
    sync_batch_norm : bool
        With several workers, let BatchNorm use all workers' rows instead of each worker's own (CUDA only).
    precision : {"float32", "tf32", "bf16"}
        The arithmetic of training: float32, tf32 (CUDA only) or bf16 (autocast); measuring is never in bf16.

    Raises
    ------
    ValueError
        When a value makes no sense.

    Notes
    -----
    Source: Keskar et al. 2017, section 2.2, and its released code.
    """

    batch_size: int | float = 256
    epochs: int = 100
    optimizer: Optimizer = "adam"
    lr: float = 1e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
    update: Update = "plain"
    strength: float | None = None
    growth: float = 1.0
    grow_to: int | float | None = None
    decay: float = 0.0
    warm_up: int = 0
    l1: float = 0.0
    augmentation: float = 0.0
    sync_batch_norm: bool = False
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        for name, known in (("optimizer", OPTIMIZERS), ("update", UPDATE_RULES), ("precision", PRECISIONS)):
            door.choice(name, getattr(self, name), known)
        for field in fields(self):
            if not isinstance(field.default, str):
                object.__setattr__(self, field.name, _plain(field.name, getattr(self, field.name), field.default))
        if not self.batch_size > 0 or isinstance(self.batch_size, float) and self.batch_size > 1:
            raise ValueError(
                f"batch_size is {self.batch_size!r}: give a number of rows (an int, 1 or more) or a fraction "
                "of the training set (a float, above 0 and at most 1.0)."
            )
        if self.epochs < 0 or not self.lr > 0:
            raise ValueError(
                f"epochs is {self.epochs} and lr is {self.lr}: epochs cannot be negative and lr must be above 0."
            )
        if self.strength is not None and (self.update not in STRENGTHS or not self.strength > 0):
            raise ValueError(
                f"strength is {self.strength} and update is {self.update!r}: it must be above 0, and plain and lamb "
                "have none."
            )
        if self.growth < 1 or min(self.decay, self.warm_up, self.l1, self.augmentation) < 0:
            raise ValueError(
                f"growth is {self.growth}, decay {self.decay}, warm_up {self.warm_up}, l1 {self.l1} and augmentation "
                f"{self.augmentation}: growth is 1 or more, the others 0 or more."
            )
        if self.momentum < 0 or self.weight_decay < 0:
            raise ValueError(f"momentum is {self.momentum} and weight_decay {self.weight_decay}: both are 0 or more.")
        if self.grow_to is not None and (self.growth == 1 or not self.grow_to > 0):
            raise ValueError(
                f"grow_to is {self.grow_to} and growth is {self.growth}: grow_to is for a growth above 1, and above "
                "0 itself."
            )
        if self.weight_decay and self.optimizer == "rprop":
            raise ValueError("rprop looks at signs only and has no weight_decay: leave it at 0.")
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f"momentum is for optimizer='sgd', and this one is {self.optimizer!r}: leave it at 0.")

    def rows(self, count: int, epoch: int = 1) -> int:
        """The batch size of an epoch in rows, for a training set of `count` rows."""
        rows = _rows(self.batch_size, count)
        if rows > count:
            raise ValueError(f"batch_size is {rows}, but the training set has only {count} rows: take a smaller batch.")
        most = count if self.grow_to is None else min(count, max(rows, _rows(self.grow_to, count)))
        return min(most, round(rows * self.growth ** (epoch - 1)))

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch; epochs are counted from 1."""
        return self.lr / (1 + self.decay * (epoch - 1)) * min(1.0, epoch / (self.warm_up + 1))


def _plain(name: str, value: object, default: object) -> bool | int | float | None:
    """The value of a field as Python's own bool, whole or real number, as its default is one."""
    if isinstance(default, bool):
        if value not in (True, False):
            raise ValueError(f"{name} is {value!r}: give True or False.")
        return bool(value)
    if value is None and default is None:
        return None
    whole = isinstance(default, int) and name != "batch_size"
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value) and not whole:
        return float(value)
    raise ValueError(f"{name} is {value!r}: give a {'whole' if whole else 'finite'} number.")


def _rows(size: float, count: int) -> int:
    """A size in rows, which may be a fraction of `count`."""
    return max(1, round(size * count)) if isinstance(size, float) else size


class Changes(TypedDict, total=False):
    """The fields of a `Recipe` as keyword arguments, for editors and type checkers."""

    batch_size: int | float
    epochs: int
    optimizer: Optimizer
    lr: float
    momentum: float
    weight_decay: float
    update: Update
    strength: float | None
    growth: float
    grow_to: int | float | None
    decay: float
    warm_up: int
    l1: float
    augmentation: float
    sync_batch_norm: bool
    precision: Precision
