"""How a check answers: "right", or one hint about the mistake. The checks themselves are in one module for each lab.

Each check runs the function on a small problem whose answer is known: from a closed form, or from what the function
itself asked for, which is recorded. A wrong answer is compared with what the common mistakes give, and the hint is the
one of the mistake that fits. The mark does not come from here: hidden tests, on other problems, decide it.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from flatlab.checks.kept import Kept
from flatlab.training.store import Store


class Answer:
    """What a check says of a function. It is true if the function is right, and shows as one line of text."""

    def __init__(self, right: bool, text: str) -> None:
        self.right, self.text = right, text

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return ("✓ " if self.right else "✗ ") + self.text


class Wrong(Exception):
    """The hint that answers a wrong result."""


#: The function that a student wrote.
Student = Callable[..., Any]
#: What examines a student's function.
Check = Callable[[Student], Answer]
CHECKS: dict[str, Check] = {}  # exercise -> its check


def check(examine: Callable[[Student], str | None]) -> Check:
    """Make a check, which returns an `Answer` and never raises, from `examine(student)`, which raises `Wrong`.

    What `examine` returns, if anything, is a remark about a right answer, and is said with it.
    """
    exercise = examine.__name__
    if exercise in CHECKS:
        raise ValueError(f"two labs have an exercise {exercise!r}: give one of them another name.")

    def answer(student: Student) -> Answer:
        try:
            if not callable(student):
                raise Wrong(f"it gets {kind(student)}, and should get your function: write its name without brackets.")
            with torch.device("cpu"):  # where the public problem lies, whatever device is the default
                remark = examine(student)
        except Exception as error:  # noqa: BLE001 - whatever a student's code raises
            return Answer(False, f"{exercise}: {sentence(error)}")
        said = f"{exercise}: right on the public problem."
        return Answer(True, f"{said} {remark}" if remark else said)

    # Its name and words are those of `examine`. What it returns is not, so a help may look for neither the one's
    # annotations nor, by `__wrapped__`, for its signature.
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(answer, name, getattr(examine, name))
    CHECKS[exercise] = answer
    return answer


@contextlib.contextmanager
def attempt(store: Store | Kept | None = None) -> Iterator[None]:
    """Run an experiment that calls a student's function; where that stops, say so in one line instead of a traceback.

    Parameters
    ----------
    store : Store or Kept, optional
        Where the experiment's runs are kept: what was found there is said, as "6 runs read, 1 resumed at epoch 9", so
        that after a cut a student sees that nothing is trained twice.
    """
    found: list[tuple[bool, int]] = []  # (half-finished, epochs) of what was read from the store
    try:
        with contextlib.ExitStack() as watching:
            if isinstance(store, Kept):
                watching.enter_context(_counted(store, found))
            elif store is not None:
                watching.enter_context(_watched(store, found))
            yield
    except Exception as error:  # noqa: BLE001 - whatever a student's code raises
        print("✗", sentence(error))
    read = sum(not partial for partial, _ in found)
    notes = [f"{read} {'run' if read == 1 else 'runs'} read"] if read else []
    notes += [f"1 resumed at epoch {epochs}" for partial, epochs in found if partial]
    if notes:
        print(f"({', '.join(notes)}.)")


@contextlib.contextmanager
def _counted(kept: Kept, found: list[tuple[bool, int]]) -> Iterator[None]:
    """Note what is read of what is kept."""
    before = kept.read
    try:
        yield
    finally:
        found += [(False, 0)] * (kept.read - before)


@contextlib.contextmanager
def _watched(store: Store, found: list[tuple[bool, int]]) -> Iterator[None]:
    """Note what is read from a store."""
    get = store.get

    def watched(key, partial=False, device="cpu"):
        if run := get(key, partial, device):
            found.append((partial, len(run[1]["history"]["epoch"])))
        return run

    store.get = watched  # type: ignore[method-assign]
    try:
        yield
    finally:
        del store.get


def sentence(error: Exception) -> str:
    """What stopped a student's code, in one line, with the line of the cell where it stopped."""
    if isinstance(error, Wrong):
        return str(error)
    if isinstance(error, NotImplementedError):
        return "not written yet. Replace the line that raises NotImplementedError."
    # Jupyter's cells are files of ipykernel, Colab's are named ipython-input-N.py.
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "ipykernel" in frame.filename or "ipython-input" in frame.filename
    ]
    where = f" in `{frames[-1].line}`, line {frames[-1].lineno} of its cell" if frames else ""
    first = str(error).strip().splitlines()[:1]
    return f"your code stopped{where}: {type(error).__name__}: {first[0] if first else 'no message'}."


