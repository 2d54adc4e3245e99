"""A lab from master to marks: the students' edition, the checks and their hints, and a class with everything that goes
wrong in one.

The class is marked once, in one gradebook; the tests read its marks.
"""

import ast
import copy
import inspect
import itertools
import json
import linecache
import re
import runpy
import subprocess
import sys
import tempfile

import cage
import expected
import inside
import nbformat
import numpy as np
import pandas
import pytest
import running
import torch
from edition import PACKAGE, TAGGED, names, release
from marking import suspicions
from masters import EVERY, LABS, defined, find, write
from submission import Refused, preflight

import flatlab
from flatlab import checks
from flatlab.checks import racing
from flatlab.checks.answer import Wrong, predicted, table
from flatlab.study.ledger import Entry, judge
from flatlab.study.recorded import Result
from flatlab.study.rules import Claim

SOLUTION = re.compile(r"^ *### BEGIN SOLUTION\n.*?### END SOLUTION\n?", re.MULTILINE | re.DOTALL)
HIDDEN = re.compile(r"^### BEGIN HIDDEN TESTS\n.*?### END HIDDEN TESTS\n?", re.MULTILINE | re.DOTALL)
every_lab = pytest.mark.parametrize("lab", EVERY, ids=str)
every_exercise = pytest.mark.parametrize(
    "lab, exercise", [(lab, exercise) for lab in EVERY for exercise in lab.tested], ids=str
)
every_mistake = pytest.mark.parametrize(
    "lab, exercise, old, new, hint",
    [(lab, *one) for lab in EVERY for one in lab.mistakes],
    ids=[f"{lab}-{exercise}-{words}" for lab in EVERY for exercise, _, _, words in lab.mistakes],
)
every_right = pytest.mark.parametrize(
    "lab, exercise, source",
    [(lab, *one) for lab in EVERY for one in lab.right],
    ids=[f"{lab}-{exercise}-{number}" for lab in EVERY for number, (exercise, _) in enumerate(lab.right)],
)
LAB1 = EVERY[0]
HOURS = re.compile(r"- \*\*Time:\*\* about (\d) hours(?: (\d+) minutes)?;")


# The students' edition


@every_lab
def test_the_release_is_the_master_without_solutions_and_hidden_tests(lab):
    assert [cell.id for cell in lab.release.cells] == [cell.id for cell in lab.master.cells]
    for theirs, ours in zip(lab.release.cells, lab.master.cells):
        mark = ours.metadata.get("nbgrader", {})
        if mark.get("solution") and ours.cell_type == "markdown":
            assert theirs.source == "**Your answer:** (replace this line)"
        elif mark.get("solution"):
            stub = '    raise NotImplementedError("not written yet")\n'
            assert theirs.source.strip() == SOLUTION.sub(stub, ours.source).strip()
        else:
            given = ours.source.replace(PACKAGE, f"{PACKAGE}@v{flatlab.__version__}")
            assert theirs.source.strip() == HIDDEN.sub("", given).strip()
    text = json.dumps(lab.release)
    for secret in ("SOLUTION", "HIDDEN TESTS", "FLATLAB_MARK_SEED", "*Marks: "):
        assert secret not in text


@every_lab
def test_the_committed_release_is_made_from_the_committed_master_and_installs_what_the_teacher_sets(lab, tmp_path):
    """One release, with a package of the teacher's: except for that package it has the committed bytes."""
    ours = "flatlab[book] @ git+https://example.org/ours@2027"
    made = release(lab.name, to=tmp_path, package=ours).read_text(encoding="utf8")
    setup = nbformat.reads(made, 4).cells[find(lab.release, "setup")].source
    assert f'package = "{ours}"' in setup and PACKAGE not in setup
    committed = (LABS / "release" / lab.name / f"{lab}.ipynb").read_text(encoding="utf8")
    assert made.replace(ours, TAGGED) == committed


def test_without_a_teachers_package_a_release_installs_the_tag_of_its_version(tmp_path):
    made = release(LAB1.name, to=tmp_path)
    assert made.read_bytes() == (LABS / "release" / LAB1.name / made.name).read_bytes()
    assert f'{PACKAGE}@v{flatlab.__version__}"' in LAB1.release.cells[find(LAB1.release, "setup")].source


@every_lab
def test_the_expected_output_was_made_by_the_code_that_stands_there(lab):
    assert lab.master.metadata.get("expected") == expected.fingerprint(lab.master), "run `make labs`"
    shown = {cell.id: cell.source for cell in lab.master.cells if cell.id.endswith("-expected")}
    assert all(source.startswith(expected.TEXT.partition("{about}")[0]) for source in shown.values())
    assert shown and set(shown) <= {cell.id.removesuffix("-run") + "-expected" for cell in lab.master.cells}


def test_expected_output_is_what_a_run_prints_and_is_made_anew_when_the_code_changes(tmp_path, monkeypatch):
    def code(name, source):
        return nbformat.v4.new_code_cell(source, id=name)

    file = tmp_path / "source" / "toy" / "toy.ipynb"
    order = "__import__('os').environ.get('ATEN_CPU_CAPABILITY') == 'default'"
    program = [
        code("settings", "x = 2"),
        code("sum-run", f"print('sum', x + 1 - ({order}) / 4)"),
        code("-run", "print(x)"),
    ]
    program[1].metadata |= {"look": "the sign", "others": {"number": "the sum", "made": "[1, 2, 3]"}}
    notebook = nbformat.v4.new_notebook(cells=program)
    monkeypatch.setattr(expected, "ORDERS", expected.ORDERS[:2])
    for x in (2, 6):
        notebook.cells[0].source = f"x = {x}"
        write(file, notebook)
        expected.record("toy", tmp_path)
        notebook = nbformat.read(file, 4)
        assert [cell.id for cell in notebook.cells] == ["settings", "sum-run", "sum-expected", "-run", "-expected"]
        assert f"```text\nsum {x + 0.75}\n  to {x + 1.0}\n```" in notebook.cells[2].source
        assert "look at the sign." in notebook.cells[2].source
        assert "If yours is beyond these as well, look" in notebook.cells[2].source
        assert f"```text\n{x}\n```" in notebook.cells[4].source and "look at" not in notebook.cells[4].source
        assert not notebook.cells[1].outputs
    monkeypatch.setattr(expected, "run", lambda *rest: pytest.fail("it was run again, and has not changed"))
    expected.record("toy", tmp_path)


