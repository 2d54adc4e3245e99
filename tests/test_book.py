"""The build driver: what must fail fails, what must run again runs again, and what has not changed does not.

Jupyter Book 1 alone gets each of these wrong: an incremental build passes though a page still fails, and the
execution cache does not see a changed package. So each is proved on a book of one page.
"""

import ast
import configparser
import dataclasses
import doctest
import importlib.util
import inspect
import os
import re
import subprocess
import sys
import textwrap
import types
import unicodedata
from collections import Counter
from pathlib import Path

import docutils.core
import docutils.frontend
import docutils.nodes
import docutils.utils
import nbformat
import pytest
import yaml
from conftest import ROOT, cache_of_the_book, executed

from flatlab.study.experiments import EXPERIMENTS
from flatlab.study.recorded import TIERS


@pytest.fixture
def book(tmp_path):
    """A book of one page that prints a helper's answer and notes that it ran; its path holds a space."""
    source = tmp_path / "a book"
    files = {
        "_config.yml": "title: tiny\nonly_build_toc_files: true\n",
        "_toc.yml": "format: jb-book\nroot: page\n",
        "requirements.txt": "torch==1\n",
        "flatlab/__init__.py": "",
        "flatlab/helper.py": "answer = 'forty-one'\n",
    }
    for name, text in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    return source


@pytest.fixture
def driver(root):
    """book/build.py as a module."""
    spec = importlib.util.spec_from_file_location("build", root / "book" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_page(book, code, name="page"):
    code = "from flatlab.helper import answer\nopen('ran', 'a').write('x')\n" + textwrap.dedent(code)
    cells = [nbformat.v4.new_markdown_cell("# A page"), nbformat.v4.new_code_cell(code)]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), book / f"{name}.ipynb")


def build(root, book, **variables):
    command = [sys.executable, root / "book" / "build.py", book]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables})


def runs(book):
    """How often the page has run."""
    return len((book / "ran").read_text())


def page(book):
    return (book / "_build" / "html" / "page.html").read_text()


def test_the_page_runs_again_when_and_only_when_something_it_depends_on_has_changed(root, book):
    def built():
        done = build(root, book)
        assert done.returncode == 0, done.stdout + done.stderr
        assert str(book / "_build" / "html" / "index.html") in done.stdout
        return runs(book)

    def executed_now():
        cache_of_the_book.cache_clear()  # another process would look for it anew
        return executed.__wrapped__(book / "page.ipynb", book)

    shared = book / "book" / "runs.py"  # what is trained before the pages, here a note of it
    shared.parent.mkdir()
    shared.write_text("open(__file__ + '.log', 'a').write('x')")

    def trained():
        return len(Path(f"{shared}.log").read_text())

    write_page(book, "print('The answer is', answer)")
    assert built() == 1 and "The answer is forty-one" in page(book)
    assert built() == 1 and trained() == 1, "nothing had changed"
    assert printed(executed_now().cells[1]) == "The answer is forty-one\n"
    (book / "flatlab" / "helper.py").write_text("answer = 'forty-two'\n")
    assert executed_now() is None, "what was executed with another package does not count"
    assert built() == 2 and "The answer is forty-two" in page(book), "a helper module had changed"
    assert trained() == 2, "the shared runs are asked for again with it"
    assert len(list((book / "_build" / "cache").iterdir())) == 1, "the caches of former states are removed"
    write_page(book, "print('Another page', answer)")
    assert executed_now() is None, "nor what was executed from other cells"


def test_the_fingerprint_follows_package_results_pins_and_data(driver, book, tmp_path, monkeypatch):
    monkeypatch.setenv("FLATLAB_DATA", str(tmp_path))
    seen = [driver.fingerprint(book)]
    for file in (
        book / "flatlab" / "deep" / "new.py",
        book / "flatlab" / "study" / "paper_figures" / "curve.csv",
        book / "flatlab" / "signals.npz",
        book / "results" / "table.json",
        book / "requirements.txt",
        tmp_path / "mnist.npz",
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("one")
        seen.append(driver.fingerprint(book))
        file.write_text("two")
        seen.append(driver.fingerprint(book))
    assert len(set(seen)) == len(seen)
    (book / "README.md").write_text("not an ingredient")
    (tmp_path / "mnist1d-fresh-43.npz").write_text("generated while a page is executed")
    assert driver.fingerprint(book) == seen[-1]


def test_a_page_of_markdown_with_cells_is_executed_beside_the_others(root, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(root / "book")
    import pages

    head = "---\njupytext:\n  text_representation:\n    format_name: myst\n---\n"
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: page\nchapters:\n- file: told\n- file: prose\n")
    write_page(tmp_path, "print(1)")
    (tmp_path / "told.md").write_text(f"{head}\n# Told\n\n```{{code-cell}}\n1 + 1\n```\n")
    (tmp_path / "prose.md").write_text("# Prose\n\n```python\n1 + 1\n```\n")
    assert [page.name for page in pages.pages(tmp_path, [])] == ["page.ipynb", "told.md"]
    assert pages.pages(tmp_path, ["told.*"]) == [tmp_path / "page.ipynb"]
    assert [cell.source for cell in pages.read(tmp_path / "told.md").cells if cell.cell_type == "code"] == ["1 + 1"]


def test_a_cell_that_raises_fails_the_build_from_a_clean_tree_and_from_a_dirty_one(root, book):
    """Its page is named, and the other one is executed once."""
    (book / "_toc.yml").write_text("format: jb-book\nroot: page\nchapters:\n- file: other\n")
    write_page(book, "print('one')")

    def built(code):
        write_page(book, code + "\n# the larger file, so that it is begun first" * 9, "other")
        done = build(root, book)
        assert (book / "_build" / "html" / ".complete").exists() == (done.returncode == 0)
        return done

    for state in ("clean", "dirty"):
        done = built("raise RuntimeError('this cell is wrong')")
        assert done.returncode != 0, state
        assert "this cell is wrong" in done.stdout + done.stderr, state
        assert "other.ipynb: " in done.stderr and "was not built" in done.stderr, state
        assert ("page.ipynb executed" in done.stdout) == (state == "clean")
    assert runs(book) == 3
    assert built("print('mended')").returncode == 0 and runs(book) == 4
    assert built("raise RuntimeError('wrong again')").returncode != 0, "a good build before does not hide it"


def test_a_warning_fails_the_build(root, book):
    (book / "page.md").write_text("# A page\n\n![](missing.png)\n")
    done = build(root, book)
    assert done.returncode != 0 and "missing.png" in done.stderr


def test_kernels_do_not_see_somebodys_own_configuration(driver, book, monkeypatch):
    for name in ("PYTHONSTARTUP", "PYTHONPATH", "MPLBACKEND", "IPYTHONDIR", "MPLCONFIGDIR", "FLATLAB_STORE"):
        monkeypatch.setenv(name, "mine")
    monkeypatch.delenv("FLATLAB_DATA", raising=False)
    env = driver.environment(book)
    assert "mine" not in env.values()
    assert env["FLATLAB_TIER"] == "smoke"
    assert env["FLATLAB_DATA"] == str((book / "_build" / "data").resolve())


def test_a_directory_without_a_book_is_refused_in_a_sentence(root, tmp_path):
    done = build(root, tmp_path)
    assert done.returncode == 2 and "holds no _toc.yml" in done.stderr


CHAPTERS = sorted((ROOT / "book").glob("*.ipynb"))
MARKDOWN = sorted((ROOT / "book").rglob("*.md"))


# The chapters that teach; the evidence, the labs and the reference ask nothing.
TAUGHT = [
    ROOT / f"{chapter['file']}.ipynb"
    for part in yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))["parts"]
    if part["caption"] in {"What happens", "Why", "Cures", "Cost", "Judgement"}
    for chapter in part["chapters"]
]


