"""In the book a slider is one call, at its first value: book/build.py gives this file to every kernel at its start.

A reader has no kernel to move it with, and a page executed without a browser was seen to wait endlessly for a widget's
messages. A number that a cell ends with has six digits: the seventeen of a double say nothing more.
"""

import ipywidgets
from IPython import get_ipython


def once(function, **controls):
    """Call a function at the values of its controls."""
    function(**{name: control.value for name, control in controls.items()})


ipywidgets.interact = ipywidgets.interactive = once
get_ipython().run_line_magic("precision", "%.6g")