def test_the_expected_output_says_between_which_bounds_other_seeds_lie(tmp_path, monkeypatch):
    """Of 1, 2 and 3 the mean is 2 and the standard deviation 1, and Student's t for three of them is 4.303."""
    cells = [
        nbformat.v4.new_code_cell("x = 2", id="settings"),
        nbformat.v4.new_code_cell("print('sum', x)", id="sum-run"),
        nbformat.v4.new_code_cell("x = 0", id="later"),
    ]
    file = tmp_path / "source" / "toy" / "toy.ipynb"
    notebook = nbformat.v4.new_notebook(cells=cells)
    monkeypatch.setattr(expected, "ORDERS", expected.ORDERS[:1])
    for seeds, low, high in (((1, 2, 3), "−2.97", "6.97"), ((5, 6, 7), "1.03", "11.0")):
        made = {"number": "the sum", "made": f"[x + seed - 2 for seed in {seeds}]"}
        notebook.cells[1].metadata = {"look": "x", "others": made}
        write(file, notebook)
        expected.record("toy", tmp_path)
        notebook = nbformat.read(file, 4)
        assert [cell.id for cell in notebook.cells] == ["settings", "sum-run", "sum-expected", "later"]
        said = f"With other seeds, the sum lies between {low} and {high} in 95 of 100 cases, judged by 3 seeds."
        assert f"{said} If yours is beyond, look at x." in notebook.cells[2].source.replace("\n", " ")
        assert "```text\nsum 2\n```\n\nOther random" in notebook.cells[2].source


def test_the_bounds_hold_what_the_runs_on_other_processors_have():
    values = [1.0, 2.0, 3.0]
    said = expected.drawn("the sum", values, "x", here=[-9.5, 1.2]).replace("\n", " ")
    assert "Between −9.50 and 6.97 lies the sum in the four runs above" in said and "If yours is beyond, look" in said


def test_most_numbers_lie_between_the_bounds_made_from_others():
    values = np.random.default_rng(0).normal(3, 2, (4000, 9))
    inside = [low < one < high for one, *rest in values for low, high in [expected.bounds(rest)]]
    assert abs(np.mean(inside) - 0.95) < 4 * (0.95 * 0.05 / 4000) ** 0.5


@pytest.mark.parametrize(
    "printed, lines",
    [
        (
            ["S_min 36 of 5,006, tau -0.09", "S_min 41 of 4,808, tau  0.10"],
            ["S_min 36 of 4,808, tau -0.09", "   to 41    5,006       0.10"],
        ),
        (["   3   1.57 ± 9.8", "   3   1.56 ± 10.1"], ["   3   1.56 ±  9.8", "    to 1.57   10.1"]),
        (["from 0.25 to 2.26", "from 0.31 to 2.26"], ["from 0.25 to 2.26", "  to 0.31"]),
        (["12 of 18", "13 of 18"], ["12 to 13 of 18"]),
        (["after 9 epochs: yes", "after 10 epochs: no"], ["after  9 epochs: yes or no", "   to 10"]),
        (["the first is plain", "the first is root + ghost"], ["the first is plain or: the first is root + ghost"]),
        (["1.5 2.5", "1.6 2.4"], ["1.5 2.4", "1.6 2.5  (the largest of the runs)"]),
        (["1.5e-06 %", "2.5e-05 %", "2.5e-05 %"], ["1.5e-06 to 2.5e-05 %"]),
        (["None epochs", "28 epochs"], ["None or 28 epochs"]),
        (["one line", "one line\n\ntwo"], ["one line", "", "two"]),
    ],
)
def test_what_several_runs_print_is_written_least_above_largest_each_in_its_column(printed, lines):
    assert "```text\n" + "\n".join(lines) + "\n```" in expected.shown(printed, "it")
    assert not expected.shown(["", ""], "it")


@pytest.mark.parametrize(
    "text, source, sentence",
    [
        ("loss 0.053", "print(loss)", True),
        ("12 of 18 networks", "print(n)", False),
        ("rule: phi(1e-3), section 4", "print(rule)", False),
        ("efficiency 0.5: yes", "for share in (0.5,): print(share)", False),
        ("test accuracy 98.55", 'print(recorded["test"])', False),
    ],
)
def test_only_measured_decimals_are_said_to_differ_in_the_last_digits(text, source, sentence):
    assert ("last\ndigits" in expected.shown([text, text], "it", source=source)) == sentence


@every_lab
def test_an_output_without_measured_decimals_is_not_said_to_differ(lab):
    for cell in lab.master.cells:
        if cell.id.endswith("-expected") and expected.DIGITS in cell.source:
            run = lab.master.cells[find(lab.master, cell.id.removesuffix("-expected") + "-run")].source
            assert expected.measured(re.search(r"```text\n(.*?)\n```", cell.source, re.DOTALL)[1], run), cell.id


@every_lab
def test_no_line_of_an_expected_output_folds_in_a_window_of_1280_pixels(lab):
    for cell in lab.master.cells:
        if cell.id.endswith("-expected"):
            lines = re.search(r"```text\n(.*?)\n```", cell.source, re.DOTALL)[1].splitlines()
            assert not [line for line in lines if len(line) > 76], cell.id


@every_lab
def test_an_expected_output_has_each_largest_number_below_its_least_one(lab):
    """And no range in a line, which would move the columns behind it from under their heads."""

    def numbers(line):
        """{the place where it ends: a number} of a line."""
        found = re.finditer(r"[-+]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]\d+)?", line)
        return {one.end(): float(one[0].replace(",", "")) for one in found}

    for cell in lab.master.cells:
        if cell.id.endswith("-expected"):
            lines = re.search(r"```text\n(.*?)\n```", cell.source, re.DOTALL)[1].splitlines()
            assert not re.search(r"\d\.\.[-+\d]", "".join(lines)), cell.id
            for above, below in itertools.pairwise(lines):
                if re.fullmatch(r" *to [-+\d][-+e\d., ]*", below):
                    assert all(numbers(above)[place] <= one for place, one in numbers(below).items()), (cell.id, below)


