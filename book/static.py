"""In the book a slider is one call, at its first value: book/build.py gives this file to every kernel at its start.

A reader has no kernel to move it with, and a page executed without a browser was seen to wait endlessly for a widget's
messages.
"""

import ipywidgets


def once(function, **controls):
    """Call a function at the values of its controls."""
    function(**{name: control.value for name, control in controls.items()})


ipywidgets.interact = ipywidgets.interactive = once
