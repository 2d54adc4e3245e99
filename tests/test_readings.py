"""The sentences that follow from verdicts, with every word that a verdict can be."""

import ast
import inspect
import itertools
import json
import re
from pathlib import Path
from typing import get_args

import pytest
from conftest import ROOT

import flatlab
from flatlab.plots import readings
from flatlab.study.claims import CLAIMS
from flatlab.study.ledger import Word

WORDS = get_args(Word)
SOMEWHERE = ("holds", "mixed")  # where a gap is to be spoken of
OPEN = {"mixed", "undecided", "not run"}
GIVEN = {
    "lower": [True, False],
    "share": [0.43, 6.2],
    "loss": [0.52],
    "holds": ["It is so here."],
    "fails": ["It is not so."],
    "none_left": ["mlp"],
    "left": ["mlp (large batch: half of all)"],
    "most": ["mlp"],
    "worse_on": ["F1"],
    "not_on": ["F2"],
    "not_decided": ["F2", ""],
    "both": ["mlp", ""],
    "place": ["F1 on all of MNIST"],
}
TOOLS = {readings.counted, readings.whether}
READINGS = [
    function
    for _, function in inspect.getmembers(readings, inspect.isfunction)
    if function.__module__ == readings.__name__ and function not in TOOLS and not function.__name__.startswith("_")
]

# What a reader would stumble over: a word of the ledger where English has another form, a gap, a leftover.
STUMBLES = re.compile(
    r"\b(is|are|was|be|does|do|not|to) (holds|fails)\b|\b(is|does) (hold|fail)\b|\bare (mixed|undecided) not\b"
    r"|  |\.\.|,,| [.,;:]|\b(\w+) \3\b|[{}]|\bNone\b|\bnan\b"
)


def every_case(function):
    """(the words, what is said) for every choice of words and of the other arguments."""
    names = list(inspect.signature(function).parameters)
    for chosen in itertools.product(*(GIVEN.get(name, WORDS) for name in names)):
        yield {one for name, one in zip(names, chosen) if name not in GIVEN}, function(*chosen)


def sentences(text):
    return re.split(r"(?<=[.?!)]) +(?=[A-Z(*$])", text)


@pytest.mark.parametrize("function", READINGS, ids=lambda function: function.__name__)
def test_whatever_the_words_become_whole_sentences_are_said(function):
    for words, said in every_case(function):
        assert not (found := STUMBLES.search(said.replace("$\\lambda_{\\max}$", "λ"))), (words, found, said)
        for one in sentences(said):
            assert re.match(r"[A-Z$*(]", one), (words, one)
            assert re.search(r"[.?!]\)?$", one), (words, one)
            assert len(one.split()) > 3, (words, one)
        assert said.count("(") == said.count(")") and said.count("*") % 2 == 0 and said.count("$") % 2 == 0, said


@pytest.mark.parametrize("function", READINGS, ids=lambda function: function.__name__)
def test_nothing_is_concluded_from_words_that_decide_nothing(function):
    for words, said in every_case(function):
        if words <= OPEN:
            assert re.search(r"^Whether |do not decide|needs a condition|nothing can be put right", said), (words, said)
        if words == {"holds"} or words == {"fails"}:
            assert not said.startswith("Whether"), (words, said)


@pytest.mark.parametrize("function", READINGS, ids=lambda function: function.__name__)
def test_a_claim_that_holds_is_not_read_as_one_that_fails(function):
    cases = list(every_case(function))
    holds, fails = ({said for words, said in cases if words == {word}} for word in ("holds", "fails"))
    assert holds and fails and not holds & fails


def test_the_first_page_says_what_the_gap_is_only_where_there_is_one():
    for gap, rate in itertools.product(WORDS, repeat=2):
        said = readings.the_answer(gap, "C1 and F1", "F2", rate, "mlp")
        gives = " generalises worse, and a rate that grows with the root of the batch size gives more than half of that"
        assert (gives in said) == (gap == rate == "holds")
        assert (" depends on the network: it does on C1 and F1, and not on F2. " in said) == (gap == "mixed")
        assert ("gives less than half of that gap back on mlp" in said) == (gap in SOMEWHERE and rate == "fails")
        assert ("half of that gap back" in said) == (gap in SOMEWHERE)