def kind(thing: object) -> str:
    """What a thing is, as one says it: "a list", "an int", "nothing (None)"."""
    if thing is None:
        return "nothing (None)"
    name = "generator" if inspect.isgenerator(thing) else type(thing).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def numbers(answer: object, shape: Sequence[int], meaning: str) -> torch.Tensor:
    """The answer as float64 numbers of a shape: floats, lists, arrays and tensors of any type and device are welcome.

    Parameters
    ----------
    answer
        What the student's function returned.
    shape
        The shape that is asked for, () for one number.
    meaning
        What the numbers are, for the hint: "one radius for each parameter".

    Raises
    ------
    Wrong
        Where the answer is none of that: with a hint that names what it is.
    """
    shape = tuple(shape)
    if answer is None:
        raise Wrong("it returns nothing (None): end it with `return` and the result.")
    if inspect.isgenerator(answer) or isinstance(answer, (dict, set, str, bytes, map, filter, zip)):
        raise Wrong(f"it returns {kind(answer)}, and should return {meaning}: {'a list' if shape else 'a float'}.")
    if isinstance(answer, (list, tuple)):
        answer = torch.cat([_row(value, meaning) for value in answer]) if answer else torch.zeros(0)
    found = _tensor(answer)
    if found.numel() == int(np.prod(shape)) and (found.dim() <= 1 or not shape or 1 in found.shape):
        found = found.reshape(shape)
    if found.shape != shape:
        raise Wrong(f"it returns shape {tuple(found.shape)}, and should return {meaning}, shape {shape}.")
    if not found.isfinite().all():
        raise Wrong("it returns nan or infinity.")
    return found


def _tensor(value: object) -> torch.Tensor:
    """A number, an array, a column of pandas or a tensor as float64. torch takes neither an array that is read
    backwards nor one of long doubles."""
    if hasattr(value, "__array__") and not isinstance(value, torch.Tensor):
        value = np.array(value)
        value = value.astype(float) if value.dtype == np.longdouble else value
    return torch.as_tensor(value).detach().cpu().double()  # type: ignore[arg-type]


def _row(value: object, meaning: str) -> torch.Tensor:
    """One element of a list as a vector of one number."""
    if isinstance(value, (list, tuple)):
        raise Wrong(f"it returns a list of lists, and should return {meaning}: a list of numbers.")
    if value is None or isinstance(value, (str, bytes, dict, set)):
        raise Wrong(f"it returns a list that holds {kind(value)}, and should return {meaning}.")
    row = _tensor(value)
    if row.numel() != 1:
        raise Wrong(f"it returns a list that holds shape {tuple(row.shape)}, and should return {meaning}.")
    return row.reshape(1)


def table(answer: object, shape: Sequence[int | None], meaning: str) -> torch.Tensor:
    """As `numbers`, for several dimensions: the answer may also be a list of its rows, of lists, arrays or tensors.

    Parameters
    ----------
    answer, meaning
        As for `numbers`.
    shape
        The shape that is asked for. Where its first number is None, any number of rows is welcome.
    """
    rows, inner = shape[0], [int(size) for size in shape[1:] if size is not None]
    if _is_flat(answer):
        raise Wrong(f"it returns one long row, and should return {meaning}.")
    if isinstance(answer, (list, tuple)):
        lengths = {len(row) if hasattr(row, "__len__") else 0 for row in answer}
        if lengths - {inner[0]}:
            raise Wrong(f"it returns a list of lists of other lengths, and should return {meaning}.")
        if rows is not None and len(answer) != rows:
            raise Wrong(f"it returns a list of {len(answer)} rows, and should return {meaning}.")
        found = [numbers(row, inner, meaning) if len(inner) == 1 else table(row, inner, meaning) for row in answer]
        return torch.stack(found) if found else torch.zeros(0, *inner)
    if rows is None:
        rows = len(answer) if getattr(answer, "ndim", 0) else 0  # type: ignore[arg-type]
    return numbers(answer, (rows, *inner), meaning)