def test_a_changed_result_that_a_lab_reads_is_noticed(monkeypatch):
    def found(values, date="Monday", source='flatlab.recorded("fig2", "paper").values'):
        result = Result("fig2", "paper", {}, {"F1": (0, 1)}, {}, {"F1": {"gap": values}}, {"F1": {"date": date}})
        monkeypatch.setattr(flatlab, "recorded", lambda experiment, tier: result)
        return expected.fingerprint(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, id="sum-run")]))

    assert found([1.0, 2.0]) == found([1.0, 2.0], date="Tuesday") != found([1.0, 2.5])
    assert found([1.0, 2.0], source="x = 2") == found([1.0, 2.5], source="x = 2")
    several = 'for name in ("fig2", "ratio"):\n    flatlab.recorded(name, "reduced")'
    assert found([1.0, 2.0], source=several) != found([1.0, 2.5], source=several)
    with pytest.raises(ValueError, match="write the names of a recorded result out"):
        found([1.0, 2.0], source="flatlab.recorded(name, tier)")


@pytest.mark.parametrize(
    "source, rule, word",
    [
        ('print([one.word for one in ledger() if one.claim.name in ("it helps",)])', True, True),
        ('print([one.rule for one in CLAIMS if one.experiment in ("tried",)])', True, False),
        ('print("it helps", "tried")', False, False),
        ('print([one.word for one in ledger() if one.claim.name in ("another",)])', False, False),
    ],
    ids=["ledger", "claims", "neither", "another claim"],
)
def test_a_changed_verdict_or_rule_that_a_lab_reads_is_noticed(monkeypatch, source, rule, word):
    def found(bound=0.0, effect=1.0):
        about = {"name": "it helps", "words": "", "source": "", "experiment": "tried", "measure": "gain"}
        claim = Claim(**about, effect=lambda columns: columns["gain"], above=bound)
        result = Result("tried", "smoke", {"F1": ""}, {"F1": range(5)}, {}, {"F1": {"gain": [effect] * 5}}, {})
        entries = [Entry(claim, tuple(judge(claim, result)))]
        monkeypatch.setattr(expected, "ledger", lambda: entries)
        monkeypatch.setattr(expected, "CLAIMS", [claim])
        return expected.fingerprint(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, id="sum-run")]))

    assert (found(bound=0.5) != found()) == rule
    assert (found(effect=-1.0) != found()) == word
    assert found(effect=2.0) == found()


CLOCKS, KEPT = {"perf_counter", "time", "datetime"}, ("seconds", "registered", "first run")


def reads_the_clock(lab):
    """The experiments that print what the machine decides: they use the clock, the times that a run has kept, or what
    a function or a variable holds that does. The branch for a GPU has no expected output."""
    known, timed = set(CLOCKS), set()
    for cell in lab.master.cells:
        if cell.id != "settings" and not cell.id.endswith("-run"):
            continue
        for part in ast.parse(cell.source).body:
            nodes = [node for one in without_gpu(part) for node in ast.walk(one)]
            used = {getattr(node, "id", getattr(node, "attr", None)) for node in nodes}
            if not used & known and not any(map(kept_seconds, nodes)):
                continue
            if isinstance(part, (ast.FunctionDef, ast.ClassDef)):
                known.add(part.name)
            elif cell.id.endswith("-run"):
                timed.add(cell.id)
                known |= {one.id for one in getattr(part, "targets", ()) if isinstance(one, ast.Name)}
    return timed


def kept_seconds(node):
    """Whether this reads seconds or times of a run that is made here, as `history["seconds"]`."""
    texts = ast.walk(node.slice) if isinstance(node, ast.Subscript) else ()
    return any(isinstance(one, ast.Constant) and str(one.value).startswith(KEPT) for one in texts)


def without_gpu(part):
    """A statement, or of a branch for a GPU what else is run."""
    return part.orelse if isinstance(part, ast.If) and ast.unparse(part.test).startswith("gpu ") else [part]


@every_lab
def test_what_the_machine_decides_is_no_expected_output(lab):
    tagged = {cell.id for cell in lab.master.cells if "timed" in cell.metadata.get("tags", [])}
    assert reads_the_clock(lab) == tagged
    assert not {name.removesuffix("-run") + "-expected" for name in tagged} & {cell.id for cell in lab.master.cells}


def test_make_labs_makes_every_lab():
    assert names() == sorted(folder.name for folder in (LABS / "source").iterdir() if folder.is_dir())


def test_a_failed_install_stops_the_notebook_with_one_sentence(tmp_path):
    """The first cell in a kernel that finds no flatlab, with a pip that cannot install it."""
    program = (
        "import sys\nfrom IPython.core.interactiveshell import InteractiveShell\n"
        "sys.modules['flatlab'] = None\nshell = InteractiveShell.instance()\n"
        "shell.run_line_magic = lambda *a, **k: print('pip could not')\n"
        "shell.showtraceback = lambda *a, **k: None\n"
        "done = shell.run_cell(sys.stdin.read())\n"
        "print(type(done.error_in_exec).__name__, done.error_in_exec)\n"
    )
    setup = LAB1.release.cells[find(LAB1.release, "setup")].source
    done = subprocess.run([sys.executable, "-c", program], input=setup, capture_output=True, text=True, cwd=tmp_path)
    said = done.stdout.strip().splitlines()
    assert said[0] == "pip could not" and len(said) == 2, done.stdout + done.stderr
    assert said[1].startswith("SystemExit flatlab could not be installed: read what pip says above")


@every_lab
def test_every_exercise_has_a_card_a_check_and_marks(lab):
    assert sum(lab.points.values()) == 25, lab.points
    headed = [cell.source for cell in lab.master.cells if re.match(r"## \d+\. ", cell.source)]
    assert headed and lab.tested
    for text in headed:
        assert re.search(r"> Difficulty [●○]{5} · Importance [●○]{5} · \d+ minutes · \d", text), text[:50]
    for name in lab.tested:
        called = f"checks.{name}({defined(lab.reference[name])})"
        assert called in lab.master.cells[find(lab.master, f"{name}-check")].source