def printed(cell):
    """What a cell has printed, without what nbval.cfg says may differ."""
    text = "".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)
    sanitize = configparser.RawConfigParser()
    sanitize.read(ROOT / "tests" / "nbval.cfg")
    for rule in sanitize.values():
        text = re.sub(rule["regex"], rule["replace"], text) if "regex" in rule else text
    return text


def said_by(*cells):
    """What cells say: their text, or the sentences and tables that they have shown, in Markdown."""
    said = []
    for cell in cells:
        if cell.cell_type == "markdown":
            said.append(cell.source)
        shown = (output.get("data", {}) for output in cell.get("outputs", []))
        said += [data["text/markdown"] for data in shown if "text/markdown" in data]
    return "\n\n".join(said)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda file: file.name)
def test_the_pinned_outputs_of_a_chapter_are_what_it_printed(chapter):
    """For a chapter that `make book` has executed; any other one is executed by nbval, which compares them too."""
    if (now := executed(chapter)) is None:
        pytest.skip("not executed by `make book` in this state: nbval runs it")
    for pinned, cell in zip(nbformat.read(chapter, 4).cells, now.cells, strict=True):
        if "nbval-check-output" in pinned.metadata.get("tags", []):
            assert printed(cell) == printed(pinned), pinned.source


def test_a_chapter_that_was_just_executed_is_not_executed_again(root):
    """`make test` collects it, and leaves it out."""
    if not all(map(executed, CHAPTERS)):
        pytest.skip("not executed by `make book` in this state")
    collect = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "--nbval-lax", "-p", "no:cacheprovider"]
    found = subprocess.run([*collect, "tests/test_paper.py", *CHAPTERS], cwd=root, capture_output=True, text=True)
    assert "test_paper.py::" in found.stdout and "::Cell" not in found.stdout, found.stdout + found.stderr


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda file: file.name)
def test_no_caption_calls_a_panel_left_or_right(chapter):
    """On a phone the panels of a figure stand below each other."""
    for cell in nbformat.read(chapter, 4).cells:
        caption = cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "")
        assert not re.search(r"\bleft\b(?! of)|\bright[,:]|\bon the right\b", caption, re.IGNORECASE), caption


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda file: file.name)
def test_code_fits_into_its_box(chapter):
    """A line that is longer is cut off on the page, and lost on paper."""
    for cell in nbformat.read(chapter, 4).cells:
        if cell.cell_type == "code":
            for line in cell.source.splitlines():
                assert len(line) <= 76, f"{cell.id}, {len(line)} columns: {line}"


@pytest.mark.parametrize("page", [*CHAPTERS, *MARKDOWN], ids=lambda file: file.name)
def test_no_code_writes_a_table_by_hand(page):
    """`flatlab.plots.tables.grid` does."""
    if page.suffix == ".ipynb":
        code = [cell.source for cell in nbformat.read(page, 4).cells if cell.cell_type == "code"]
    else:
        code = re.findall(r"^```\{code-cell\}.*?^```", page.read_text(encoding="utf8"), re.MULTILINE | re.DOTALL)
    assert not [source for source in code if "|--" in source]


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda file: file.name)
def test_code_on_a_page_of_markdown_fits_into_its_box(page):
    """What a page shows: a cell whose code is removed may be as wide as it likes."""
    for code in re.findall(
        r"^```(?:bash|python|\{code-cell\}[^\n]*)\n(.*?)^```", page.read_text(encoding="utf8"), re.MULTILINE | re.DOTALL
    ):
        if "remove-input" not in code:
            for line in code.splitlines():
                assert len(line) <= 76, f"{len(line)} columns: {line}"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda file: file.name)
def test_what_a_cell_prints_is_said(chapter):
    """`say` writes -0.5 and 2e-05 as a reader does; Markdown of a cell's own would not."""
    for cell in nbformat.read(chapter, 4).cells:
        assert cell.cell_type != "code" or not re.search(r"\bMarkdown\(|def (say|solution)\b", cell.source), cell.id


BARE = (ast.Tuple, ast.List, ast.Set, ast.Dict, ast.ListComp, ast.SetComp, ast.DictComp, ast.BinOp, ast.Subscript)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda file: file.name)
def test_no_cell_ends_with_numbers_that_have_no_words(chapter):
    """(True, 63.0283, 63.0283) under a cell says to nobody which number is which."""
    for cell in nbformat.read(chapter, 4).cells:
        if cell.cell_type == "code" and not cell.source.rstrip().endswith(";"):
            *_, last = ast.parse(re.sub(r"^( *)[!%].*$", r"\1pass", cell.source, flags=re.MULTILINE)).body or [None]
            assert not (isinstance(last, ast.Expr) and isinstance(last.value, BARE)), f"{cell.id}: print it with words"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda file: file.name)
def test_no_cell_shows_the_code_of_a_tensor_or_a_tuple(chapter):
    """In a chapter that `make book` has executed: what a call returns is not seen in the notebook."""
    if (now := executed(chapter)) is None:
        pytest.skip("not executed by `make book` in this state")
    for cell in now.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "execute_result" and set(output.data) == {"text/plain"}:
                assert not re.match(r"[(\[{]|array\(|tensor\(|[-\d.]+$", output.data["text/plain"]), cell.id


FORMULA_CODE_OR_LINK = r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|(?<=\])\([^)]*\)|<[^>]+>"


CODE_OR_LINK = r"```.*?```|`[^`]*`|(?<=\])\([^)]*\)|https?://\S+|<[^>]+>"
NO_COMMA = r"(?<![\w.,{/-])(?<!Xiv )(?!(?:19|20)\d\d\b(?<!2000))\d{4,}(?![\w-])"  # and no year, nor a preprint's number


def prose(page):
    """What is typed on a page, without code and the addresses of links: its text, and the captions of its figures."""
    if page.suffix == ".md":
        return re.sub(CODE_OR_LINK, " ", page.read_text(encoding="utf8"), flags=re.DOTALL)
    cells = nbformat.read(page, 4).cells
    typed = [cell.source for cell in cells if cell.cell_type == "markdown"]
    typed += [cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "") for cell in cells]
    return re.sub(CODE_OR_LINK, " ", "\n\n".join(typed), flags=re.DOTALL)


def test_a_number_without_a_comma_is_found_and_a_year_is_not():
    text = (
        "Batch 2000 of 1,000 rows, $m = 2000$, $N = 1{,}000$, 12500 updates; Keskar et al. 2017, engrXiv 7356, in 1997."
    )
    assert re.findall(NO_COMMA, text) == ["2000", "2000", "12500"]


