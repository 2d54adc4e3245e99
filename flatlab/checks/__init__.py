"""What a lab asks of a student's function: `checks.box(my_function)` answers "right", or with one hint about the
mistake.

There is one module for each lab. A new module named like one, lab2.py, needs no line here: its checks are found.

Where a lab is marked, these modules are not there for the student's code, since they hold answers: the marker asks the
checks. What the lab's own cells need is in the other modules.
"""

import importlib
import pkgutil
from collections.abc import Callable

from flatlab.checks.answer import CHECKS, attempt
from flatlab.checks.kept import Kept, code_name

for _module in pkgutil.iter_modules(__path__):
    if _module.name.startswith("lab"):
        importlib.import_module(f"flatlab.checks.{_module.name}")

__all__ = ["Kept", "attempt", "code_name", *sorted(CHECKS)]  # noqa: PLE0604 - they are strings


def __getattr__(name: str) -> Callable[..., object]:
    if name in CHECKS:
        return CHECKS[name]
    if not CHECKS and not name.startswith("_"):
        return lambda student: f"{name}: the marker asks this check."
    raise AttributeError(f"there is no check {name!r}: choose {', '.join(sorted(CHECKS))}.")


def __dir__() -> list[str]:
    return sorted({*globals(), *CHECKS})