@every_lab
def test_an_honest_lab_is_not_suspected(lab):
    """Where there is no cage, a person reads the code of those who are; a cell that the lab gives is not the
    student's."""
    answers = {one: re.sub("### (BEGIN|END) SOLUTION", "", source) for one, source in lab.reference.items()}
    assert suspicions(lab.edition(answers), lab.release) == []
    assert suspicions(lab.edition({lab.first(): "import inspect"}), lab.release) == ["read its code: it has inspect."]


@pytest.mark.parametrize(
    "source, word",
    [
        ("for one in glob.glob('/**/lab1.ipynb', recursive=True):\n    print(one)", "glob"),
        ("cells = json.load(open('/course/lab1.ipynb'))['cells']", "open"),
        ("exec(source, {})", "exec"),
        ("text = Path('lab1.ipynb').read_text()", "Path"),
        ("data = np.fromfile('lab1.ipynb', 'u1')", "np.fromfile"),
        ("!cat /course/lab1.ipynb", "!"),
        ("%run /course/lab1.ipynb", "%run"),
        ("__builtins__['op' 'en']('lab1.ipynb')", "__builtins__"),
        ("import os\nos.listdir('/')", "os.listdir"),
    ],
)
def test_who_could_read_a_file_where_there_is_no_cage_is_named(source, word):
    """The master and the answers of others are files, and whoever runs or copies one has solved nothing."""
    (note,) = suspicions(LAB1.edition({LAB1.first(): source}), LAB1.release)
    assert word in note.removeprefix("read its code: it has ").rstrip(".").split(", ")


# The checks


@every_exercise
def test_a_check_accepts_the_reference_and_other_right_answers(lab, exercise):
    right = lab.function(lab.reference[exercise])
    assert getattr(checks, exercise)(right), getattr(checks, exercise)(right)

    def as_tensors(*args, **kwargs):
        answer = right(*args, **kwargs)
        if isinstance(answer, list) and torch.is_tensor(answer[0]):
            return [one.double() for one in answer]  # tensors of several shapes
        return torch.as_tensor(answer) if isinstance(answer, (float, list)) else answer

    assert getattr(checks, exercise)(as_tensors), getattr(checks, exercise)(as_tensors)


@every_exercise
def test_a_right_answer_is_right_whatever_device_is_the_default(lab, exercise):
    """A student on a GPU may have set it, and a check's public problem lies on the processor."""
    right = lab.function(lab.reference[exercise])
    torch.set_default_device("meta")
    try:
        answer = getattr(checks, exercise)(right)
    finally:
        torch.set_default_device(None)
    assert answer, answer


class Wired(cage.Cage):
    """A cage without walls, in this process: what passes is what a cage's pipes let pass."""

    def __init__(self, space):
        self.space, self.seconds = space, 60

    def _exchange(self, message, passed=None):
        message = through_a_pipe(message)
        try:
            if "get" in message:
                answer = {"value": inside.encode(self.space[message["get"]])}
            else:
                asked = message["call"], message["args"], message["kwargs"]
                answer = inside.call(Question(passed), self.space, *asked, message["seconds"])
        except Exception as error:  # noqa: BLE001 - whatever a student's code raises
            answer = {"error": inside.told(error)}
        return through_a_pipe(answer)


class Question(inside.Wire):
    """What the student's side asks is answered at once."""

    def __init__(self, passed):
        self.passed = passed

    def send(self, message):
        self.answer = cage._answered(through_a_pipe(message), self.passed)

    def receive(self):
        return through_a_pipe(self.answer)


def through_a_pipe(message):
    return json.loads(json.dumps(message))


@every_right
def test_another_right_answer_gets_a_tick_and_its_marks(lab, exercise, source, monkeypatch):
    """With the marker's own names, and only values passed, as between the marker and a cage."""
    answer = getattr(checks, exercise)(lab.function(source))
    assert answer, answer
    assert asked_outside(lab, exercise, source) == str(answer)
    monkeypatch.setenv("FLATLAB_MARK_SEED", "20170")
    functions, variables = running.answered(lab.master)
    wired, test = Wired(lab.space(source)), f"{exercise}-test"
    assert running.examine(lab.tests[test], running.examiners(wired, functions), wired, variables, test, []) == []


def asked_outside(lab, exercise, source):
    """What the check says where it is asked by the marker, and only values pass, as between the marker and a cage."""
    wired, notes = Wired(lab.space(source)), []
    space = running.examiners(wired, running.answered(lab.master)[0])
    (output,) = running.checked(exercise, defined(source), wired, space, exercise, notes)
    assert notes == []
    return output.data["text/plain"]


def said_of(lab, exercise, source):
    """What the check says of an answer, asked outside. There objects come back as others: whether one was changed,
    replaced or used again can be told in the student's own kernel alone."""
    verdict = asked_outside(lab, exercise, source)
    if re.search("other tensors into the list|are the same: seed the generator once", verdict):
        verdict = str(getattr(checks, exercise)(lab.function(source)))
    return verdict


@every_lab
def test_a_wrong_answer_gets_the_hint_of_its_own_mistake_and_two_never_share_one(lab):
    """The whole sentence that the check says is compared, whatever words of it the answers name."""
    said, others = {}, []
    for exercise, old, new, words in lab.mistakes:
        verdict = said_of(lab, exercise, lab.wrong(exercise, old, new))
        if not verdict.startswith("✗") or words not in verdict or "\n" in verdict:
            others.append((exercise, words, verdict))
        said.setdefault((exercise, verdict), []).append(words)
    assert not others
    assert {(key[0], words) for key, found in said.items() if len(found) > 1 for words in found} == lab.alike


def hidden_tests_pass(lab, exercise, source, monkeypatch, seed):
    monkeypatch.setenv("FLATLAB_MARK_SEED", seed)
    space = lab.space(source)
    try:
        exec(lab.tests[f"{exercise}-test"], space)
    except (AssertionError, Wrong):
        return False
    return True


@every_mistake
def test_a_wrong_answer_fails_the_hidden_tests(lab, exercise, old, new, hint, monkeypatch):
    assert not hidden_tests_pass(lab, exercise, lab.wrong(exercise, old, new), monkeypatch, "20170")