@pytest.mark.parametrize("page", [*CHAPTERS, *MARKDOWN], ids=lambda file: file.name)
def test_a_thousand_has_a_comma(page):
    """In a formula `2{,}000`, because a comma alone is set with a blank behind it."""
    assert re.findall(NO_COMMA, prose(page)) == []


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda file: file.name)
def test_a_thousand_that_is_printed_has_a_comma(chapter):
    """In a chapter that `make book` has executed: in the sentences and tables that its cells say."""
    if (now := executed(chapter)) is None:
        pytest.skip("not executed by `make book` in this state")
    said = said_by(*now.cells)
    assert re.findall(NO_COMMA, re.sub(CODE_OR_LINK, " ", said, flags=re.DOTALL)) == []


@pytest.mark.parametrize("page", [*CHAPTERS, *MARKDOWN], ids=lambda file: file.name)
def test_every_column_of_a_table_has_a_head(page):
    """So that a screen reader can name a cell. Where `make book` has executed a page, in what its cells say too."""
    if page.suffix == ".md":
        said = page.read_text(encoding="utf8")
    else:
        said = said_by(*(executed(page) or nbformat.read(page, 4)).cells)
    heads = re.findall(r"^(\|.*\|)\n\|[-:| ]+\|$", said, re.MULTILINE)
    assert [head for head in heads if re.search(r"\|\s*\|", head)] == []


def words(chapter):
    """How many words of a chapter are typed."""
    typed = "\n".join(cell.source for cell in nbformat.read(chapter, 4).cells if cell.cell_type == "markdown")
    return len(re.findall(r"[A-Za-z][A-Za-z'’-]*", re.sub(FORMULA_CODE_OR_LINK, " ", typed, flags=re.DOTALL)))


@pytest.mark.parametrize("chapter", TAUGHT, ids=lambda file: file.name)
def test_a_chapter_is_read_in_one_sitting(chapter):
    assert 1200 <= words(chapter) <= 1800, words(chapter)


FORM = ["Predict", "What would change our mind", "Your predictions", "Exercises", "Three questions", "Take away"]


@pytest.mark.parametrize("chapter", TAUGHT, ids=lambda file: file.name)
def test_a_chapter_has_its_parts_in_the_order_of_all_chapters(chapter):
    cells = nbformat.read(chapter, 4).cells
    prose = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    headings = re.findall(r"^## (.+)$", prose, re.MULTILINE)
    assert [one for one in headings if one in FORM] + headings[-1:] == [*FORM, "Further reading"]
    assert re.search(r"^\*\*[^*]*(?:\*[^*]+\*[^*]*)*\?\*\*$", cells[0].source, re.MULTILINE), "no question in bold"
    opening = prose.partition("## Predict\n")[0]
    for part in ("*When you have worked through this page you can*", "*Time:*", "*Before this page:*"):
        assert part in opening
    predicted, exercises = (prose.partition(f"## {part}\n")[2].partition("\n## ")[0] for part in (FORM[0], FORM[3]))
    assert len(re.findall(r"^\d\. ", predicted, re.MULTILINE)) >= 3
    assert len(re.findall(r"^\*\*\d\. .+?\*\* \*Difficulty", exercises, re.MULTILINE)) == 3
    assert prose.count("<details><summary><b>") >= 1, "no derivation"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda file: file.name)
def test_every_exercise_has_a_solution(chapter):
    """One cell per exercise prints it, so that its numbers are computed or recorded."""
    cells = nbformat.read(chapter, 4).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    exercises = re.findall(r"^\*\*(\d)\. .+?\*\* \*Difficulty", prose, re.MULTILINE)
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    solved = [re.findall(r"^solution\(\s*(\d)", source, re.MULTILINE) for source in code]
    assert list(filter(None, solved)) == [[number] for number in exercises]


NUMBER = r"(?<![\w.])\d[\d,]*\.\d+|(?<![\w.,])\d[\d,]*(?= ?%| points| times)"


def numbers_typed(chapter):
    """What a chapter's cells print as it stands and has a decimal or a unit, and every number that is no such print: of
    the code, of the typed prose."""
    printed, settings = [], set()
    for cell in nbformat.read(chapter, 4).cells:
        if cell.cell_type == "markdown":
            settings.update(re.findall(r"\d[\d,]*(?:\.\d+)?", cell.source))
            continue
        tree = ast.parse(re.sub(r"^( *)!.*$", r"\1pass", cell.source, flags=re.MULTILINE))
        formats = {
            id(part)
            for value in ast.walk(tree)
            if isinstance(value, ast.FormattedValue) and value.format_spec
            for part in ast.walk(value.format_spec)
        }
        for part in ast.walk(tree):
            if isinstance(part, ast.Constant) and id(part) not in formats:
                if isinstance(part.value, str):
                    printed += re.findall(NUMBER, re.sub(FORMULA_CODE_OR_LINK, " ", part.value, flags=re.DOTALL))
                elif isinstance(part.value, (int, float)):
                    settings.add(f"{part.value}")
    return printed, {float(number.replace(",", "")) for number in settings if number not in ("True", "False")}


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda file: file.name)
def test_no_cell_prints_a_number_that_somebody_typed(chapter):
    """A solution's numbers and a sentence's are computed or recorded; a number that is typed is a setting, which stands
    in the page's code or in its prose as well."""
    printed, settings = numbers_typed(chapter)
    assert [number for number in printed if float(number.replace(",", "")) not in settings] == []


def told_with_a_number(answers):
    """Of each answer whether it has a number, which neither its own place is nor a claim's name has."""
    parts = re.split(r"^\d\. ", answers, flags=re.MULTILINE)[1:]
    return [bool(re.search(r"\d", re.sub(r"\*[^*]+\*|\*\*[^*]+\*\*", "", part))) for part in parts]


def test_a_verdict_is_no_number():
    assert told_with_a_number("1. *Batch 8.* *Sharp at 1e-3*: **holds**.\n\n2. *One.* 0.3 points.") == [False, True]


@pytest.mark.parametrize("chapter", TAUGHT, ids=lambda file: file.name)
def test_every_prediction_is_answered_with_a_number(chapter):
    """In a chapter that `make book` has executed; a verdict alone says less than what was predicted."""
    if (now := executed(chapter)) is None:
        pytest.skip("not executed by `make book` in this state")
    sources = [cell.source for cell in now.cells]
    (asked,) = (text for text in sources if re.search(r"^## Predict\n", text, re.MULTILINE))
    (place,) = (k for k, text in enumerate(sources) if text.rstrip().endswith("## Your predictions"))
    answers = "\n\n".join(output.data["text/markdown"] for output in now.cells[place + 1].outputs)  # and nothing else
    questions = re.findall(r"^\d\. ", asked.partition("## Predict\n")[2], re.MULTILINE)
    assert told_with_a_number(answers) == [True] * len(questions)


VERDICT = r"\*([^*\n]+)\*[^*\n]*: \*\*(?:holds|fails|mixed|undecided)\*\*"


def said_in(now, heading):
    """The part of an executed chapter below a heading, with what its cells say, in small letters."""
    said = said_by(*now.cells)
    return said.partition(f"# {heading}\n")[2].partition("\n## ")[0].lower()


