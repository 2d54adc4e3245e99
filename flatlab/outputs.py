"""What a network returns, whatever its form: a tensor, or tensors in lists, tuples, deques, dicts and objects."""

import collections
import copy
import dataclasses
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import torch


def tensors(outputs: Any) -> list[torch.Tensor]:
    """The tensors in what a network returned, in order."""
    found: list[torch.Tensor] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        found.append(tensor)
        return tensor

    replaced(outputs, note)
    return found


def replaced(outputs: Any, by: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The same form with another tensor in the place of each."""
    if torch.is_tensor(outputs):
        return by(outputs)
    if isinstance(outputs, Mapping) and not isinstance(outputs, MutableMapping):
        return type(outputs)({key: replaced(value, by) for key, value in outputs.items()})  # type: ignore[call-arg]
    if isinstance(outputs, Mapping):
        new = copy.copy(outputs)
        for key, value in outputs.items():
            new[key] = replaced(value, by)  # type: ignore[index]
        return new
    if isinstance(outputs, tuple) and hasattr(outputs, "_fields"):
        return type(outputs)(*(replaced(value, by) for value in outputs))
    if isinstance(outputs, (list, tuple, collections.deque)):
        return type(outputs)([replaced(value, by) for value in outputs])
    if isinstance(outputs, (type, torch.nn.Module)) or callable(outputs):
        return outputs
    if not dataclasses.is_dataclass(outputs) and not hasattr(outputs, "__dict__"):
        return outputs
    names = [each.name for each in dataclasses.fields(outputs)] if dataclasses.is_dataclass(outputs) else vars(outputs)
    new = copy.copy(outputs)
    for name in list(names):
        object.__setattr__(new, name, replaced(getattr(outputs, name), by))
    return new


def picked(outputs: Any, rows: torch.Tensor, count: int) -> Any:
    """Some rows of outputs for `count` rows. Raises ValueError where a tensor has no such rows."""

    def pick(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() == 0 or len(tensor) != count:
            raise ValueError("these outputs are not one for each row.")
        return tensor[rows]

    return replaced(outputs, pick)