def _is_flat(answer: object) -> bool:
    """Whether an answer has numbers, and one dimension only."""
    if isinstance(answer, (list, tuple)):
        return bool(answer) and not any(isinstance(one, (list, tuple)) or getattr(one, "ndim", 0) for one in answer)
    return getattr(answer, "ndim", None) == 1


def match(
    answer: torch.Tensor, right: object, mistakes: Iterable[tuple[object, str]], otherwise: str, rtol: float = 1e-3
) -> None:
    """Nothing if the answer is right, up to a relative difference; else raise the hint of the first mistake that gives
    this answer, or `otherwise`."""
    size = float(1e-9 + torch.as_tensor(right).double().abs().max())  # type: ignore[arg-type]

    def same(value: object) -> bool:
        value = torch.as_tensor(value).double()  # type: ignore[arg-type]
        return torch.allclose(answer, value.expand_as(answer), rtol=rtol, atol=1e-6 * size)

    if not same(right):
        raise Wrong(next((hint for value, hint in mistakes if same(value)), otherwise))


def printed(text: str, read: Callable[[dict], dict]) -> dict:
    """What `read` takes from the line of JSON that a GPU cell printed, its device, and the name of the functions that
    made it, by which a copied line is known; a hint where it is no such line."""
    try:
        found = json.loads(text)
        taken = {**read(found), **{name: str(found[name]) for name in ("device", "functions")}}
    except (ValueError, KeyError, TypeError):
        raise Wrong("this is not the whole line that the cell printed, from { to }: copy it again.") from None
    if taken["device"].lower() in ("", "cpu", "the cpu"):
        raise Wrong("the line was not written on a GPU: take the recorded run instead.")
    return taken


def unchanged(name: str, tensor: torch.Tensor, before: torch.Tensor) -> None:
    """Refuse a function that has changed its argument of this name in place."""
    if not torch.equal(tensor, before):
        raise Wrong(
            f"it changes its argument {name} in place, so the next experiment starts elsewhere: work on a copy."
        )


def reused(given: Sequence[object]) -> bool:
    """Whether these are one thing, made once and used again, where equal ones could be made anew each time. All of them
    must still be held, so that no address in memory is given twice."""
    return len({one.data_ptr() if isinstance(one, torch.Tensor) else id(one) for one in given}) == 1


def predicted(answer: object, count: int = 3) -> bool:
    """Whether predictions have an answer, right or wrong, to each of so many questions, by its number or the number as
    text."""
    given = [answer.get(k, answer.get(str(k))) for k in range(1, count + 1)] if isinstance(answer, dict) else [None]
    return all(one is not None and str(one).strip() for one in given)


def seeded(draws: str, repeats: bool, varies: bool) -> None:
    """Refuse draws, "other batches" or "another start", that one seed does not repeat, or another does not change."""
    if not repeats:
        raise Wrong(f"the same seed gives {draws}: draw from a generator that is seeded with seed.")
    if not varies:
        raise Wrong(f"another seed gives the same {draws.split()[1]}: pass seed on to the generator.")


def normals(*shape: int, seed: int) -> torch.Tensor:
    """Standard normal numbers that a seed decides."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Hill:
    """A function f that writes down where it is evaluated.

        f(y) = height + sign/2 sum_i a_i (y_i - centre_i)^2

    Each coordinate has a curvature a_i of its own.
    """

    def __init__(self, curvature: torch.Tensor, centre: torch.Tensor, height: float, sign: int) -> None:
        self.curvature, self.centre, self.height, self.sign = curvature, centre, height, sign
        self.points: list[torch.Tensor] = []  # where it was evaluated, in this order
        self.gradients = 0  # how many of those asked for the gradient too

    def at(self, y: torch.Tensor) -> float:
        """f(y), not written down."""
        return float(self.height + self.sign * 0.5 * (self.curvature * (y - self.centre).square()).sum())

    def value(self, y: torch.Tensor) -> float:
        """f(y)."""
        self.points.append(y.detach().clone())
        return self.at(y)

    def gradient(self, y: torch.Tensor) -> tuple[float, torch.Tensor]:
        """f(y) and the gradient at y."""
        self.gradients += 1
        return self.value(y), self.sign * self.curvature * (y.detach() - self.centre)
