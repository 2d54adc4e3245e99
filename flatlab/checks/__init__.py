"""What a lab asks of a student's function: `checks.box(my_function)` answers "right", or with one hint about the
mistake.

There is one module for each lab. A new module named like one, lab2.py, needs no line here: its checks are found.
"""

import importlib
import pkgutil

from flatlab.checks.answer import CHECKS, Check, attempt
from flatlab.checks.kept import Kept

for _module in pkgutil.iter_modules(__path__):
    if _module.name.startswith("lab"):
        importlib.import_module(f"flatlab.checks.{_module.name}")

__all__ = ["Kept", "attempt", *sorted(CHECKS)]  # noqa: PLE0604 - they are strings


def __getattr__(name: str) -> Check:
    if name in CHECKS:
        return CHECKS[name]
    raise AttributeError(f"there is no check {name!r}: choose {', '.join(sorted(CHECKS))}.")


def __dir__() -> list[str]:
    return sorted({*globals(), *CHECKS})