@pytest.mark.parametrize("lab, exercise, source", [(lab, *one) for lab in EVERY for one in lab.cheats])
def test_a_cheat_gets_no_tick_and_fails_the_hidden_tests(lab, exercise, source, monkeypatch):
    assert not getattr(checks, exercise)(lab.function(source))
    assert not hidden_tests_pass(lab, exercise, source, monkeypatch, "20170")


def test_nothing_that_a_recipe_is_given_says_which_race_it_runs():
    """Else it could look for the seed, and train on the rows that it is marked on."""
    seen, seeds = [], (20170, 20171)
    for seed in seeds:
        with pytest.raises(Wrong, match="asked for no gradient"):
            racing.lap(lambda f, x, number: seen.append((x, number)) or x + 1, seed)
    assert torch.equal(seen[0][0], seen[1][0]) and seen[0][1] == seen[1][1]
    plain = flatlab.load("mnist1d").train.x.flatten(1)
    for seed in seeds:
        for (x, _), _ in racing.signals(seed):
            sizes = torch.isclose(x.norm(dim=1)[:, None], plain.norm(dim=1)).sum(1)
            assert sizes.min() >= 1  # each row is a known one, turned
            assert not torch.isclose(x.sort(1).values[:9, None], plain.sort(1).values, atol=1e-3).all(2).any()
    assert not torch.equal(racing.signals(seeds[0])[0][0][0], racing.signals(seeds[1])[0][0][0])
    assert len({racing.stretched(seed) for seed in range(5)}) == 5


def spoiling(change, value):
    """An answer that changes what it is given, so that another result would be right."""

    def answer(*args, **kwargs):
        for one in (*args, *kwargs.values()):
            change(one)
        return value(*args)

    return answer


def emptied(one):
    if isinstance(one, (list, dict)):
        one.clear()


def zeroed(one):
    if isinstance(one, torch.Tensor):
        one.data.zero_()
    elif isinstance(one, list):
        for k, inner in enumerate(one):
            one[k] = 0 * inner if isinstance(inner, (int, float)) else zeroed(inner)
    return one


NO_ANSWERS = [
    *(lambda *a, v=v, **k: v for v in (None, [], {}, "", 0.0, 1.0, float("nan"), True, torch.zeros(0), [[]], [None])),
    *(lambda *a, count=count, **k: (float("nan"),) * count for count in (2, 3)),
    *(
        spoiling(change, value)
        for change in (emptied, zeroed)
        for value in (
            lambda *a: 0.0,
            lambda *a: [],
            lambda *a: a[0] if a else None,
            lambda *a: [0.0] * 2,
            lambda *a: [0.0] * 3,
        )
    ),
]


@every_exercise
def test_what_is_no_answer_or_spoils_its_arguments_gets_no_marks(lab, exercise, monkeypatch):
    """A hidden test that works out what is right from a list that the answer has emptied would pass."""
    monkeypatch.setenv("FLATLAB_MARK_SEED", "20170")
    space = lab.space(lab.reference[exercise])
    for number, answer in enumerate(NO_ANSWERS):
        with pytest.raises(Exception):  # noqa: B017 - a hidden test fails in any way
            exec(lab.tests[f"{exercise}-test"], {**space, defined(lab.reference[exercise]): answer})
            pytest.fail(f"number {number} of NO_ANSWERS gets the marks of {exercise}")


@every_exercise
def test_what_is_right_for_the_check_written_out_as_constants_gets_no_marks(lab, exercise, monkeypatch):
    """Except for a function without arguments, which is a constant: a pair's own claim."""
    reference, seen = lab.function(lab.reference[exercise]), []
    if not inspect.signature(reference).parameters:
        return

    def watched(*args, **kwargs):
        seen.append(reference(*args, **kwargs))
        return copy.deepcopy(seen[-1])

    assert getattr(checks, exercise)(watched)
    constants, space = itertools.cycle(seen), lab.space(lab.reference[exercise])
    space[defined(lab.reference[exercise])] = lambda *args, **kwargs: copy.deepcopy(next(constants))
    monkeypatch.setenv("FLATLAB_MARK_SEED", "20170")
    with pytest.raises((AssertionError, Wrong)):
        exec(lab.tests[f"{exercise}-test"], space)


@every_exercise
def test_the_reference_passes_the_hidden_tests_whatever_their_seed(lab, exercise, monkeypatch):
    for seed in ("20170", "1", "2", "19"):  # with 19, Lab 3 once drew a batch of three rows twice
        assert hidden_tests_pass(lab, exercise, lab.reference[exercise], monkeypatch, seed), seed


@every_exercise
@pytest.mark.parametrize(
    "student, words",
    [
        (lambda *a, **k: None, "returns nothing"),
        (lambda *a, **k: 1 / 0, "ZeroDivisionError"),
        (lambda: 1, "TypeError"),
        (lambda *a, **k: float("nan"), ""),
        (lambda *a, **k: "text", ""),
        (lambda *a, **k: torch.zeros(2, 3, 4), ""),
        (lambda *a, **k: (value for value in [1.0]), "a generator"),
        (lambda *a, **k: {1: 2.0}, "a dict"),
        (lambda *a, **k: {1.0, 2.0}, "a set"),
        (lambda *a, **k: [[1.0, 2.0], [3.0]], "list of lists"),
        (3, "without brackets"),
    ],
    ids=[
        "None",
        "raises",
        "no arguments",
        "nan",
        "text",
        "a cube",
        "generator",
        "dict",
        "set",
        "nested",
        "no function",
    ],
)
def test_a_check_never_raises_and_answers_in_one_line(lab, exercise, student, words):
    if words == "TypeError" and not inspect.signature(lab.function(lab.reference[exercise])).parameters:
        words = "it returns an int"  # the exercise's function takes no arguments either
    verdict = getattr(checks, exercise)(student)
    assert not verdict and words in str(verdict) and "\n" not in str(verdict)


TABLE = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


