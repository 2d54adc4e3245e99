"""The files of one run in a store: a finished run is read, a half-finished one resumed.

Of a run under way each epoch is kept in memory, and written when `Store.every` seconds have passed and when anything
stops the run.
"""

import dataclasses
import os
import time
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Self

import torch
from torch import Tensor, distributed, nn

from flatlab.files import check_writable
from flatlab.fingerprints import OWN, probe
from flatlab.identity import Source, content_key
from flatlab.training.run import Run
from flatlab.training.store import Store
from flatlab.training.trainer import Trainer, part_of


class Checkpoint:
    """The files of one run in a store, which the first of several workers writes.

    Parameters
    ----------
    store : Store or path or None
        Without one there is nothing to read, and nothing is written.
    identity : callable
        identity() is all that decides how the run comes out; it is asked for where there is a store.
    source : Source
        The code that trains.
    trainer : Trainer
        What trains the run.
    epochs : tuple of int
        The epochs whose points are wanted; 0 is the start.

    Raises
    ------
    ValueError
        When there is a store, and its files cannot hold a buffer of the network.
    """

    def __init__(
        self,
        store: Store | str | os.PathLike | None,
        identity: Callable[[], dict],
        source: Source,
        trainer: Trainer,
        epochs: tuple[int, ...],
    ) -> None:
        self.store = store if store is None or isinstance(store, Store) else Store(store)
        if store is not None:
            _check_buffers(trainer.model)
        self.key = "" if store is None else content_key(identity())
        self.source = {} if store is None else source.facts
        self.probe = None if store is None else probe(trainer.model, trainer.data.train.x)
        self.trainer, self.wanted, self.kept = trainer, epochs, set(epochs)
        self.last: tuple | None = None  # the last whole epoch, if it is not written yet
        self.written = time.monotonic()
        self.start, self.noted = _notes(trainer.model), dict[str, dict]()  # as it was, and what a file has of that else

    def __enter__(self) -> Self:
        _note(self.trainer.model, self.noted)  # now, because getting ready has run the network
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Whatever stops the run, its last whole epoch is written before."""
        if self.last:
            try:
                self._write_last()
            except OSError as failure:  # what stopped the run is what the user must hear first
                warnings.warn(str(failure), stacklevel=2)

    def finished(self, run: Run) -> Run | None:
        """The run, if the store has finished it."""
        if not (found := self._read(run, partial=False)):
            return None
        tensors, run, facts = found
        x0, x, buffers = tensors["x0"], tensors["x"], part_of(tensors, "buffer.")
        _note(self.trainer.model, self.noted)
        return self._whole(run, x0=x0, x=x, buffers=buffers, facts=facts)

    def resumed(self, run: Run) -> Run:
        """The run as far as the store has it, and the trainer where that is. Raises OSError where the store cannot be
        written, before anything is computed that it could not keep."""
        if found := self._read(run, partial=True):
            tensors, run, _ = found
            self.trainer.restore(tensors)
        if self.store is not None and self.trainer.rank == 0:
            check_writable(self.store.path(self.key))
        if 0 in self.kept:
            run.points[0] = run.x0.clone()  # a file holds no tensor twice
        return run

    def keep_epoch(self, run: Run, epoch: int) -> None:
        """Note the point after an epoch if it is wanted, and what the next epoch needs, which is written if that is
        due."""
        if epoch in self.kept:
            run.points[epoch] = self.trainer.point.clone()
        if self.store is None or self.trainer.rank != 0 or epoch == run.recipe.epochs:
            return
        state = {name: tensor.clone() for name, tensor in self.trainer.state().items()}
        self.last = run, epoch, {**state, **_named("point", run.points)}, self._noted()
        if time.monotonic() - self.written >= self.store.every:
            self._write_last()

    def keep_run(self, run: Run) -> Run:
        """The run with its end, which is written in the place of what its epochs needed."""
        x = self.trainer.point.clone()
        buffers = {name: buffer.clone() for name, buffer in self.trainer.model.named_buffers()}
        if self.store is not None and self.trainer.rank == 0:
            end = {"x0": run.x0, "x": x, **_named("buffer", buffers), **_named("point", run.points)}
            self._write(run, len(run.history["epoch"]), end, self._noted(), partial=False)
            self.last = None
            self.store.remove(self.key, partial=True)
        if self.trainer.workers > 1:
            distributed.barrier()  # what is asked of the store next, all workers find
        return self._whole(run, x=x, buffers=buffers)

    def _read(self, run: Run, *, partial: bool) -> tuple[dict[str, Tensor], Run, dict] | None:
        """(tensors, run, facts) of a file. None if there is none, or if it went past an epoch that is wanted without
        keeping its point: the run is then trained again, and keeps what that file kept as well."""
        if self.store is None:
            return None
        found = self.store.get(self.key, partial, run.x0.device)
        self._agree(len(found[1]["history"]["epoch"]) if found else -1)
        if not found:
            return None
        tensors, saved = found
        if not _same_network(self.probe, tensors.pop("probe", None)):
            warnings.warn(
                f"{self.store.path(self.key, partial)} is of a network that computes something else from x0: it is "
                "trained again.",
                stacklevel=2,
            )
            return None
        self.noted = saved.get("noted", {})
        points = {int(epoch): point for epoch, point in part_of(tensors, "point.").items()}
        reached = {epoch for epoch in self.kept if epoch <= len(saved["history"]["epoch"])}
        if not reached <= set(points):
            self.kept |= set(points)
            return None
        return tensors, dataclasses.replace(run, history=saved["history"], points=points), saved["facts"]

    def _agree(self, epochs: int) -> None:
        """Raise OSError unless all workers have found as many epochs: they would train from different points."""
        if self.store is None or self.trainer.workers == 1:
            return
        ends = torch.tensor([epochs, -epochs], device=self.trainer.point.device)
        distributed.all_reduce(ends, distributed.ReduceOp.MAX)
        if ends.sum() != 0:
            raise OSError(
                f"the workers do not find the same runs in {self.store.root}: choose a directory that all machines "
                "share."
            )

    def _write_last(self) -> None:
        assert self.last
        try:
            self._write(*self.last, partial=True)
        except OSError:
            self.last = None  # so that it is not tried a second time at the end
            raise
        self.last, self.written = None, time.monotonic()

    def _write(self, run: Run, epochs: int, tensors: dict[str, Tensor], noted: dict, *, partial: bool) -> None:
        """Write the run as it was after some epochs: its history may have begun another entry."""
        assert self.store
        history = {column: values[:epochs] for column, values in run.history.items()}
        seen = {} if self.probe is None else {"probe": self.probe}
        facts = {"history": history, "facts": run.facts, "source": self.source, "noted": noted}
        self.store.put(self.key, {**tensors, **seen}, facts, partial)

    def _noted(self) -> dict[str, dict]:
        """What the modules have noted since the start, by module and name: counted steps, for instance."""
        now = _notes(self.trainer.model).items()
        return {place: own for place, notes in now if (own := dict(notes.items() - self.start.get(place, {}).items()))}

    def _whole(self, run: Run, **changes) -> Run:
        """The run with the points that were asked for alone, and a copy of the network."""
        points = {epoch: run.points[epoch] for epoch in self.wanted}
        return dataclasses.replace(run, points=points, net=self.trainer.network(), **changes)


def _same_network(one, other):
    """Whether two probes are of one network: devices and versions of torch may differ in rounding."""
    if one is None or other is None:  # it could not be taken
        return True
    other = other.to(one)
    return one.shape == other.shape and torch.allclose(one, other, rtol=0, atol=0.01 * one.abs().max(), equal_nan=True)


def _check_buffers(model: nn.Module) -> None:
    """Refuse what would be told of only where the trained network is written."""
    for name, buffer in model.named_buffers():
        sparse = buffer.layout != torch.strided
        if sparse or buffer.dtype == torch.complex128:
            raise ValueError(
                f"the network's buffer {name} is {buffer.layout if sparse else buffer.dtype}, which no file of a store "
                f"can hold: keep it {'dense, by .to_dense(),' if sparse else 'in complex64'} or train without a store."
            )


def _notes(model: nn.Module) -> dict[str, dict]:
    """The numbers and words that the modules of a network keep in Python, by module and name."""
    kinds = (bool, int, float, str, type(None))
    return {
        place: {name: value for name, value in vars(module).items() if name not in OWN and isinstance(value, kinds)}
        for place, module in model.named_modules()
    }


def _note(model: nn.Module, noted: dict[str, dict]) -> None:
    modules = dict(model.named_modules())
    for place in noted.keys() & modules.keys():  # a module that the forward has made is made again
        modules[place].__dict__.update(noted[place])


def _named(prefix, tensors):
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}
