"""How nbgrader makes the students' editions and marks them. `labs/pipeline.py` loads this."""

import os

c = get_config()  # noqa: F821  nbgrader defines it

c.ClearSolutions.code_stub = {"python": 'raise NotImplementedError("not written yet")'}
c.ClearSolutions.text_stub = "**Your answer:** (replace this line)"
# Seconds a cell: an endless loop is interrupted, and the cells after it still run.
c.Execute.timeout = int(os.environ.get("FLATLAB_CELL_SECONDS", "120"))
c.Execute.iopub_timeout = 20
c.Execute.raise_on_iopub_timeout = False