@pytest.mark.parametrize(
    "given",
    [
        TABLE,
        tuple(map(tuple, TABLE)),
        torch.tensor(TABLE),
        np.float32(TABLE),
        [torch.tensor(row) for row in TABLE],
        [np.array(row) for row in TABLE],
        [[torch.tensor(one) for one in row] for row in TABLE],
        np.array(TABLE[::-1])[::-1],
        np.longdouble(TABLE),
        pandas.DataFrame(TABLE),
        [pandas.Series(row) for row in TABLE],
        [np.array(row[::-1])[::-1] for row in TABLE],
    ],
    ids=[
        "lists",
        "tuples",
        "tensor",
        "float32",
        "tensors",
        "arrays",
        "numbers of torch",
        "backwards",
        "long doubles",
        "pandas",
        "columns of pandas",
        "rows backwards",
    ],
)
@pytest.mark.parametrize("shape", [(2, 3), (None, 3)])
def test_a_table_is_read_in_every_form_by_one_function(given, shape):
    """And where it comes from a cage."""
    assert torch.equal(table(given, shape, "a table"), torch.tensor(TABLE).double())
    passed = inside.decode(through_a_pipe(inside.encode(given)))
    assert torch.equal(table(passed, shape, "a table"), torch.tensor(TABLE).double())


@pytest.mark.parametrize(
    "given, words",
    [
        (None, "returns nothing"),
        (3.0, "and should return a table"),
        ((row for row in TABLE), "a generator"),
        ({1: TABLE}, "a dict"),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "one long row, and should return a table"),
        (torch.zeros(6), "one long row, and should return a table"),
        ([*TABLE, TABLE[0]], "a list of 3 rows"),
        ([[1.0, 2.0], [3.0, 4.0, 5.0]], "list of lists of other lengths"),
        ([[1.0, 2.0], [3.0, 4.0]], "list of lists of other lengths"),
        ([[1.0, None, 2.0], TABLE[1]], "holds nothing (None)"),
        (torch.zeros(3, 2), "shape (3, 2)"),
        ([], "a list of 0 rows"),
    ],
    ids=[
        "None",
        "number",
        "generator",
        "dict",
        "flat",
        "flat tensor",
        "rows",
        "ragged",
        "narrow",
        "hole",
        "turned",
        "empty",
    ],
)
def test_what_is_no_table_is_said_in_a_sentence(given, words):
    with pytest.raises(Wrong) as error:
        table(given, (2, 3), "a table")
    assert words in str(error.value)


def test_no_rows_are_a_table_of_any_number_of_rows():
    assert table([], (None, 3), "a table").shape == (0, 3)


def test_the_line_that_stopped_is_named_in_jupyter_and_in_colab():
    for file in ("ipykernel_7/1.py", "ipython-input-3.py"):
        file = f"{tempfile.gettempdir()}/{file}"
        space = {}
        exec(compile("def box_radius(x, eps):\n    return 1 / 0", file, "exec"), space)
        linecache.cache[file] = (0, None, ["def box_radius(x, eps):\n", "    return 1 / 0\n"], file)
        assert "your code stopped in `return 1 / 0`, line 2 of its cell: ZeroDivisionError" in str(
            checks.box(space["box_radius"])
        )


def test_a_check_that_stops_training_leaves_flatlab_as_it_was():
    train = flatlab.train
    assert not checks.gap(lambda data, small, large, seeds, epochs: [flatlab.train("mlp", data)] * 2)
    assert flatlab.train is train


def test_an_unknown_check_is_refused_in_a_sentence():
    with pytest.raises(AttributeError, match="there is no check 'bx': choose .*box"):
        checks.bx  # noqa: B018


def test_a_remark_about_a_right_answer_is_said_with_its_tick():
    lab = next(lab for lab in EVERY if lab.name == "lab3")
    remarks = {
        "a ratio of means" in str(checks.batch_sharpness(lab.function(source)))
        for exercise, source in lab.right
        if exercise == "batch_sharpness"
    }
    assert remarks == {True, False} and "ratio" not in str(
        checks.batch_sharpness(lab.function(lab.reference["batch_sharpness"]))
    )


def test_what_is_not_written_yet_is_said_to_be(capsys):
    assert "not written yet" in str(checks.box(LAB1.function(LAB1.release.cells[find(LAB1.release, "box")].source)))
    with checks.attempt():
        raise NotImplementedError
    assert "not written yet" in capsys.readouterr().out


def test_a_lab_that_goes_on_after_a_cut_says_what_it_found(tmp_path, capsys):
    data, store = flatlab.load("mnist1d").subset(60), flatlab.Store(tmp_path, every=0)
    options = {"batch_size": 20, "store": store, "progress": False}

    put = store.put

    def put_twice_and_stop(key, tensors, facts, partial=False):
        put(key, tensors, facts, partial)
        if partial and len(facts["history"]["epoch"]) == 3:
            raise KeyboardInterrupt

    flatlab.train("mlp", data, epochs=1, seed=0, **options)
    store.put = put_twice_and_stop
    with pytest.raises(KeyboardInterrupt):
        flatlab.train("mlp", data, epochs=5, seed=1, **options)
    del store.put
    with checks.attempt(store):
        flatlab.train("mlp", data, epochs=1, seed=0, **options)
        flatlab.train("mlp", data, epochs=5, seed=1, **options)
    assert capsys.readouterr().out == "(1 run read, 1 resumed at epoch 3.)\n"
    with checks.attempt(store):
        flatlab.train("mlp", data, epochs=1, seed=2, **options)
    assert not capsys.readouterr().out and "get" not in vars(store)


def half(x):
    return x / 2


def other_half(x):
    return 0.5 * x


def test_the_name_of_code_is_that_of_what_it_does(tmp_path):
    """As a student leaves it after a run on a GPU, with another layout: the name is the same, until an answer is
    another."""
    written = {
        "plain": "def f(x):\n    return [2 * x, 'a']\n",
        "laid out": 'def f(x):  # doubles\n\n    """Twice."""\n\n    return [ (2*x), "a",  ]\n',
        "indented": "if True:\n    def f(x):\n        'Twice.'\n        return [2 * x, 'a']\n",
        "another number": "def f(x):\n    return [3 * x, 'a']\n",
        "another order": "def f(x):\n    return [x * 2, 'a']\n",
        "another text": "def f(x):\n    return [2 * x, 'b']\n",
        "another name": "def g(x):\n    return [2 * x, 'a']\n\n\nf = g\n",
        "nothing": "def f(x):\n    'Twice.'\n",
    }
    functions = [runpy.run_path(str(write(tmp_path / f"{name}.py", text)))["f"] for name, text in written.items()]
    names = [checks.code_name(one) for one in functions]
    assert len(set(names[:3])) == 1 and len(set(names)) == len(names) - 2
    assert checks.code_name(*functions) != checks.code_name(*functions[::-1]) and all(len(one) == 12 for one in names)
    assert checks.code_name(functions[0], eval("lambda x: x")) == ""