def test_the_first_page_speaks_of_what_is_left_of_a_gap_only_where_there_is_one():
    for gap, tuned, statistics, both in itertools.product(WORDS, WORDS, WORDS, ("", "C3")):
        said = readings.beyond_the_rate(gap, tuned, "mlp", "C1", statistics, "F1", both)
        assert ("half of the gap on F1." in said) == (gap in SOMEWHERE and statistics in ("holds", "fails"))
        assert ("that suits it" in said) == (gap in SOMEWHERE)
        assert ("On C3 " in said and "flatness" in said) == (gap in SOMEWHERE and both != "")
        assert ("is left on mlp, and more on C1." in said) == (gap in SOMEWHERE and tuned == "mixed")


def test_the_first_page_names_the_networks_on_which_sharpness_stays():
    said = {word: readings.sharp_at_the_rule(word, "mlp", "F1") for word in WORDS}
    assert said["mixed"].endswith("less than twice as sharp as the small one on mlp, and more on F1.")
    assert "is less than twice" in said["holds"] and "is more than twice" in said["fails"]


def test_sharp_is_said_to_be_worse_only_where_both_hold():
    for sharper, gap in itertools.product(WORDS, repeat=2):
        said = readings.sharp_therefore_worse(sharper, gap, "C1", "F2")
        assert ("On C1 the large batch is the sharper one and the worse one." in said) == (sharper == gap == "holds")
        assert ("On F2 " in said and "not decided" in said) == (sharper == gap == "holds")
        assert ("does not mean worse" in said) == ((sharper, gap) == ("holds", "fails"))
    assert "On" not in readings.sharp_therefore_worse("holds", "holds", "C1", "").removeprefix("On C1")


def test_the_puzzle_keeps_its_claim_only_on_networks_whose_gap_no_control_closes():
    for tuned, updates in itertools.product(WORDS, repeat=2):
        said = readings.given_up(tuned, updates, "mlp", "C1")
        assert ("give it up" in said or "we give up the claim as it stands" in said) == (
            "holds" in (tuned, updates) or "mixed" in (tuned, updates)
        )
        assert ("the claim stands" in said) == (tuned == updates == "fails")
        assert ("closes it on C1, so there it stands" in said) == (
            "mixed" in (tuned, updates) and "holds" not in (tuned, updates)
        )
    assert readings.given_up("mixed", "fails", "mlp", "").endswith("because the gap closes on mlp.")


@pytest.mark.parametrize("known, end", [("holds", "larger test error."), ("fails", "smaller test error.")])
def test_what_one_of_two_verdicts_says_is_said(known, end):
    for open_one in OPEN:
        for said in (readings.orders_nets(known, open_one), readings.orders_nets(open_one, known)):
            first, second = sentences(said)
            assert first.endswith(end) and second.startswith("Whether ")


def test_claims_are_counted_in_words():
    assert readings.counted(["holds"] * 3 + ["fails"] + ["undecided"] * 2) == "3 hold, 1 fails and 2 are undecided"
    assert readings.counted(["mixed"]) == "1 is mixed" and readings.counted([]) == "none"
    assert readings.counted(["not run", "holds"]) == "1 holds and 1 is not run"


def test_what_is_more_than_the_whole_is_no_part_of_it():
    assert "So 43 % of the asymmetry comes without" in readings.without_a_large_batch("holds", 0.43, 0.52)
    assert "So an asymmetry 6.2 times as large comes without" in readings.without_a_large_batch("holds", 6.2, 0.52)