@pytest.mark.parametrize("chapter", TAUGHT, ids=lambda file: file.name)
def test_a_claim_with_a_result_has_its_rule_before_it_and_is_taken_away(chapter):
    """In a chapter that `make book` has executed; one that tells each rule beside its result lists none before."""
    if (now := executed(chapter)) is None:
        pytest.skip("not executed by `make book` in this state")
    rules, result, taken = (said_in(now, heading) for heading in ("The rules", "The result", "Take away"))
    ruled = re.findall(r"^- \*([^*\n]+)\*: (?!\*)", rules, re.MULTILINE)
    shown = set(re.findall(VERDICT, result))
    assert {*"; ".join(ruled).split("; "), *shown} - {""} <= set(re.findall(VERDICT, taken))
    assert not ruled or [name for name in shown if name not in rules] == []


@pytest.mark.parametrize("chapter", TAUGHT, ids=lambda file: file.name)
def test_every_chapter_asks_three_questions_and_explains_each_option(chapter):
    """An explanation stands between blank lines, so that its formulas are set; a summary has no formula."""
    cells = nbformat.read(chapter, 4).cells
    places = [place for place, cell in enumerate(cells) if cell.source.startswith("## Three questions\n")]
    assert len(places) == 1, f"{len(places)} cells begin with `## Three questions`"
    quiz, after = cells[places[0]], cells[places[0] + 1]
    assert quiz.cell_type == "markdown" and after.source.startswith("## Take away")
    assert len(re.sub(r"<[^>]+>", " ", quiz.source).split()) < 200
    questions = re.split(r"^\*\*\d\.\*\* ", quiz.source, flags=re.MULTILINE)[1:]
    assert len(questions) == 3
    option = r"^<details><summary>[^$\n]+</summary>\n\n\*\*(Right|No)\.\*\* \S.+\n\n</details>$"
    for question in questions:
        assert question.splitlines()[0].endswith("?")
        assert question.count("<details>") == 3, question
        assert sorted(re.findall(option, question, re.MULTILINE)) == ["No", "No", "Right"], question


def test_every_public_name_is_on_one_page_of_the_reference(root):
    import flatlab
    import flatlab.checks

    pages = "\n".join(page.read_text() for page in sorted((root / "book" / "api").glob("*.md")))
    documented = re.findall(r"^\.\. auto(?:function|class):: flatlab\.(\w+)$", pages, re.MULTILINE)
    assert sorted(documented) == sorted(set(flatlab.__all__) - {"__version__"})
    documented = re.findall(r"^\.\. auto(?:function|class):: flatlab\.checks\.(\w+)$", pages, re.MULTILINE)
    assert sorted(documented) == sorted(flatlab.checks.__all__)


def test_a_span_that_goes_on_in_the_next_line_is_read_whole_and_a_lone_colon_is_not_shown(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root))
    from book import docstrings

    lines = [
        "Notes",
        "-----",
        "::",
        "",
        "    a + b",
        "",
        "See `Measuring",
        "<https://a.b/c.html>`_, in the box ``rho",
        "|x|``.",
    ]
    text = "\n".join(docstrings.restructured(lines))
    assert r"`Measuring <https://a.b/c.html>`__" in text and r":math:`\rho \lvert x \rvert`" in text
    assert ":" not in [line.strip() for line in text.splitlines()]
    chapter = "[Measuring](https://flatlab.github.io/flatlab/book/a_b.html)"
    assert docstrings.prose(chapter) == ":doc:`Measuring </book/a_b>`"
    assert docstrings.prose("the `Objective`'s x") == r"the :py:obj:`Objective`\ ’s x"
    assert docstrings.prose("*It holds* for *args and a*b*c") == r"*It holds*\  for \*args and a\*b\*c"


def test_a_docstring_is_read_in_the_book_as_it_stands(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root))
    from book import docstrings

    links = "`Measuring <https://a.b/c_d.html>`_ and ``|x_i|``"
    assert docstrings.prose(links) == r"`Measuring <https://a.b/c_d.html>`__\  and \ :math:`\lvert x_{i} \rvert`"
    found = docstrings.restructured(["Equation::", "", "    |y_i| <= r", "", ">>> 2**3", "8"])
    assert "Equation:" in found and found[-2:] == [">>> 2**3", "8"]
    assert found[found.index(".. math::") + 2] == r"    \lvert y_{i} \rvert \le r"
    lines = [
        "The box |y| <= r_ of *args, in `Objective`:",
        "",
        "    r = eps (|x| + 1)",
        "",
        "Notes",
        "-----",
        "As",
        "    a = 1",
    ]
    text = "\n".join(docstrings.restructured(lines))
    nodes = docutils.core.publish_doctree(text.replace(":py:obj:", ""), settings_overrides={"report_level": 5})
    said = nodes.astext()
    assert (
        "The box |y| ≤ r_ of *args, in Objective:" in said
        and r"r = \epsilon ( \lvert x \rvert + 1 )" in said
        and "a = 1" in said
    )
    assert not list(nodes.findall(docutils.nodes.problematic))
    assert (
        docstrings.prose("[Measuring](https://a.b/c_d.html) and `f(x)`.")
        == r"`Measuring <https://a.b/c_d.html>`__\  and ``f(x)``\ ."
    )


def test_a_letter_of_a_formula_is_shown_as_one_in_a_sentence(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root))
    from book import docstrings

    shown = docstrings.prose("Of C_eps phi is `a / (2 b)`, by the delta method.")
    assert shown == (r"Of \ :math:`C_{\epsilon}`\  \ :math:`\phi`\  is \ :math:`a / ( 2 b )`\ , by the delta method.")
    call = "norm(h, rho): h -> h over `rho`, the sd_1 of h."
    assert docstrings.prose(call) == r"``norm(h, rho)``\ : h → h over :py:obj:`rho`\ , the sd_1 of h."
    found = docstrings.restructured(["Parameters", "----------", "rho, sigma : float", "    rho >= 0.", "eta, C_1"])
    assert found[2:] == [r"rho, sigma : ``float``", r"    \ :math:`\rho`\  ≥ 0.", "eta, C_1"]


def test_a_long_name_in_the_reference_can_break_behind_its_dots_and_underscores(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root))
    from docutils import nodes
    from sphinx import addnodes

    from book import docstrings

    long, short = nodes.literal(text="flatlab.study.what_a_batch_costs"), nodes.literal(text="flatlab.hessian.Hessian")
    page = nodes.section("", addnodes.desc("", nodes.paragraph("", "", long, short)), nodes.literal(text="a_" * 20))
    docstrings.breakable(None, page)
    parts = "".join(part.astext() for part in long).split("<wbr>")
    assert parts == ["flatlab.", "study.", "what_", "a_", "batch_", "costs"]
    assert len(short) == len(page[1]) == 1


def test_the_init_of_a_dataclass_stands_before_its_members_in_the_order_of_the_source(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root))
    from sphinx.pycode import ModuleAnalyzer

    from book import docstrings
    from flatlab.study import design

    docstrings.made_first(design.Setting)
    place = ModuleAnalyzer.for_module(design.__name__).tagorder
    assert place["Jobs"] < place["Setting.__init__"] < place["Setting.name"]


