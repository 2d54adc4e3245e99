"""What a lab asks of a student's function: `checks.box(my_function)` answers "right", or with one hint about the mistake."""

from flatlab.checks.answer import attempt
from flatlab.checks.lab1 import barrier, box, gap, line, noise, phi, slope, subspace

__all__ = ["attempt", "barrier", "box", "gap", "line", "noise", "phi", "slope", "subspace"]
