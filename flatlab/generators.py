"""The generators of random numbers that a network may draw from: those of Python, numpy and torch."""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch

from flatlab.measure.arithmetic import ALONE

# Those of the host: how to read one's state, and how to set it.
HOST_GENERATORS: tuple[tuple[Callable, Callable], ...] = (
    (random.getstate, random.setstate),
    (lambda: np.random.get_state(), lambda state: np.random.set_state(state)),  # numpy loads it at its first use
    (lambda: torch.get_rng_state().numpy(), lambda state: torch.set_rng_state(torch.from_numpy(state))),
)


def host_states() -> list:
    """The states of the host's generators."""
    return [read() for read, _ in HOST_GENERATORS]


def set_host_states(states: list) -> None:
    """Set them back."""
    for (_, write), state in zip(HOST_GENERATORS, states):
        write(state)


def have_drawn(states: list) -> bool:
    """Whether one of the host's generators is in another state than it was."""
    return not all(map(_equal, host_states(), states))


def _equal(one, other):
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    return all(_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in zip(one, other))


def seed_host(seed: int) -> None:
    """Seed the host's generators. `torch.manual_seed` would seed those of all devices."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)


@contextmanager
def undisturbed(device: torch.device, settings: AbstractContextManager | None = None) -> Iterator[None]:
    """Whatever is drawn within, in `settings`, the generators of the host and of a device are afterwards as before."""
    with ALONE:
        states = host_states()
        with settings or nullcontext(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            try:
                yield
            finally:
                set_host_states(states)