# A dict from words to sentences, or a word compared with a constant; what asks `verdict(...) == "holds"` picks nets.
CHOSEN = re.compile(r"""["'](holds|fails)["']\)?\s*:\s*["'][A-Z ]|[^)] (==|in) \(?["'](holds|fails)["']""")


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parent.parent / "book").glob("*.[im][pd]*")), ids=lambda f: f.name
)
def test_no_page_chooses_its_sentences_by_a_word_itself(file):
    """`readings` does, where every word is tried."""
    text = file.read_text(encoding="utf8")
    cells = ["".join(cell["source"]) for cell in json.loads(text)["cells"]] if file.suffix == ".ipynb" else [text]
    for cell in cells:
        assert not (found := CHOSEN.search(cell)), found[0]


# What only a run can say. A sentence may ask it, suppose it, quote it or name a claim; it may not state it.
OUTCOME = re.compile(
    r"\b(sharper|flatter|steeper|more accurate) (one|than)\b|\b(closes?|narrows?) (half of )?the gap\b"
    r"|\bgeneralises? (worse|better)\b|\b(is|are|was|were) (confirmed|reproduced|refuted)\b|\bthere is no gap\b"
)
OPEN_STILL = re.compile(
    r"[?\"“*]|\b(if|whether|would|could|should|may|might|can|cannot|suppose|claims?|asks?|says?|said|reports?)\b"
)


def typed(file):
    """The sentences of a page that are typed, captions too, without formulas, code and addresses."""
    text = file.read_text(encoding="utf8")
    if file.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        prose = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
        figures = [cell["metadata"].get("mystnb", {}).get("figure", {}) for cell in cells]
        text = "\n\n".join([*prose, *(figure.get("caption", "") for figure in figures)])
    text = re.sub(r"```.*?```|\$\$.*?\$\$|\$[^$]*\$|(?<=\])\([^)]*\)|<[^>]+>|\*\*", " ", text, flags=re.DOTALL)
    for paragraph in re.split(r"\n\s*\n|\n- ", text):
        yield from re.split(r"(?<=[.?!:]) +(?=[A-Z(*])", " ".join(paragraph.split()))


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parent.parent / "book").glob("*.[im][pd]*")), ids=lambda f: f.name
)
def test_no_page_types_what_only_a_run_can_say(file):
    """Headings and take-aways included. A cell prints it, from the verdict."""
    stated = [one for one in typed(file) if OUTCOME.search(one) and not OPEN_STILL.search(one.lower())]
    assert not stated


def held(source):
    """The sentences that code holds as they stand, except for names of claims, branches of a choice, docstrings, and
    what ends with a colon, because a verdict is printed behind it."""
    names = {claim.name for claim in CLAIMS}
    tree = ast.parse(re.sub(r"^( *)!.*$", r"\1pass", source, flags=re.MULTILINE))
    known = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.IfExp):
            known |= {id(part) for branch in (node.body, node.orelse) for part in ast.walk(branch)}
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in known else None
        if isinstance(text, str) and text not in names:
            parts = re.split(r"(?<=[.?!:]) +(?=[A-Z(*])", " ".join(text.split()))
            yield from (part for part in parts if not part.endswith(":"))


SAYING = {*(ROOT / "book").glob("*.ipynb"), *(ROOT / "flatlab" / "plots").glob("*.py")} - {Path(readings.__file__)}


@pytest.mark.parametrize("file", sorted(SAYING), ids=lambda f: f.name)
def test_no_code_says_what_only_a_run_can_say(file):
    """Neither a cell nor a figure's words: `readings` does, from the verdict."""
    text = file.read_text(encoding="utf8")
    cells = [text]
    if file.suffix == ".ipynb":
        cells = ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    stated = [one for cell in cells for one in held(cell) if OUTCOME.search(one) and not OPEN_STILL.search(one.lower())]
    assert not stated


@pytest.mark.parametrize("measure", [flatlab.sharpness, flatlab.adaptive_sharpness, flatlab.average_sharpness])
def test_the_page_that_a_measure_names_speaks_of_it(measure):
    page = re.search(r"/book/(\w+)\.html", measure.__doc__)[1]
    text = (ROOT / "book" / f"{page}.ipynb").read_text(encoding="utf8").lower()
    assert measure.__name__.replace("_", " ") in text.replace("_", " ")
