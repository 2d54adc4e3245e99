"""One student's notebook, run for marks: cells in a cage, checks and hidden tests outside it, and the outputs put into
the notebook."""

import ast
import builtins
import copy
import os
import re
import traceback
from pathlib import Path

from cage import Cage, Died, Failed, Other, Overtime, limit
from nbformat import NotebookNode
from submission import Refused

MET = (  # how a cell that met a limit of the cage is known, and the words for it
    (r"^KeyboardInterrupt: (stopped after \S+ seconds (?:of computing|by the clock))", r"was \1"),
    (r"^MemoryError|allocate memory", "had no memory left"),
    (r"File too large|No space left on device|Disk quota exceeded", "wrote a file that is too large"),
    (r"and ([\d,]+) characters more, which were cut off", r"printed \1 characters more than are kept"),
)

GPU_CODE = re.compile(r'"functions": (checks\.code_name\([^()]*\))')  # how a lab's GPU cell names what it uses
GPU_LINE = re.compile(r"""functions\\?["']\s*:\W*(\w*)""")  # that name in the cell's line, as an answer holds it

CANARIES = (  # tests that must fail: without a cage, a student's code may have changed what tests them
    "assert False",
    "assert abs(1.0) < 0.5 or all([False])",
    "assert torch.allclose(torch.zeros(2), torch.ones(2)) or torch.equal(torch.zeros(2), torch.ones(2))",
    "assert np.allclose([0.0], [1.0])",
    "raise ValueError",
)


def run(notebook, master, home, seed):
    """(notebook with outputs, notes).

    One cell may compute for $FLATLAB_CELL_SECONDS, by default 120, and one student for $FLATLAB_STUDENT_MINUTES, by
    default 20; by the clock all may take ten times as long. A cell that meets a limit is noted. What stands below the
    cell in which the student's time ended counts as not answered.

    Parameters
    ----------
    notebook, master : NotebookNode
        The mended submission, and the lab with solutions and hidden tests.
    home : path
        An empty directory, the student's while it lasts.
    seed : str
        What the hidden tests draw their problems from.
    """
    tests = {cell.metadata.nbgrader.grade_id: cell.source for cell in master.cells if is_test(cell)}
    checks = {cell.metadata.nbgrader.grade_id: asked for cell in master.cells if (asked := check_of(cell))}
    functions, variables = answered(master)
    notebook, notes = copy.deepcopy(notebook), []
    os.environ["FLATLAB_MARK_SEED"] = seed
    seconds, minutes = limit("FLATLAB_CELL_SECONDS"), limit("FLATLAB_STUDENT_MINUTES")
    over = []  # the outputs of each cell after the student's time
    with Cage(Path(home), seconds, minutes) as cage:
        space = examiners(cage, functions)
        for number, cell in enumerate(notebook.cells):
            name = _mark(cell).get("grade_id", f"{number + 1} (the student's own)")
            try:
                if cell.cell_type != "code":
                    continue
                if over:
                    cell.outputs = over
                elif is_test(cell):
                    cell.outputs = examine(tests[name], space, cage, variables, f"of the test '{name}'", notes)
                elif name in checks:
                    cell.outputs = checked(*checks[name], cage, space, f"of the check '{name}'", notes)
                else:
                    cell.outputs = _outputs(cell.source, cage, f"'{name}'", notes)
                    notes += of_other_functions(cell, notebook, cage)
            except Overtime as length:
                notes.append(f"stopped after {length}, in the cell '{name}': what follows was not run.")
                over = cell.outputs = [_error("Overtime", f"stopped after {length}")]
        if not all(examine(source, space, cage, set(), "of a canary", []) for source in CANARIES):
            raise Refused("a test that must fail has passed: the student's code has changed the marking.")
    return notebook, notes


def is_test(cell):
    """Whether a cell is code that gives marks."""
    return cell.cell_type == "code" and bool(_mark(cell).get("grade"))


def check_of(cell):
    """(exercise, function) of a given cell that asks a check, `checks.exercise(function)`; None for any other."""
    asked = re.fullmatch(r"checks\.(\w+)\((\w+)\)", cell.source.strip()) if cell.cell_type == "code" else None
    return asked.groups() if asked and _mark(cell).get("locked") else None


