"""The settings of torch that change numbers, set aside while flatlab computes: no result depends on its caller's."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch

from flatlab.measure import memory

P = ParamSpec("P")
R = TypeVar("R")

# Torch 2.9 and later keep how exact products of float32 numbers are by backend and operation. An operation follows its
# backend, and a backend what is set for all of them ("generic"), unless it was set itself. Once anyone has used these
# names the older ones raise.
_Setting: Any = type(torch.backends.cudnn.conv) if hasattr(torch.backends.cudnn, "conv") else None
_OPERATIONS: dict[str, list[Any]] = {
    kind: [_Setting(backend, operation) for operation in ("matmul", "conv", "rnn")] if _Setting else []
    for kind, backend in (("cuda", "cuda"), ("cpu", "mkldnn"))
}

# Torch's settings and its generators are the process's, and an Objective has one network, so that of several threads
# one computes at a time.
ALONE = threading.RLock()
if hasattr(os, "register_at_fork"):  # the thread that holds it is not there in the child
    os.register_at_fork(after_in_child=ALONE._at_fork_reinit)  # type: ignore[attr-defined]


@contextmanager
def own_arithmetic(device: torch.device, *, tf32: bool = False) -> Iterator[None]:
    """Compute in the type of the numbers, whatever the caller has set; the caller's settings come back afterwards.

    Inside, autocast and inference mode are off, cuDNN does not choose its kernels by their speed, and products of
    float32 numbers are made in float32. No other thread is inside.

    Parameters
    ----------
    device
        Where the numbers lie.
    tf32
        Allow TF32 in products on a GPU, as training may.

    Notes
    -----
    Of the 24 bits of a float32, TF32 keeps 11 and bfloat16 8 in a product, which can be more than a loss rises in a
    small box. Source: "Numerical accuracy" and "CUDA semantics" in torch's documentation.
    """
    kind = device.type
    tf32 = tf32 and kind == "cuda"
    with ALONE, ExitStack() as stack:
        if not _is_own(kind, tf32):
            _set_aside(stack, kind, tf32)
        yield


def in_own_arithmetic(measurement: Callable[P, R]) -> Callable[P, R]:
    """The measurement, computed in own arithmetic where its first argument lies: a function, an operator or a point.

    Where the memory does not suffice for its vectors, one sentence says so.
    """

    def sentence(reason: str) -> str:
        return (
            f"the memory does not suffice for {measurement.__name__}, which holds several vectors as long as x "
            f"({reason}): take a device with more of it, or ask for less at once (fewer values, steps or points)."
        )

    @wraps(measurement)
    def guarded(*arguments: P.args, **options: P.kwargs) -> R:
        first = arguments[0] if arguments else next(iter(options.values()), None)
        device = getattr(getattr(first, "x", first), "device", None)
        with own_arithmetic(device if isinstance(device, torch.device) else torch.device("cpu")):
            return memory.within(lambda: measurement(*arguments, **options), sentence)

    return guarded


def _is_own(kind: str, tf32: bool) -> bool:
    return not (
        torch.is_inference_mode_enabled()
        or torch.is_autocast_enabled(kind)
        or torch.is_autocast_enabled("cpu")
        or (kind == "cuda" and torch.backends.cudnn.benchmark)
        or not _is_precise(kind, tf32)
    )


def _is_precise(kind: str, tf32: bool) -> bool:
    wanted = ("tf32",) if tf32 else ("ieee", "none")
    if _Setting:
        return all(operation.fp32_precision in wanted for operation in _OPERATIONS.get(kind, ()))
    same = torch.get_float32_matmul_precision() == ("high" if tf32 else "highest")
    return same and (kind != "cuda" or torch.backends.cudnn.allow_tf32 == tf32)


def _set_aside(stack: ExitStack, kind: str, tf32: bool) -> None:
    if torch.is_inference_mode_enabled():
        stack.enter_context(torch.inference_mode(False))
    for each in {kind, "cpu"}:
        if torch.is_autocast_enabled(each):
            stack.enter_context(torch.autocast(each, enabled=False))
    if kind == "cuda" and torch.backends.cudnn.benchmark:
        _set(stack, torch.backends.cudnn, "benchmark", True, False)
    if not _is_precise(kind, tf32):
        (_set_precision if _Setting else _set_older_names)(stack, kind, tf32)


def _set(stack: ExitStack, place: Any, name: str, before: Any, wanted: Any) -> None:
    stack.callback(setattr, place, name, before)
    setattr(place, name, wanted)


def _set_precision(stack: ExitStack, kind: str, tf32: bool) -> None:
    """Set the backend, then those operations that do not follow it.

    The others are left alone, because an operation that was never set has a default that cannot be given back to it.
    """
    wanted, operations = "tf32" if tf32 else "ieee", _OPERATIONS[kind]
    backend, every = _Setting(operations[0].backend, "all"), _Setting("generic", "all")
    _set(stack, backend, "fp32_precision", _own(backend, every), wanted)
    for operation in operations:
        if operation.fp32_precision != wanted:
            _set(stack, operation, "fp32_precision", operation.fp32_precision, wanted)


def _own(backend: Any, every: Any) -> str:
    """What was set for the backend itself: "none" where it follows what is set for all of them."""
    general, answer = every.fp32_precision, backend.fp32_precision
    if answer == general:
        every.fp32_precision = "ieee" if general != "ieee" else "tf32"
        answer = answer if backend.fp32_precision == answer else "none"
        every.fp32_precision = general
    return answer


def _set_older_names(stack: ExitStack, kind: str, tf32: bool) -> None:
    """Before torch 2.9: one setting for products on every kind of device, and one for cuDNN."""
    stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    if kind == "cuda":
        _set(stack, torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32, tf32)