def test_the_fields_of_a_result_are_told_by_the_comments_behind_them(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root))
    import flatlab
    from book import docstrings
    from flatlab.study import paper

    told = docstrings.fields(flatlab.Sharpness)
    assert "base : float" in told and "    f(x)" in told
    assert "loss : tuple of tuple of float" in docstrings.fields(flatlab.Surface)
    assert "mean : float" in docstrings.fields(paper.Value)  # a named tuple
    results = [thing for name in flatlab.__all__ if dataclasses.is_dataclass(thing := getattr(flatlab, name))]
    for result in results:
        said = "\n".join([result.__doc__, *docstrings.fields(result)])
        told = {one for names in re.findall(r"^ *([\w, ]+) : ", said, re.MULTILINE) for one in names.split(", ")}
        told |= set(re.findall(r"^ {4}(\w+(?:, \w+)*)$", result.__doc__, re.MULTILINE))
        lacking = {field.name for field in dataclasses.fields(result)} - {
            one for each in told for one in each.split(", ")
        }
        assert not lacking, f"{result.__name__}: {lacking}"


def test_a_check_is_told_with_what_it_returns_and_not_with_what_examines():
    from flatlab.checks.answer import CHECKS

    for exercise, check in CHECKS.items():
        assert str(inspect.signature(check)) == "(student: 'Student') -> 'Answer'" and check.__doc__, exercise


def test_a_reader_sees_nothing_that_python_made_of_a_class(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root))
    from book import docstrings
    from flatlab.measure.protocols import Function
    from flatlab.study import paper
    from flatlab.study.design import Experiment

    def skipped(owner, name):
        return docstrings.made_by_python(None, "class", name, getattr(owner, name), False, None)

    assert skipped(paper.Value, "__new__") and skipped(paper.Value, "mean") and skipped(Function, "__init__")
    assert skipped(paper.DataSet, "large_batch") is None and skipped(Experiment, "__init__") is None
    written = ("(options: dict = <factory>)", "Callable[[...], Any]")
    shown = docstrings.signature(None, "function", "", None, None, *written)
    assert shown == ("(options: dict = {})", "Callable[..., Any]")
    assert docstrings.signature(None, "function", "", None, None, "()", None) == ("()", None)


def test_a_type_in_the_reference_is_a_link_and_a_parameter_has_all_of_its_type(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root))
    from book import docstrings

    lines = ["Parameters", "----------", "x : Tensor, optional", "    A point.", "nets : sequence of (Net, {1: 2})"]
    found = docstrings.restructured([*lines, "Returns", "-------", "Result", "    Kept."])
    assert found[2] == r"x : ``Tensor``\ , optional" and found[3] == "    A point."
    assert found[4] == r"nets : sequence of (\ :class:`.Net`\ , {1: 2})"
    assert found[7] == ":class:`.Result`"


def test_a_signature_names_a_type_that_has_a_name(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root))
    import flatlab
    from book import docstrings
    from flatlab.measure import maximise, paths

    spelt = docstrings.stringify_annotation(maximise.SearchMethod, "smart")
    shown = docstrings.signature(None, "function", "", flatlab.sharpness, None, f"(method: {spelt} = 'lbfgs')", None)
    assert shown == ("(method: SearchMethod = 'lbfgs')", None)
    assert "Normalisation" in dict(map(reversed, docstrings.aliases(paths)))


@pytest.mark.parametrize(
    "typed, tex",
    [
        ("phi = 100 (a - b) / (1 + b)", r"\phi = \frac{100 ( a - b )}{1 + b}"),
        ("1/N sum_i |g_i - G|^2", r"\frac{1}{N} \sum_{i} \lvert g_{i} - G \rvert^{2}"),
        ("||d / |x| ||_p <= r", r"\left\lVert \frac{d}{\lvert x \rvert} \right\rVert_{p} \le r"),
        ("C_eps,    x0 in R", r"\begin{gathered} C_{\epsilon} , \\[1ex] x_{0} \in R \end{gathered}"),
        ("N/(N - 1) for N > 1", r"\frac{N}{N - 1} \text{ for } N > 1"),
        ("2 scatter / sqrt(seeds)", r"\frac{2 \, \mathrm{scatter}}{\sqrt{\mathrm{seeds}}}"),
        ("E_min / m, E / m = E f(x)", r"\frac{E_{\min}}{m} , \frac{E}{m} = \mathbb{E} f ( x )"),
        ("2 atan2(eta, v)", r"2 \operatorname{\text{atan2}} ( \eta , v )"),
        ("y ~ g(x), d ~ N(0, 1)", r"y \approx g ( x ) , d \sim \mathcal{N} ( 0 , 1 )"),
        ("loss(net_x(y))", r"\mathrm{loss} ( \mathrm{net}_{x} ( y ) )"),
        ("rate c + a rate", r"\mathrm{rate} \, c + a \, \mathrm{rate}"),
        ("max_{ |a / b| <= 1 } a/b", r"\max_{\lvert a / b \rvert \le 1} \frac{a}{b}"),
        ("KL(N(x, sigma0) || y) +- 1", r"\mathrm{KL} ( \mathcal{N} ( x , \sigma_{0} ) \parallel y ) \pm 1"),
        ("x in R^n", r"x \in \mathbb{R}^{n}"),
    ],
)
def test_a_formula_in_plain_text_is_shown_as_mathematics(root, monkeypatch, typed, tex):
    monkeypatch.syspath_prepend(str(root))
    from book import formulas

    assert formulas.tex([typed]) == tex


def test_a_bracket_that_nothing_closes_is_no_formula(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root))
    from book import formulas

    with pytest.raises(ValueError, match="closes a bracket"):
        formulas.tex(["f(x + (y)"])
    with pytest.raises(ValueError, match="is empty"):
        formulas.tex(["= / b"])


def public_docstrings():
    """(name, docstring) of every module, class and function of the package that has one."""
    for file in sorted((ROOT / "flatlab").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (text := ast.get_docstring(node)):
                yield f"{file.relative_to(ROOT)}:{getattr(node, 'name', '')}", text


def test_every_formula_of_a_docstring_can_be_read(root, monkeypatch):
    """A formula is what is indented in its prose; what is read of it is every sign, so an odd one shows in TeX."""
    monkeypatch.syspath_prepend(str(root))
    from book import docstrings

    found = 0
    for name, text in public_docstrings():
        lines = docstrings.restructured(text.splitlines())
        for place, line in enumerate(lines):
            if line == ".. math::":
                found += 1
                assert lines[place + 2].strip() and not set(lines[place + 2]) & set("|#`"), name
            for formula in re.findall(r":math:`([^`]+)`", line):
                assert not set(formula) & set("|#⟦⟧⟪⟫"), f"{name}: {formula}"
    assert found > 15


def test_no_formula_is_left_in_the_prose_of_a_docstring(root, monkeypatch):
    """At the end of a docstring nothing holds its indentation, so that a formula there is read as prose."""
    monkeypatch.syspath_prepend(str(root))
    from book import docstrings

    for name, text in public_docstrings():
        if (
            not re.match(r"flatlab/(measure|plots|training/updates|hessian|objective|study/ledger)", name)
            or ":_" in name
        ):
            continue
        for line in docstrings.joined(text.splitlines()):
            prose = "" if line.startswith((" ", ">>>")) else docstrings.SPAN.sub("", line)
            assert not re.search(r"\|\||\w_\{|\bsum_|^\w+ = .*[/^]", prose), f"{name}: {prose}"


def test_what_a_type_is_an_alias_of_is_shown_as_python(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root))
    from docutils import nodes
    from sphinx import addnodes

    from book import docstrings

    line = nodes.paragraph("", "alias of ", nodes.literal(text="Callable"), nodes.Text("[[…], ‘a’]"))
    prose = nodes.paragraph("", "An alias of ‘a’")
    signs = [addnodes.desc_sig_punctuation(text=sign) for sign in ("f", "[", "[", "...", "]", "]")]
    kind = addnodes.desc_annotation("", "", *signs)
    docstrings.aliased(None, nodes.section("", line, prose, kind))
    assert (line.astext(), prose.astext()) == ("alias of Callable[..., 'a']", "An alias of ‘a’")
    assert kind.astext() == "f[...]"