def of_other_functions(cell, notebook, cage):
    """A note where this is the given cell that a GPU runs, and an answer holds a line that names other functions than
    those above it. A student may have mended one since, and who types a line can work its name out: so it costs no
    marks, and a person reads it."""
    own = [one.source for one in notebook.cells if one.cell_type == "code" and not _mark(one).get("locked")]
    named = {name for source in own for name in GPU_LINE.findall(source)}
    asked = GPU_CODE.search(cell.source) if _mark(cell).get("locked") and named else None
    if not asked or named & set(re.findall(r"\w+", str(_outputs(asked[1], cage, "", [])))):
        return []
    return ["the line of its GPU run names other functions than the notebook has: read it."]


def answered(master):
    """(functions, variables): the names that the lab's answers give to functions, and to values."""
    answers = [cell.source for cell in master.cells if cell.cell_type == "code" and _mark(cell).get("solution")]
    return set().union(*map(_defined, answers)), set().union(*map(_assigned, answers))


def _mark(cell):
    return cell.metadata.get("nbgrader", {})


def examiners(cage, functions):
    """The names that a hidden test finds: libraries, and the student's functions, which are carried out in the cage."""
    import numpy
    import torch

    import flatlab

    torch.set_num_threads(1)
    space = {"flatlab": flatlab, "np": numpy, "os": os, "torch": torch}
    return space | {name: cage.function(name) for name in functions}


def examine(source, space, cage, variables, where, notes):
    """The outputs of a hidden test: none if it passes."""
    try:
        used = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
        exec(source, space | {name: cage.value(name) for name in used & variables})
    except Overtime:
        raise
    except Died as why:
        notes.append(f"the kernel ended in a call {where}: {why}.")
        return [_error("Died", str(why))]
    except Failed as error:
        notes += met(str(error), f"a call {where}")
        return [_error("Failed", str(error))]
    except Exception as error:  # noqa: BLE001 - a test fails in any way
        line = traceback.extract_tb(error.__traceback__)[-1].lineno
        return [_error(type(error).__name__, f"line {line}: {error}")]
    return []


def checked(exercise, name, cage, space, where, notes):
    """The output of a check's cell: what the check says of the student's function of this name."""
    from flatlab.checks import CHECKS

    try:
        known = cage.value(name)
    except Failed:
        return [_error("NameError", f"name {name!r} is not defined")]
    answer = CHECKS[exercise](Asked(name, cage, space, where, notes) if isinstance(known, Other) else known)
    text = {"text/plain": repr(answer)}
    return [NotebookNode(output_type="execute_result", data=text, metadata={}, execution_count=None)]


class Asked:
    """A student's function as a check calls it: carried out in the cage. What it raises there is raised here as an
    error of the same class, and with the sentence for it."""

    def __init__(self, name, cage, space, where, notes):
        self.function, self.where, self.notes = cage.function(name), where, notes
        self.__globals__ = space  # the student's other functions

    def __call__(self, *args, **kwargs):
        from flatlab.checks.answer import Wrong

        try:
            answer = self.function(*args, **kwargs)
        except Died as why:
            self.notes.append(f"the kernel ended in a call {self.where}: {why}.")
            raise Wrong(f"the kernel ended: {why}.") from None
        except Failed as error:
            self.notes += met(str(error), f"a call {self.where}")
            known = getattr(builtins, error.kind, None)
            also = (known,) if known in (ZeroDivisionError, ValueError, TypeError) else ()
            raise type("Stopped", (Wrong, *also), {})(error.said) from None
        if isinstance(answer, Other):
            raise Wrong(f"it returns {answer!r}: return a number, or numbers in a list, an array or a tensor.")
        return answer


def _outputs(source, cage, where, notes):
    try:
        outputs = [NotebookNode(output) for output in cage.run(source)]
        for output in outputs:
            said = output.get("traceback", [output.get("text", "")])[0]
            notes += met(said, f"the cell {where}") or stopped(output, where)
        return outputs
    except Died as why:
        notes.append(f"the kernel ended in cell {where}: {why}; the cells after it were run in a new one.")
        return [_error("Died", str(why))]
    except Failed as error:
        return [_error("Failed", str(error))]


def met(said, where):
    """A note for each limit of the cage of which an output tells."""
    found = [(re.search(pattern, said), words) for pattern, words in MET]
    return [f"{where} {match.expand(words)}." for match, words in found if match]


def stopped(output, where):
    """A note where a cell has stopped with an error: it may run on the student's machine and not here."""
    return [f"the cell {where} stopped: {output.traceback[0][:200]}"] if output.output_type == "error" else []


def _error(name, text):
    return NotebookNode(output_type="error", ename=name, evalue=text[:500], traceback=[f"{name}: {text[:500]}"])


def _defined(source):
    return {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


def _assigned(source):
    return {
        target.id
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
