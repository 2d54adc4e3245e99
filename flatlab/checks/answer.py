"""How a check answers: "right", or one hint about the mistake. The checks themselves are in one module for each lab.

Each check runs the function on a small problem whose answer is known: from a closed form, or from what the function itself asked for,
which is recorded. A wrong answer is compared with what the common mistakes give, and the hint is the one of the mistake that fits.
The mark does not come from here: hidden tests, on other problems, decide it.
"""

import contextlib
import functools
import traceback

import numpy as np
import torch


class Verdict:
    """True if the function is right. Shows as one line of text."""

    def __init__(self, passed, text):
        self.passed, self.text = passed, text

    def __bool__(self):
        return self.passed

    def __repr__(self):
        return ("✓ " if self.passed else "✗ ") + self.text


class Wrong(Exception):
    """The hint that answers a wrong result."""


def check(examine):
    """Turn examine(student), which raises Wrong, into a check that returns a `Verdict` and never raises."""

    @functools.wraps(examine)
    def verdict(student):
        try:
            examine(student)
        except Exception as error:  # noqa: BLE001 - whatever a student's code raises
            return Verdict(False, f"{examine.__name__}: {sentence(error)}")
        return Verdict(True, f"{examine.__name__}: right on the public problem.")

    return verdict


@contextlib.contextmanager
def attempt():
    """Run an experiment that calls a student's function; where that stops, say so in one line instead of a traceback."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever a student's code raises
        print("✗", sentence(error))


def sentence(error):
    if isinstance(error, Wrong):
        return str(error)
    if isinstance(error, NotImplementedError):
        return "not written yet. Replace the line that raises NotImplementedError."
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "ipykernel" in frame.filename]
    where = f" in `{frames[-1].line}`, line {frames[-1].lineno} of its cell" if frames else ""
    first = str(error).strip().splitlines()[:1]
    return f"your code stopped{where}: {type(error).__name__}: {first[0] if first else 'no message'}."


def numbers(answer, shape, meaning):
    """The answer as float64 numbers of a shape: floats, lists, arrays and tensors are all welcome."""
    if answer is None:
        raise Wrong("it returns nothing (None): end it with `return` and the result.")
    if isinstance(answer, (list, tuple)):
        answer = [float(value) for value in answer]
    answer = torch.as_tensor(answer).detach().cpu().double()
    if answer.numel() == int(np.prod(shape)) and (answer.dim() <= 1 or not shape):
        answer = answer.reshape(shape)
    if answer.shape != shape:
        raise Wrong(f"it returns shape {tuple(answer.shape)}, and should return {meaning}, shape {tuple(shape)}.")
    if not answer.isfinite().all():
        raise Wrong("it returns nan or infinity.")
    return answer


def match(answer, right, mistakes, otherwise):
    """Nothing if the answer is right; else the hint of the first mistake that gives this answer."""

    def same(value):
        value = torch.as_tensor(value).double()
        return torch.allclose(
            answer, value, rtol=1e-3, atol=1e-6 * float(1e-9 + torch.as_tensor(right).double().abs().max())
        )

    if not same(right):
        raise Wrong(next((hint for value, hint in mistakes if same(value)), otherwise))


def unchanged(tensor, before):
    if not torch.equal(tensor, before):
        raise Wrong("it changes its argument x in place, so the next experiment starts elsewhere: work on a copy.")


def normals(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Hill:
    """f(y) = height + sign/2 sum a_i (y_i - centre_i)^2, which writes down where it is evaluated."""

    def __init__(self, curvature, centre, height, sign):
        self.curvature, self.centre, self.height, self.sign, self.points = curvature, centre, height, sign, []

    def at(self, y):
        return float(self.height + self.sign * 0.5 * (self.curvature * (y - self.centre).square()).sum())

    def value(self, y):
        self.points.append(y.detach().clone())
        return self.at(y)

    def gradient(self, y):
        return self.value(y), self.sign * self.curvature * (y.detach() - self.centre)