def test_the_name_of_a_type_is_explained_without_a_colon():
    """Before a colon Sphinx would take the words for the type's type."""
    for file in sorted((ROOT / "flatlab").rglob("*.py")):
        for words in re.findall(r"^#: (.+)", file.read_text(encoding="utf8"), re.MULTILINE):
            assert ":" not in words, words


def test_the_examples_of_the_docstrings_run():
    import torch

    import flatlab
    from flatlab.study import paper

    finder, ran = doctest.DocTestFinder(exclude_empty=True), 0
    for owner, names in ((flatlab, flatlab.__all__), (paper, ["__doc__"])):
        for name in names:
            thing = owner if name == "__doc__" else getattr(owner, name)
            for test in finder.find(thing, name, globs={"flatlab": flatlab, "torch": torch, **vars(paper)}):
                if test.name == name and test.examples:
                    ran += 1
                    assert doctest.DocTestRunner().run(test).failed == 0, name
    assert ran > 5


def test_the_routes_take_as_long_as_their_chapters():
    """A route's time is the sum of the times that its chapters give; the last route is all of them."""
    minutes = {}
    for chapter in TAUGHT:
        prose = "".join(cell.source for cell in nbformat.read(chapter, 4).cells if cell.cell_type == "markdown")
        minutes[chapter.name] = int(re.search(r"\*Time:\*\s+(\d+) minutes", prose)[1])
    page = (ROOT / "book" / "index.md").read_text()
    routes = re.search(r"## Three routes\n(.+?)\n## ", page, re.DOTALL)[1].splitlines()[3:6]
    chosen = [re.findall(r"\((\w+\.ipynb)\)", route.split("; then what")[0]) or list(minutes) for route in routes]
    for route, chapters in zip(routes, chosen, strict=True):
        hours, rest = map(int, re.search(r"(\d+)\sh\s(\d+)\smin", route).groups())
        assert 60 * hours + rest == sum(minutes[chapter] for chapter in chapters), route
    assert f"all {len(minutes)} chapters" in routes[-1]


# What is cited, and the bibliography.


def plain(name):
    """A name without its accents."""
    return "".join(one for one in unicodedata.normalize("NFKD", name) if not unicodedata.combining(one))


def works():
    """{key: (authors without accents, the years that it goes by, the names by which a text links to it)}."""
    bibliography = (ROOT / "book" / "references.bib").read_text(encoding="utf8")
    found = {}
    for key, fields in re.findall(r"^@\w+\{(\w+),\n(.+?)\n\}$", bibliography, re.MULTILINE | re.DOTALL):
        field = dict(re.findall(r"^  (\w+) = \{(.+?)\},$", fields, re.MULTILINE | re.DOTALL))
        authors = re.sub(r"\\([a-z](?![a-z])|.)", lambda letter: "l" * (letter[1] == "l"), field["author"])
        link = field.get("doi") or field["url"].removeprefix("https://arxiv.org/abs/")
        preprint = re.fullmatch(r"(\d\d)\d\d\.\d+", link)
        years = {field["year"], *([f"20{preprint[1]}"] if preprint else [])}
        found[key] = (re.sub(r"[{}]", "", authors), years, link)
    return found


def citing():
    """(file, text) of everything in which a work may be cited; of a notebook its cells."""
    for pattern in ("book/**/*.md", "book/*.ipynb", "labs/source/*/*.ipynb", "flatlab/**/*.py", "*.md"):
        for file in sorted(ROOT.glob(pattern)):
            cells = nbformat.read(file, 4).cells if file.suffix == ".ipynb" else [None]
            for cell in cells:
                yield file.name, cell.source if cell else file.read_text(encoding="utf8")


# A subscript of letters that is no pair of indices: a word, which stands upright.
ITALIC_WORD = re.compile(r"(?:\\[a-zA-Z]+|(?<![a-zA-Z])[a-zA-Z])_\{+(?![ijk]{2}\})[^{}\\]*[a-zA-Z]{2,}[^{}]*\}")


def test_a_subscript_that_is_a_word_stands_upright():
    """As in $\\lambda_{\\max}$ and $f_{\\text{test}}$: italic letters are read as a product of variables."""
    assert ITALIC_WORD.search(r"$\lambda_{max}$") and ITALIC_WORD.search(r"$2S_{{crit, 1}}$")
    for file, text in citing():
        assert not (found := ITALIC_WORD.findall(text)), (file, found)


BY_LINK = re.compile(r"arxiv\.org/(?:abs|pdf)/([\w./-]*\d)|doi\.org/(10\.[^\s)\"'>\\]+)|arXiv[: ](\d{4}\.\d{4,5})")
BY_NAME = re.compile(
    r"\b([A-Z][a-z]\w+)(?: et al\.|,? (?:and|&) [A-Z][\w-]+|, [A-Z]\w+(?:,? (?:and|&) [A-Z]\w+)?)?,?"
    r" \(?((?:19|20)\d\d)\b"
)
NOT_AUTHORS = {"In", "Until", "Copyright"}


def test_whatever_is_cited_stands_in_the_bibliography():
    found = works()
    for file, text in citing():
        for link in BY_LINK.findall(text):
            assert any(link) and "".join(link) in {one for _, _, one in found.values()}, f"{file}: {''.join(link)}"
        for name, year in BY_NAME.findall(text):
            known = any(plain(name) in authors and year in years for authors, years, _ in found.values())
            assert known or name in NOT_AUTHORS, f"{file} cites {name} {year}"
        for keys in re.findall(r"\{cite:\w\}`([\w, ]+)`", text):
            assert set(keys.replace(" ", "").split(",")) <= set(found), f"{file}: {keys}"


def test_whatever_stands_in_the_bibliography_is_cited():
    everything = "\n".join(text for _, text in citing())
    links = {"".join(link) for link in BY_LINK.findall(everything)}
    links |= set(re.findall(r"\]\((https://[^)]+)\)", everything))
    names = {(plain(name), year) for name, year in BY_NAME.findall(everything)}
    for key, (authors, years, link) in works().items():
        by_name = any(name in authors and year in years for name, year in names)
        assert link in links or by_name or f"`{key}" in everything, f"nothing cites {key}"


@pytest.fixture
def site():
    """book/site.py, which needs what only the book needs."""
    from book import site

    return site


