"""A device's memory that is used up: how it is known, and how it is said in one sentence with what to do."""

import re
from collections.abc import Callable
from typing import TypeVar

import torch

from flatlab.measure import door

T = TypeVar("T")

# Of torch's errors that are no OutOfMemoryError: the processor's, those of CUDA's libraries, and Apple's.
SAID = re.compile(r"out of memory|can't allocate memory|not enough memory|STATUS_ALLOC_FAILED")


class UsedUp(torch.OutOfMemoryError):
    """A device's memory is used up, in one sentence that says what to do."""


def is_used_up(error: BaseException) -> bool:
    """Whether an error says that memory is used up, which each device and library does in its own words.

    An error of torch's that was raised on the way out, as by a graph whose capture was broken off, hides what it said.
    """
    if not isinstance(error, RuntimeError):
        return isinstance(error, MemoryError)
    before = error.__context__
    said = isinstance(error, torch.OutOfMemoryError) or SAID.search(str(error)) is not None
    return said or (before is not None and is_used_up(before))


def within(compute: Callable[[], T], sentence: Callable[[str], str]) -> T:
    """compute(), or, where the memory does not suffice for it, `UsedUp` with sentence(what the device said).

    The sentence is raised alone, because torch's error and its traceback hold what has filled the memory.
    """
    try:
        return compute()
    except UsedUp:
        raise
    except Exception as error:
        if not is_used_up(error):
            raise
        said = door.reason(error)
    raise UsedUp(sentence(said))