def test_what_a_students_function_has_found_is_read_again_until_the_function_changes(tmp_path, capsys):
    made = []

    def find(name, function):
        keep = checks.Kept(tmp_path / "deep" / "lab.json")  # as after a cut, from the file
        with checks.attempt(keep):
            return keep(name, lambda: made.append(name) or [function(3), float("nan")], function)

    first = find("a", half)
    assert find("a", half)[0] == first[0] == 1.5 and made == ["a"]
    assert capsys.readouterr().out == "(1 run read.)\n"
    find("b", half)
    find("a", other_half)
    assert made == ["a", "b", "a"] and not capsys.readouterr().out
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["lab.json"]
    keep, source_is_lost = checks.Kept(tmp_path / "lab.json"), eval("lambda x: x")
    assert keep("c", lambda: 1, source_is_lost) == 1 and not keep.file.exists()


# One submission


def stripped(notebook=None):
    """As an editor leaves it that keeps neither metadata nor ids; by default Lab 1."""
    notebook = notebook or LAB1.edition()
    for number, cell in enumerate(notebook.cells):
        cell.metadata, cell.id = {}, f"c{number}"
    return notebook


def colab():
    """As Colab saves it: its own ids, in the metadata."""
    notebook = stripped()
    for cell, ours in zip(notebook.cells, LAB1.release.cells):
        del cell["id"]
        cell.metadata = {"id": ours.id}
    notebook.nbformat_minor = 0
    return notebook


def reordered():
    """The last exercise moved to the front, before the cell that imports anything."""
    notebook = LAB1.edition()
    number = find(notebook, "subspace")
    notebook.cells[0:0] = [notebook.cells.pop(number) for _ in range(3)][::-1]
    return notebook


def doubled(change=""):
    """The box and its test copied with their metadata, as JupyterLab copies cells."""
    notebook = LAB1.edition()
    for name in ("box", "box-test"):
        number = find(notebook, name)
        notebook.cells.insert(number + 1, copy.deepcopy(notebook.cells[number]))
        notebook.cells[number + 1].source += change
    return notebook


@pytest.mark.parametrize(
    "broken, note",
    [(stripped, "found again"), (colab, "found again"), (reordered, "another order"), (doubled, "2 times")],
)
def test_what_can_be_mended_in_one_way_is_mended(tmp_path, broken, note):
    notebook, notes = preflight(write(tmp_path / "one.ipynb", broken()), LAB1.release)
    assert note in " ".join(notes) and "missing" not in " ".join(notes)
    assert broken is doubled or "times" not in " ".join(notes)
    given = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
    expected = [cell for cell in LAB1.edition().cells if "nbgrader" in cell.metadata]
    assert [(cell.source, cell.metadata) for cell in given] == [(cell.source, cell.metadata) for cell in expected]


@every_lab
def test_without_metadata_a_lab_is_mended_into_itself(lab, tmp_path):
    """So it is run and marked as the reference is, and its marks need no run of their own."""
    notebook, notes = preflight(write(tmp_path / "one.ipynb", stripped(lab.edition())), lab.release)
    assert "found again" in " ".join(notes)
    for mended, ours in zip(notebook.cells, lab.edition().cells, strict=True):
        assert (mended.cell_type, mended.source) == (ours.cell_type, ours.source)
        assert mended.metadata.get("nbgrader") == ours.metadata.get("nbgrader")


def test_a_whole_submission_is_left_as_it_is_with_the_students_own_cells(tmp_path):
    submitted = LAB1.edition()
    submitted.cells.insert(find(submitted, "box"), nbformat.v4.new_code_cell("helper = 3"))
    notebook, notes = preflight(write(tmp_path / "one.ipynb", submitted), LAB1.release)
    assert notes == []
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in submitted.cells]


def test_a_missing_exercise_is_noted_and_the_rest_counts(tmp_path):
    submitted = LAB1.edition()
    del submitted.cells[find(submitted, "box")]
    notebook, notes = preflight(write(tmp_path / "one.ipynb", submitted), LAB1.release)
    assert "'box' was missing" in notes[0] and "not answered" in notes[0]
    assert "NotImplementedError" in notebook.cells[find(notebook, "box")].source


@pytest.mark.parametrize(
    "content, words",
    [
        ("PK\x03\x04 a zip", "not JSON"),
        ("[1, 2]", "not a notebook"),
        ('{"cells": [{}], "nbformat": 4}', "whole notebook"),
        ('{"cells": [], "nbformat": 4}', "another notebook"),
        ('{"worksheets": [], "nbformat": 3}', "not a notebook"),
        (json.dumps(doubled(" + 0")), "'box' is answered in 2 cells"),
    ],
    ids=["zip", "list", "no text", "empty", "format 3", "two answers"],
)
def test_what_cannot_be_mended_is_refused_in_one_sentence(tmp_path, content, words):
    with pytest.raises(Refused, match=re.escape(words)):
        preflight(write(tmp_path / "one.ipynb", content), LAB1.release)


# What a lab states


@every_lab
def test_the_time_that_a_lab_states_is_the_sum_of_its_cards(lab):
    cards = [card for cell in lab.master.cells for card in re.findall(r"^> .*", cell.source, re.MULTILINE)]
    minutes = sum(int(count) for card in cards for count in re.findall(r"(\d+) minutes", card))
    hours, rest = HOURS.search(lab.master.cells[0].source).groups()
    assert 60 * int(hours) + int(rest or 0) == minutes
    assert 120 <= minutes <= 150 or "over a week" in lab.master.cells[0].source