@pytest.mark.parametrize("address, prefix", [("https://a.b/some/where", "/some/where/"), ("https://a.b/", "/")])
def test_the_page_for_what_is_missing_stands_where_the_sites_address_says(site, address, prefix):
    config = types.SimpleNamespace(html_baseurl=address)
    site.under_its_address(None, config)
    assert config.notfound_urls_prefix == prefix
    assert f'href="{prefix}search.html"' in config.notfound_context["body"]


def test_no_line_begins_with_the_full_stop_of_a_formula(site):
    formula = '<span class="math notranslate nohighlight">\\(a &lt; b\\)</span>'
    stop, bracket = (f'<span class="unbroken">{held}</span>' for held in (f"{formula}.", f"({formula}"))
    page = f"<p>{formula}. So {formula} is ({formula} here)</p>"
    assert site.held_together(page) == f"<p>{stop} So {formula} is {bracket} here)</p>"


def test_columns_of_numbers_are_marked_and_columns_with_words_are_not():
    from book import cells

    def table(*rows):
        head, *body = ["<tr>" + "".join(f"<{kind}>{cell}</{kind}>" for cell in row) + "</tr>" for kind, row in rows]
        return f"<table>{head}{''.join(body)}</table>"

    gaps = table(("th", ["net", "loss", "size"]), ("td", ["F1", "0.1\u00a0± 2·10⁻³", "10⁶"]), ("td", ["32", "", "x"]))
    kept, shown = re.findall(r"<(t[dh])(.*?)>", gaps), re.findall(r"<(t[dh])(.*?)>", cells.with_cells_marked(gaps))
    assert [kind for kind, _ in shown] == [kind for kind, _ in kept]
    assert [attributes != "" for _, attributes in shown] == 3 * [False, True, False]
    merged = gaps.replace("<td>F1", '<td colspan="2">F1')
    assert cells.with_cells_marked(merged) == merged
    told = cells.with_cells_marked('<table><tr><td class="head" id="a"><p>−1</p></td></tr></table>')
    assert told == '<table><tr><td class="number head" id="a"><p>−1</p></td></tr></table>'


def test_code_that_leads_nowhere_is_plain_and_a_class_is_found_in_any_module():
    pytest.importorskip("sphinx")
    from docutils import nodes

    from book import docstrings

    def shown(target, content=nodes.literal):
        asked = []
        domain = types.SimpleNamespace(
            objects={"flatlab.line": 0, "flatlab.study.jobs.Job": 0, "flatlab.a.rows": 0},
            resolve_xref=lambda env, page, builder, kind, name, node, content: asked.append(name),
        )
        env = types.SimpleNamespace(get_domain=lambda name: domain)
        node = nodes.Element(refdomain="py", reftype="obj", reftarget=target, refdoc="page")
        options = {"classes": ["xref"]} if content is nodes.literal else {}
        found = docstrings.find(types.SimpleNamespace(builder=None), env, node, content(target, **options))
        return asked, node["refspecific"], found["classes"] if content is nodes.literal else found.astext()

    assert shown("Job") == (["Job"], True, [])
    assert shown("rows") == (["flatlab.rows"], False, [])
    assert shown("rows", nodes.Text) == (["flatlab.rows"], False, "rows"), "a type in a signature is a bare word"


def test_the_points_of_a_columns_numbers_stand_below_one_another():
    from book import cells

    def shown(*told):
        rows = "".join(f"<tr><td><p>{number}</p></td></tr>" for number in told)
        return re.findall(r"<p>(.*?)</p>", cells.with_cells_marked(f"<table>{rows}</table>"))

    room = '<span data-lacks="{}"></span>'.format
    wanted = ["0.0125", "1,250" + room(".0000"), "−7.5" + room("000"), "", "10⁻¹⁰"]
    assert shown("0.0125", "1,250", "−7.5", "", "10⁻¹⁰") == wanted
    for untouched in (["1", "20"], ["0.5 ± 0.25", "2 ± 1"], ["0.5 %", "2 %"], ["0.5", "a word"]):
        assert shown(*untouched) == untouched


def test_a_number_and_its_percent_sign_stay_on_one_line_and_so_does_what_a_formula_is(site):
    formula = '<span class="math notranslate nohighlight">\\(a\\)</span>'
    held = f'<p><span class="unbroken">({formula} = 22.9</span>\u00a0%) of 3 %d</p>'
    assert site.held_together(f"<p>({formula} = 22.9 %) of 3 %d</p>") == held


def test_a_word_of_code_stays_on_one_line_if_a_phone_has_room_for_it(site):
    code = '<code class="literal"><span class="pre{}">{}</span> <span class="pre">{}</span></code>'
    long = "a-b" * 10
    assert site.held_together(code.format("", "--jobs", long)) == code.format(" unbroken", "--jobs", long)
    assert site.held_together(code.format("", long, long)) == code.format("", long, long)
    signature = '<span class="pre">a-b</span></span>'
    assert site.held_together(signature) == signature


def test_a_cell_with_more_than_a_few_words_is_marked():
    from book import cells

    formula = '<span class="math notranslate nohighlight">\\(a + b + c + d + e + f + g\\)</span>'
    page = f"<tr><td><p><strong>0.46</strong> {formula}</p></td><td{{}}><p>every trainable parameter</p></td></tr>"
    assert cells.marked(page.format("")) == page.format(' class="sentence"')


def test_what_a_lab_prints_is_folded_with_the_largest_numbers_below_the_least_ones():
    from book import printed

    line = '<span class="printed">{}\n</span>'
    least = "loss &lt;  1.5 (at 4)\n     to 1.6     5\n"
    folded = 'loss <span class="rows">&lt;  1.5\nto\u00a01.6</span> (at <span class="rows">4)\n5 </span>'
    page = '<div class="highlight-text notranslate"><div class="highlight"><pre><span></span>{}</pre></div></div>'
    given = page.format(f"step  loss\n   0   1.5\n\n{least}")
    lines = [line.format(one) for one in ("step  loss", "   0   1.5", "", folded)]
    assert printed.with_lines_folded(given) == page.format("".join(lines))
    assert printed.with_lines_folded(f"<pre>{least}</pre>") == f"<pre>{least}</pre>"


def test_a_link_to_a_paper_shows_its_reference():
    from book import words

    entry = '<div class="citation" id="a"><p>A "B". <em>C</em>. 2017. URL: <a href="https://a.b/1">https://a.b/1</a>.</p></div>'
    works = words.references(f"<p>no entry</p>{entry}")
    assert works == {"https://a.b/1": "A &quot;B&quot;. C. 2017."}
    link = '<a class="reference external" href="https://a.b/1">'
    assert words.with_references(f"{link}A</a>", works) == f'{link[:-1]} title="A &quot;B&quot;. C. 2017.">A</a>'
    other = '<a class="reference external" href="https://a.b/2">B</a>'
    assert words.with_references(other, works) == other


def test_the_list_of_works_has_no_role_without_items(site):
    entry = '<div class="citation" id="a"{}>A</div>'
    page = f'<div{{}} class="citation-list">{entry}</div><div role="list">B</div>'
    said = page.format(' role="list"', ' role="doc-biblioentry"')
    assert site.without_roles_of_lists(said) == page.format("", "")


