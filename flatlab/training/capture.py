"""A training step captured as a CUDA graph: small steps are bound by the time to launch them, and a replay launches all
at once.

A graph repeats what the device did, and nothing that Python does in a network's forward. A capture in which the host
waits for the device fails and spoils the device's generator. Therefore a step is rehearsed first, and compared with its
replay afterwards; a network that a graph cannot hold is trained without one.
"""

import copy
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from flatlab.generators import have_drawn, host_states, set_host_states
from flatlab.measure import door
from flatlab.measure.memory import is_used_up

if TYPE_CHECKING:
    from flatlab.training.trainer import Trainer


def captured(trainer: "Trainer", rows: int) -> Callable[[Tensor], None]:
    """trainer.step for batches of `rows` rows: the replay of a graph, or, with a warning, the step itself if no graph
    can hold it.

    The steps that this takes leave no trace: points, optimizer, buffers, generators and the modules' own counters are
    put back.
    """
    before = _Snapshot(trainer)
    replay, reason = None, _rehearsed(trainer, rows, before)
    if reason is None:
        replay = _recorded(trainer, rows, before)
        reason = _compared(trainer, rows, replay, before)
    if replay is None or reason is not None:
        warnings.warn(
            f"this network is trained without a CUDA graph, more slowly, because {reason}.",
            RuntimeWarning,
            stacklevel=4,
        )
        return trainer.step
    return replay


def warm_up(trainer: "Trainer", rows: int) -> None:
    """Take a step that no graph will hold, because the first one lets the device's libraries start. It leaves no trace
    either."""
    before, optimizer = _Snapshot(trainer), copy.deepcopy(trainer.optimizer.state_dict())
    trainer.step(torch.arange(rows, device=trainer.point.device))
    before.put_back()
    trainer.optimizer.load_state_dict(optimizer)  # without what this step has begun


def _rehearsed(trainer, rows, before):
    """Take the steps that a capture wants first; the reason why a graph cannot hold them, or None."""
    batch, reason = torch.arange(rows, device=trainer.point.device), None
    stream, mode = torch.cuda.Stream(), torch.cuda.get_sync_debug_mode()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        trainer.step(batch)
        counters = _counters(trainer.model)  # a first step may note something, a counter changes at the next ones
        trainer.step(batch)
        with warnings.catch_warnings():  # that it is a prototype
            warnings.simplefilter("ignore")
            torch.cuda.set_sync_debug_mode("error")
        try:
            trainer.step(batch)
        except RuntimeError as error:
            if is_used_up(error):
                raise
            reason = f"the host waits for the device in its forward or copies to it ({door.reason(error)})"
        finally:
            torch.cuda.set_sync_debug_mode(mode)
    torch.cuda.current_stream().wait_stream(stream)
    if before.host_has_drawn() or _counters(trainer.model) != counters:
        reason = "its forward draws random numbers on the host or counts in Python"
    before.put_back()
    return reason


def _recorded(trainer, rows, before):
    """A function of a batch that replays the graph of one step."""
    held, graph = torch.arange(rows, device=trainer.point.device), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        trainer.step(held)
    before.put_back()

    def replay(batch):
        held.copy_(batch)
        graph.replay()

    return replay


def _compared(trainer, rows, replay, before):
    """Take two steps by replay and two as they are, from the same state; the reason why they are not the same, or None.

    A GPU does not add in one order, and in a deep network two steps make much of that. What counts is therefore how far
    the replay is from the steps in units of how far the replay, taken again, is from itself. The steps, taken again,
    are no such unit: what Python counts in the forward makes them others each time.
    """
    replayed, again, stepped = (
        _gradient_after_two(trainer, rows, step, before) for step in (replay, replay, trainer.step)
    )
    if (replayed - stepped).norm() > 0.1 * stepped.norm() + 3 * (again - replayed).norm():
        return "a replayed step is another than the step itself: its forward depends on something outside the device"
    return None


def _gradient_after_two(trainer, rows, step, before):
    for _ in range(2):
        step(torch.arange(rows, device=trainer.point.device))
    gradient = trainer.grad.clone()
    before.put_back()
    return gradient


class _Snapshot:
    """All that a step may change, to be put back."""

    def __init__(self, trainer):
        self.trainer, self.device = trainer, trainer.point.device
        self.tensors = {name: tensor.clone() for name, tensor in trainer.state().items()}
        self.draws = torch.cuda.get_rng_state(self.device)
        self.host = host_states()
        self.attributes = _attributes(trainer.model)

    def put_back(self):
        for name, tensor in self.trainer.state().items():  # an optimizer starts with all zeros
            tensor.copy_(self.tensors[name]) if name in self.tensors else tensor.zero_()
        torch.cuda.set_rng_state(self.draws, self.device)
        set_host_states(self.host)
        for module, name in _attributes(self.trainer.model).keys() - self.attributes.keys():
            del vars(module)[name]
        for (module, name), value in self.attributes.items():
            vars(module)[name] = value

    def host_has_drawn(self):
        return have_drawn(self.host)


def _counters(model):
    """The numbers and words that the modules of a network keep in Python."""
    kinds = (bool, int, float, str)
    return {place: value for place, value in _attributes(model).items() if isinstance(value, kinds)}


def _attributes(model):
    """What the modules of a network keep besides parameters, buffers, submodules and hooks, by (module, name)."""
    torchs = vars(nn.Module())
    return {(m, name): value for m in model.modules() for name, value in vars(m).items() if name not in torchs}
