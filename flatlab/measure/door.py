"""What is passed to a measurement is checked here, before anything is computed: one sentence says what is wrong and
what to do.

Members are asked for by name (see `protocols`), so that a user's own f or operator passes as well as ours.
"""

import math
import operator as operators
import reprlib
from collections.abc import Iterable

import torch
from torch import nn

from flatlab.measure.protocols import Function, Operator


def function(f: Function, measurement: str, *members: str) -> None:
    """Refuse an f that lacks one of the members that this measurement uses: a network, for instance."""
    missing = [name for name in members if not hasattr(f, name)]
    if isinstance(f, (type, nn.Module)) or missing:
        lack = "" if isinstance(f, (type, nn.Module)) else f", which has no .{missing[0]}"
        raise ValueError(
            f"{measurement} takes an Objective: flatlab.Objective(net, (inputs, targets)); this is {_kind(f)}{lack}."
        )


def has_batch_norm(f: Function) -> bool:
    """Whether f's network has a BatchNorm layer; a function without a network has none."""
    model = getattr(f, "model", None)
    return isinstance(model, nn.Module) and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())


def instance(thing: object, kind: type | tuple[type, ...], sentence: str) -> None:
    """Refuse what is of another kind, with the sentence that says what is taken."""
    if isinstance(thing, kind):
        return
    raise ValueError(f"{sentence}; this is {_kind(thing)}.")


def operator(a: Operator, measurement: str) -> None:
    """Refuse what is no square linear map: an Objective or a network, for instance."""
    if not hasattr(a, "__matmul__"):
        raise ValueError(
            f"{measurement} takes an operator, and this is {_kind(a)}, which has no products A @ v: "
            "pass f.hessian(x) or f.gauss_newton(x), with f = flatlab.Objective(net, (inputs, targets))."
        )
    shape = tuple(getattr(a, "shape", ()))
    if shape and (len(shape) != 2 or shape[0] != shape[1]):
        raise ValueError(f"{measurement} takes a symmetric operator of shape (n, n), and this one has {shape}.")


def point(f: Function, x: torch.Tensor | None, measurement: str, *members: str) -> torch.Tensor:
    """The point to measure f at, detached from any graph: x, or f's own where x is None."""
    function(f, measurement, "x", *members)
    return points(f, measurement, x=f.x if x is None else x)[0]


def points(f: Function | None, measurement: str, **given: torch.Tensor) -> list[torch.Tensor]:
    """Finite vectors of one size, type and device (f's, where f has a point), detached from any graph."""
    found = vectors(f, measurement, **given)
    for name, vector in zip(given, found):
        if not vector.isfinite().all():
            raise ValueError(
                f"{name} is not finite, and {measurement} takes finite points: a run that diverged has none."
            )
    return found


def vectors(f: Function | None, measurement: str, **given: torch.Tensor) -> list[torch.Tensor]:
    """Vectors of one size, type and device (f's, where f has a point), detached from any graph."""
    for name, vector in given.items():
        if not torch.is_tensor(vector):
            hint = "; other arguments have names, as in sharpness(f, eps=1e-3)" if isinstance(vector, float) else ""
            raise ValueError(
                f"{name} is {_kind(vector)}, and {measurement} takes a point, a vector like f.x or run.x{hint}."
            )
    own = getattr(f, "x", None)
    expected = own if torch.is_tensor(own) else next(iter(given.values()))
    for name, vector in given.items():
        same = (vector.shape, vector.dtype, vector.device) == (expected.shape, expected.dtype, expected.device)
        if vector.dim() != 1 or not vector.is_floating_point() or not same:
            raise ValueError(
                f"points and directions must be vectors of one size, type and device, here {_layout(expected)}, "
                f"and {name} is {_layout(vector)}."
            )
    return [vector.detach() for vector in given.values()]


def choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Refuse a value that is not one of the choices."""
    choices = tuple(choices)
    if isinstance(value, bool) or not isinstance(value, (str, int, float, type(None))) or value not in choices:
        raise ValueError(f"{name} is {_kind(value)}: choose one of {', '.join(map(str, choices))}.")


def count(name: str, value: int, least: int = 1, most: int | None = None, what: str = "") -> int:
    """A whole number from `least` to `most`; `what` says what it counts."""
    try:
        number, whole = operators.index(value), ""
    except TypeError:
        number, whole = least - 1, "a whole number, "
    if number < least or (most is not None and number > most):
        bounds = f"{least:,} or more" if most is None else f"{least:,} to {most:,}"
        raise ValueError(f"{name} is {_kind(value)}: choose {whole}{bounds}{what and ', '}{what}.")
    return number


def seed(value: int) -> int:
    """Any whole number, as a seed of a torch.Generator."""
    try:
        return operators.index(value) % 2**63
    except TypeError:
        raise ValueError(f"seed is {_kind(value)}: choose a whole number.") from None


def counts(name: str, values: Iterable[int], least: int = 1, most: int | None = None, what: str = "") -> list[int]:
    """Whole numbers from `least` to `most`, one or more."""
    found = [count(name, value, least, most, what) for value in (values if isinstance(values, Iterable) else [values])]
    if not found:
        raise ValueError(f"{name} is empty: pass one or more whole numbers{what and ', '}{what}.")
    return found


def positive(name: str, value: float, what: str, example: float) -> float:
    """A finite number above 0; `what` says what it is."""
    try:
        number = math.nan if isinstance(value, (str, bool)) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(f"{name} is {_kind(value)}: it is {what} and must be a number above 0, such as {example:g}.")
    return number


def reason(error: BaseException) -> str:
    """What torch or a user's code raised, in one line."""
    kind, said = type(error).__name__, str(error).strip().partition("\n")[0]
    return f"{kind}: {said}" if said else kind


def tolerance(name: str, value: float) -> float:
    """A relative error to stop at: a finite number, 0 or more."""
    if value == 0 and not isinstance(value, bool):
        return 0.0
    return positive(name, value, "a relative error, at which a search stops,", 1e-3)


def numbers(name: str, values: Iterable[float]) -> tuple[float, ...]:
    """Finite numbers, one or more."""
    try:
        found = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        found = ()
    if not found or not all(map(math.isfinite, found)):
        raise ValueError(f"{name} is {_kind(values)}: pass finite numbers, one or more.")
    return found


def _kind(thing: object) -> str:
    """What something is, in a few words: its value where that is one."""
    if isinstance(thing, type):
        return f"the class {thing.__name__}"
    if thing is None or isinstance(thing, (bool, int, float, str)):
        return reprlib.repr(thing)
    name = type(thing).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def _layout(vector: torch.Tensor) -> str:
    return f"{vector.dtype} of shape {tuple(vector.shape)} on {vector.device}"