@every_lab
def test_the_marks_that_a_lab_and_the_teachers_page_give_to_tests_and_to_readers_are_those_of_the_master(lab):
    """Of what readers give in Lab 8, the reviews of others are told apart."""
    by_tests = sum(lab.points[name] for name in lab.tests)
    reviews = sum(lab.points[name] for name in lab.texts if name.startswith("review"))
    by_readers = sum(lab.points[name] for name in lab.texts) - reviews
    (stated,) = re.findall(r"^- \*\*Marks:\*\* 25: (.*)$", lab.master.cells[0].source, re.MULTILINE)
    assert [float(count) for count in re.findall(r"\d+", stated)] == [
        count for count in (by_tests, by_readers, reviews) if count
    ]
    page = (LABS.parent / "book" / "teach.md").read_text(encoding="utf8")
    _, *parts = re.split(r"(\d+) in Labs? ", re.search(r"a person gives ([^.]*)\.", page)[1])
    given = {f"lab{n}": float(count) for count, those in zip(parts[::2], parts[1::2]) for n in re.findall(r"\d", those)}
    assert given[lab.name] == by_readers + reviews
    if reviews:
        told = re.search(r"(\d+) of the 25 marks are\s+given by the tests, (\d+) by the readers, and (\d+) by", page)
        assert [float(count) for count in told.groups()] == [by_tests, by_readers, reviews]


@every_lab
def test_the_place_where_the_predictions_come_back_is_a_heading_of_the_lab(lab):
    told = lab.master.cells[find(lab.master, "predictions-text")].source
    (place,) = re.findall(r"\*([^*]+)\*, near the end of the lab, shows", told)
    assert lab.master.cells[find(lab.master, "outcome-text")].source == f"## {place}"


@every_lab
def test_a_lab_closes_with_an_optional_exercise_that_has_no_marks(lab):
    headings = [cell.source.splitlines()[0] for cell in lab.master.cells if cell.source.startswith("## ")]
    assert headings[-1] == "## Take-away" and re.fullmatch(r"## ★ .+ \(not marked\)", headings[-2])
    graded = [cell.metadata.get("nbgrader", {}) for cell in lab.master.cells[find(lab.master, "star-text") :]]
    assert not any(mark.get("grade") or mark.get("solution") for mark in graded)


def test_every_three_recorded_seeds_of_lab2s_runs_make_a_line_that_its_tests_take(monkeypatch):
    """The bounds of the hidden tests hold for the networks and the data that a GPU trains there."""
    lab, found = next(lab for lab in EVERY if lab.name == "lab2"), flatlab.recorded("rate-and-statistics", "colab")
    columns, labels = found.values["F1"], {"small": "SB", "large": "LB", "root": "rate"}
    facts = {"device": "a GPU", "functions": "", "seconds": found.provenance["F1"]["seconds"]}
    facts["rate"] = found.recipes["F1"]["rate"]["lr"]
    for seeds in itertools.combinations(range(len(columns["test SB"])), 3):
        test, phi = (
            {one: [columns[column.format(label)][seed] for seed in seeds] for one, label in labels.items()}
            for column in ("test {}", "{} 1e-3")
        )
        line = facts | {"test": test, "phi": phi, "share": lab.function(lab.reference["share"])(*test.values())}
        answer = f"def report(recorded):\n    return {json.dumps(line)!r}"
        assert checks.report(lab.function(answer))
        assert hidden_tests_pass(lab, "report", answer, monkeypatch, "20170"), seeds


def test_a_gpu_cell_names_answers_that_stand_above_it():
    """By this expression the marker asks for their name once more."""
    found = {}
    for lab in EVERY:
        for number, cell in enumerate(lab.master.cells):
            if cell.cell_type == "code" and (asked := running.GPU_CODE.search(cell.source)):
                above = {defined(lab.reference[one.id]) for one in lab.master.cells[:number] if one.id in lab.tested}
                used = {node.id for node in ast.walk(ast.parse(asked[1])) if isinstance(node, ast.Name)}
                found[lab.name] = used - above
    assert found == {f"lab{n}": {"checks", *(["PARTS"] if n == 5 else [])} for n in range(2, 7)}


def test_no_lab_writes_a_file_of_another():
    """All labs of a student share one store, a folder on Drive. What a text calls the file is what the code writes."""
    kept = {
        lab.name: {
            name
            for cell in lab.master.cells
            if cell.cell_type == "code"
            for name in re.findall(r'store\.root / "([^"]+)"', cell.source)
        }
        for lab in EVERY
    }
    every = [name for names in kept.values() for name in names]
    assert len(every) == len(set(every)) and sum("gpu" in name for name in every) == 5
    for lab in EVERY:
        told = re.findall(r"`([^`]*gpu\.json)`", "".join(cell.source for cell in lab.master.cells))
        assert set(told) == {name for name in kept[lab.name] if "gpu" in name}


@pytest.mark.parametrize("lab", [lab for lab in EVERY if "over a week" not in lab.master.cells[0].source], ids=str)
def test_difficulty_rises(lab):
    """No exercise is easier than the one before it by more than a circle. What a person reads, and the recorded run in
    place of a GPU, close a lab and are no step of its ladder; nor is a claim of one's own, whose steps research
    orders."""
    sections = re.split(r"^(?=## )", "\n".join(cell.source for cell in lab.master.cells), flags=re.MULTILINE)
    steps = [one for one in sections if "read by a person" not in one and "recorded run" not in one.splitlines()[0]]
    ladder = [len(circles) for one in steps for circles in re.findall(r"^> Difficulty (●+)", one, re.MULTILINE)]
    assert ladder[0] < ladder[-1]
    assert all(after >= before - 1 for before, after in itertools.pairwise(ladder))


# Predictions


@pytest.mark.parametrize("given", [{1: 0, 2: "x", 3: "no"}, {"1": -2.5, "2": 16, "3": "low"}])
def test_a_prediction_is_any_answer_to_each_question(given):
    assert predicted(given)


@pytest.mark.parametrize("given", [{}, None, [1, 2, 3], {1: 2, 2: 3}, {1: 2, 2: " ", 3: "x"}, {1: 2, 2: None, 3: "x"}])
def test_an_unanswered_question_is_no_prediction(given):
    assert not predicted(given)
