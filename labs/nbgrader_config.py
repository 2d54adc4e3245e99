"""How nbgrader makes the students' editions and marks them. `labs/pipeline.py` loads this."""

c = get_config()  # noqa: F821  nbgrader defines it

c.ClearSolutions.code_stub = {"python": 'raise NotImplementedError("not written yet")'}
c.ClearSolutions.text_stub = "**Your answer:** (replace this line)"