def test_a_fold_is_called_what_stands_on_it(site):
    page = '<summary aria-label="Toggle hidden content">\n<span>Show the code</span></summary>'
    assert site.named_by_its_words(page) == "<summary>\n<span>Show the code</span></summary>"
    arrow = '<span class="toctree-toggle" role="presentation"></span></summary>'
    assert site.named_by_its_words(f"<summary>{arrow}") == f'<summary aria-label="Show the pages below">{arrow}'


def test_a_formula_is_called_what_the_theme_lets_the_keyboard_reach(site):
    page = '<div class="math notranslate nohighlight">x</div>'
    reached = '<div class="math notranslate nohighlight pst-scrollable-table-container">x</div>'
    assert site.within_reach_of_the_keyboard(page) == reached


def test_what_no_page_loads_is_left_out(site, tmp_path):
    loaded = ["mathjax/output/chtml/fonts/a.woff", "mathjax/input/tex/extensions/b.js"]
    loaded += [f"mathjax/{part}.js" for part in ("startup", "core", "input/tex", "output/chtml", "a11y/assistive-mml")]
    never = [f"mathjax/{part}" for part in ("tex-chtml.js", "ui/menu.js", "a11y/explorer.js", "sre/mathmaps/en.json")]
    never += ["scripts/fontawesome.js", "scripts/c.js.map"]
    for name in (*loaded, *never, "scripts/c.js"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    site.without_what_no_page_loads(tmp_path)
    left = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert sorted(str(file.relative_to(tmp_path)) for file in left) == sorted([*loaded, "scripts/c.js"])
    assert all(file.read_text() == str(file.relative_to(tmp_path)) for file in left)


def outputs(*shown):
    """A cell's outputs as myst-nb reads them: a picture's file, a table, or a sentence."""
    cell = docutils.nodes.container()
    for one in shown:
        if one.endswith(".csv"):
            node = docutils.nodes.raw("", f'<div class="picture"><a download="{one}"></a></div>', format="html")
        elif one.startswith("|"):
            node = docutils.nodes.table("", docutils.nodes.Text(one))
        else:
            node = docutils.nodes.paragraph("", "", docutils.nodes.Text(one))
        cell += docutils.nodes.container("", docutils.nodes.container("", node), nb_element="mime_bundle")
    return cell


def test_what_an_experiment_says_is_the_caption_of_its_pictures():
    from book import captions

    document = docutils.utils.new_document("page", docutils.frontend.get_default_settings())
    document += outputs("fig2-paper.csv", "fig2-reduced.csv", "What it says: A: holds.", "Recorded.", "sam-reduced.csv")
    document += outputs("What it says: B: fails.", "Recorded.", "edge-by-batch-colab.csv", "What it says: C: mixed.")
    captions.with_findings_as_captions(None, document)
    figures = list(document.findall(docutils.nodes.figure))
    assert [figure["ids"] for figure in figures] == [["exhibit-fig2"], ["exhibit-edge-by-batch"]]
    assert [len(list(figure.findall(docutils.nodes.raw))) for figure in figures] == [2, 1]
    assert [figure[-1].astext() for figure in figures] == ["What it says: A: holds.", "What it says: C: mixed."]
    assert all(isinstance(figure[-1], docutils.nodes.caption) for figure in figures)
    text = document.astext()
    assert text.count("What it says: A") == text.count("What it says: B") == text.count("Recorded.") / 2 == 1
    assert document[0][-1].next_node(docutils.nodes.raw).astext().count("sam-reduced.csv") == 1, "nothing is lost"


def test_a_table_without_a_picture_has_what_it_says_as_its_caption():
    from book import captions

    document = docutils.utils.new_document("page", docutils.frontend.get_default_settings())
    document += outputs("What it says: A: holds.", "| a |", "Recorded.", "fig2-paper.csv", "What it says: B.", "| b |")
    document += outputs("What it says: C: fails.", "| c |", "| d |")
    captions.with_findings_as_captions(None, document)
    figures = list(document.findall(docutils.nodes.figure))
    assert [figure.astext().split("\n\n")[-2:] for figure in figures][::2] == [
        ["| a |", "What it says: A: holds."],
        ["| c |", "What it says: C: fails."],
    ]
    assert not figures[1].next_node(docutils.nodes.table), "which stands below its picture"
    assert len({name for figure in figures for name in figure["ids"]}) == 3
    assert [document.astext().count(f"| {letter} |") for letter in "abcd"] == [1, 1, 1, 1]


def the_glossary():
    """Four words as the glossary's page has them; the last one's meaning needs a formula to be set."""
    meanings = {
        "batch": ("One update's rows, ", "m"),
        "batch size": ("The rows of a batch",),
        "line": ("Between two points",),
        "arc": (r"\sin(\alpha\pi/2)",),
    }
    listed = docutils.nodes.definition_list()
    for word, parts in meanings.items():
        meant = docutils.nodes.paragraph("", "", *(docutils.nodes.math("", part) for part in parts))
        term = docutils.nodes.term("", word, ids=[f"term-{word.replace(' ', '-')}"])
        listed += docutils.nodes.definition_list_item("", term, docutils.nodes.definition("", meant))
    document = docutils.utils.new_document("glossary", docutils.frontend.get_default_settings())
    document += listed
    return document


def test_a_word_of_the_glossary_is_linked_at_its_first_use():
    from book import words

    glossary = words.definitions(the_glossary())
    assert glossary["batch"] == ("term-batch", "One update's rows, m") and glossary["arc"] == ("term-arc", "")
    prose = docutils.core.publish_doctree(
        "Batch sizes\n===========\n\n.. container:: cell\n\n   A batch that a cell prints.\n\n"
        "A ``batch``, a minibatch, a line of the batch size, two *batches* and a batch size, a Batch size. "
        "An `arc <glossary.html>`_."
    )
    words.linked_words(prose, glossary, "glossary.html")
    links = [(link.astext(), link["refuri"], link.get("reftitle")) for link in prose.findall(docutils.nodes.reference)]
    assert links == [
        ("batch size", "glossary.html#term-batch-size", "The rows of a batch"),
        ("batches", "glossary.html#term-batch", "One update's rows, m"),
        ("arc", "glossary.html#term-arc", None),
    ]
    said = "A batch, a minibatch, a line of the batch size, two batches and a batch size, a Batch size. An arc."
    assert said in prose.astext()


def test_the_table_of_tiers_has_the_numbers_of_seeds_that_most_settings_have():
    """From the most frequent one on; a number that fewer than one setting in ten has is not in it."""
    page, numbers = (ROOT / "book" / "tiers.md").read_text(encoding="utf8"), {2: "two", 5: "five", 10: "ten"}
    for tier in TIERS:
        seeds = Counter(len(one.seeds) for plan in EXPERIMENTS.values() for one in plan.settings.get(tier, ()))
        often = [numbers[many] for many, times in seeds.most_common() if times >= seeds.total() / 10]
        *_, told = re.search(rf"^\| `{tier}` \|(.+)\|$", page, re.MULTILINE)[1].split("|")
        assert re.findall(rf"\b(?:{'|'.join(numbers.values())})\b", told) == often, tier
