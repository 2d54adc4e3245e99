"""The rows of a data split, a chunk at a time: two tensors, or batches that are read again at every pass."""

import copy
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ParamSpec, TypeAlias, TypeVar

import torch

from flatlab.measure import door, memory
from flatlab.measure.arithmetic import ALONE

SAMPLE = 64  # rows that show what kind of function f is; enough for three parts, and quick

P = ParamSpec("P")
T = TypeVar("T")

#: Inputs and targets, with as many rows.
Pair: TypeAlias = tuple[torch.Tensor, torch.Tensor]
Rows: TypeAlias = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # inputs, targets and the rows' numbers


class Chunks:
    """N rows of inputs and targets, in chunks of at most `most` rows that are as equal as can be.

    A list's own batches are left as they are.

    Attributes
    ----------
    rows : int
        N.
    batches : iterable of pair of Tensor, or None
        What is read at every pass, where the data are no tensors.
    inputs, targets : Tensor
        The data, where they are tensors.
    """

    batches: Iterable[Any] | None
    _kept: Rows  # the sample of batches

    def __init__(self, data: Any, most: int) -> None:
        self.most, self.batches = most, None
        if hasattr(data, "x") and hasattr(data, "y"):
            data = (data.x, data.y)
        if isinstance(data, (tuple, list)) and len(data) == 2 and all(torch.is_tensor(part) for part in data):
            self.inputs, self.targets = (part.detach() for part in data)  # what they were computed from is left alone
            for name, part in (("inputs", self.inputs), ("targets", self.targets)):
                if part.layout != torch.strided:
                    raise ValueError(f"the {name} are {part.layout}, from which rows cannot be cut: pass .to_dense().")
            _check_order(self.targets)
            inputs, targets = (len(part) if part.dim() else 0 for part in (self.inputs, self.targets))
            if inputs != targets or not targets:
                raise ValueError(
                    f"the split has {inputs} inputs and {targets} targets: they must be as many, and at least one."
                )
            self.sizes = [len(self.targets)]
        else:
            self._read(data)
        self.rows = sum(self.sizes)
        if not self.rows:
            raise ValueError("the batches hold no rows: pass at least one (inputs, targets).")

    def __len__(self) -> int:
        """How many chunks there are."""
        return -(-self.rows // self.most) if self.batches is None else len(self.sizes)

    def __iter__(self) -> Iterator[Pair]:
        if self.batches is None:
            yield from zip(self.inputs.tensor_split(len(self)), self.targets.tensor_split(len(self)))
            return
        with ALONE, torch.random.fork_rng(devices=[]):  # a DataLoader draws a seed when its reading begins
            batches = iter(self.batches)
        read = 0
        for inputs, targets in map(_pair, batches):
            read += len(targets)
            yield inputs, targets
            del inputs, targets  # so that this batch is freed before the next one is read
        if read != self.rows:
            raise ValueError(
                f"the batches hold {self.rows} rows at the first reading and {read} at another: pass what can be read "
                "again and again, and gives the same rows each time, as a list or a DataLoader does."
            )

    def subset(self, numbers: torch.Tensor | Sequence[int]) -> "Chunks":
        """Some of the rows. Raises ValueError for batches, and for what are no numbers of rows."""
        if self.batches is not None:
            raise ValueError(
                "rows cannot be picked from a list of batches: pass the data as two tensors (inputs, targets)."
            )
        where = torch.as_tensor(numbers, device=self.targets.device)
        if where.dtype == torch.bool and where.shape == (self.rows,):
            where = where.nonzero()[:, 0]
        kinds = (torch.int64, torch.int32, torch.int16, torch.uint8, torch.int8)
        if where.dtype not in kinds or where.dim() != 1 or not len(where) or ((where < 0) | (where >= self.rows)).any():
            raise ValueError(
                f"rows are picked by their numbers, one or more whole numbers from 0 to {self.rows - 1} in a list or a "
                "vector, or by a mask that holds for one or more."
            )
        where = where.long()
        part = copy.copy(self)
        part.inputs, part.targets = self.inputs[where.to(self.inputs.device)], self.targets[where]
        part.rows = len(part.targets)
        part.sizes = [part.rows]
        return part

    def sample(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(inputs, targets, their numbers) of up to SAMPLE rows: some evenly spaced, and those unlike the others.

        A loss that is no mean over the rows (class weights, padding) shows it only where the targets differ.
        """
        return _picked((self.inputs, self.targets, _numbers(self.rows)), SAMPLE) if self.batches is None else self._kept

    def _read(self, data: Any) -> None:
        """Read batches once, to count their rows and to keep a few of them as a sample."""
        if hasattr(data, "train") and hasattr(data, "test"):
            raise ValueError("an Objective is over one split of the data: pass data.train or data.test.")
        if not isinstance(data, Iterable) or hasattr(data, "__next__"):
            raise ValueError(
                "the data must be two tensors (inputs, targets), or batches of them that can be read again and "
                "again: a list or a DataLoader, not an iterator, which is empty after one reading."
            )
        self.batches, self.sizes = data, []
        with ALONE, torch.random.fork_rng(devices=[]):  # a shuffling loader draws an order: it is refused
            for inputs, targets in map(_pair, self.batches):
                few = _picked((inputs, targets, _numbers(len(targets)) + sum(self.sizes)), SAMPLE)
                self._kept = few if not self.sizes else _picked(_joined(self._kept, few), SAMPLE)
                self.sizes.append(len(targets))


def within_memory(measure: Callable[P, T]) -> Callable[P, T]:
    """A method of an Objective, or of an operator with one, that goes on with chunks half as large where the device's
    memory is used up."""

    @functools.wraps(measure)
    def patient(*arguments: P.args, **options: P.kwargs) -> T:
        while True:
            try:
                return measure(*arguments, **options)
            except memory.UsedUp:
                raise
            except Exception as error:
                if not memory.is_used_up(error):
                    raise
                reason = door.reason(error)
            owner: Any = arguments[0]
            getattr(owner, "f", owner).halve(reason)  # here, because the error holds what filled the memory

    return patient


def _numbers(count: int) -> torch.Tensor:
    return torch.arange(count, device="cpu")


def _joined(some: Rows, more: Rows) -> Rows:
    """Rows of two batches; only the first where they do not fit, as sentences of two lengths."""
    if any(a.shape[1:] != b.shape[1:] or a.dtype != b.dtype for a, b in zip(some, more)):
        return some
    return tuple(torch.cat([a, b.to(a.device)]) for a, b in zip(some, more))  # type: ignore[return-value]


def _picked(rows: Rows, most: int) -> Rows:
    """At most so many of the rows."""
    inputs, targets, _ = rows
    where = _unlike(inputs, targets, most) if len(rows[1]) > most else _numbers(len(rows[1]))
    return tuple(part[where.to(part.device)] for part in rows)  # type: ignore[return-value]


def _unlike(inputs: torch.Tensor, targets: torch.Tensor, most: int) -> torch.Tensor:
    """The places of rows that are not finite, with most or least in their targets, or of other kinds; and even ones."""
    count = len(targets)
    flat = targets.reshape(count, -1)
    places = []
    for part in (inputs, flat):
        if part.is_floating_point() and not part.sum().isfinite():
            places.append((~part.reshape(count, -1).isfinite().all(1)).byte().argmax())
    for size in flat.sum(1, dtype=torch.float64), flat.count_nonzero(1):
        places += [size.argmin(), size.argmax()]
    if not targets.is_floating_point() and flat.numel() <= 10**6:
        kinds = flat.unique()
        places += [
            (flat == kind).any(1).byte().argmax() for kind in kinds[_even(len(kinds), most // 4).to(kinds.device)]
        ]
    found = torch.stack([place.cpu() for place in places[: most // 2]])
    order = torch.cat([found, _even(count, most - len(found.unique())), _numbers(most)]).tolist()
    return torch.tensor(sorted(list(dict.fromkeys(order))[:most]), device="cpu")


def _even(count: int, most: int) -> torch.Tensor:
    """Whole numbers below count, evenly spaced."""
    return torch.linspace(0, count - 1, min(count, most), dtype=torch.float64, device="cpu").round().long()


def _check_order(targets: torch.Tensor) -> None:
    """Refuse numbers of which torch finds no smallest and largest, as `_unlike` does."""
    if targets.is_complex() or targets.dtype in (torch.uint16, torch.uint32, torch.uint64):
        ordered = "torch.view_as_real(targets)" if targets.is_complex() else "targets.long()"
        raise ValueError(
            f"the targets are {targets.dtype}, numbers that torch cannot put in order: pass {ordered}, and let the "
            "loss take those."
        )


def _pair(batch: Any) -> Pair:
    """A batch, if it is one."""
    if isinstance(batch, (tuple, list)) and len(batch) == 2 and all(torch.is_tensor(part) for part in batch):
        if not all(part.dim() for part in batch):
            raise ValueError(
                "a batch is some rows of inputs with as many targets, but here a target or an input is one number: "
                "pass two tensors, as made by torch.stack, or a torch.utils.data.DataLoader over these rows."
            )
        _check_order(batch[1])
        if len(batch[0]) == len(batch[1]) > 0:
            return batch[0].detach(), batch[1].detach()
        if len(batch[0]) == len(batch[1]):
            raise ValueError("a batch has no rows, and so no mean: leave it out.")
        raise ValueError(f"a batch has {len(batch[0])} inputs and {len(batch[1])} targets: they must be as many.")
    raise ValueError(
        "the data must be two tensors (inputs, targets), or batches that are such pairs: turn arrays into tensors, and "
        "let the network or the loss take apart what is more than two."
    )
