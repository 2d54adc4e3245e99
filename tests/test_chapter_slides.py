"""Slides of a chapter: which cells they are made of, and that a page of them asks nothing of a network."""

import sys

import nbformat
import pytest
from conftest import ROOT, executed

pytest.importorskip("jupyter_cache")
sys.path.insert(0, str(ROOT / "book"))
import slides

TEXT = (
    "What the cell before shows.\n\n## Result\n\n### At once\n\nIt is $x^2$.\n\n### Later\n\n"
    "[The puzzle](puzzle.ipynb#a)."
)


def text(source, *tags):
    return nbformat.v4.new_markdown_cell(source, metadata={"tags": list(tags)})


def code(shown, *tags):
    output = nbformat.v4.new_output("display_data", {"text/markdown": shown, "text/plain": "an object"})
    return nbformat.v4.new_code_cell("secret = 1", metadata={"tags": list(tags)}, outputs=[output])


@pytest.fixture
def notebook():
    cells = [
        text("# A chapter\n\n**A question?**", "slide"),
        code("**shown**", "slide"),
        text("## Not on a slide"),
        code("left out"),
        text(TEXT, "slide"),
        code("added", "slide-more"),
    ]
    return nbformat.v4.new_notebook(cells=cells)


def test_a_slide_begins_at_a_tagged_output_and_at_each_heading_of_a_tagged_text(notebook):
    found = slides.slides(notebook)
    assert [heading for heading, _ in found] == ["", "A chapter", "", ""]
    chapter, shown, at_once, later = ("".join(parts) for _, parts in found)
    assert "A question?" in chapter and "<strong>shown</strong>" in shown
    assert "Result" in at_once and "At once" in at_once and "added" not in at_once
    assert "added" in later and f'href="{slides.site()}/book/puzzle.html#a"' in later
    page = slides.page(notebook)
    assert page.count("<section>") == 4
    assert not [words for words in ("What the cell before", "left out", "secret", "an object") if words in page]


def test_a_page_asks_nothing_of_a_network_and_turns_by_keyboard(notebook, tmp_path, browser_program):
    playwright = pytest.importorskip("playwright.sync_api")
    file = tmp_path / "slides.html"
    file.write_text(slides.page(notebook), encoding="utf8")
    asked, wrong = [], []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=browser_program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.on("request", lambda one: asked.append(one.url))
        page.on("console", lambda one: wrong.append(one.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(file.as_uri())
        page.wait_for_selector("mjx-container svg")
        tops = "[...document.querySelectorAll('section')].findIndex((one) => one.getBoundingClientRect().top >= -2)"
        for key, place in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("PageDown", 2)):
            page.keyboard.press(key)
            page.wait_for_function(f"({tops}) === {place}")
        browser.close()
    assert asked == [file.as_uri()] and not wrong


# By how many pixels each slide is taller than the screen, once what was too tall has been made to fit.
TALLER = """() => [...document.querySelectorAll('section')].map((one) => one.offsetHeight - innerHeight)"""


def measured(script, folder, browser_program, *notebooks):
    """What a script finds on the slides of each of some notebooks on a screen, once they fit it."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=browser_program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        for number, notebook in enumerate(notebooks):
            file = folder / f"{number}.html"
            file.write_text(slides.page(notebook), encoding="utf8")
            page.goto(file.as_uri())
            page.wait_for_function("document.querySelector('section').style.getPropertyValue('--size')")
            yield page.evaluate(script)
        browser.close()


def test_what_is_taller_than_the_screen_is_made_smaller_and_what_is_not_is_left(notebook, tmp_path, browser_program):
    picture = '<svg viewBox="0 0 100 100" width="900" height="900"></svg>'
    notebook.cells.append(code(f"{picture}\n\n" + "A sentence of some length. " * 120, "slide"))
    ((*short, tall),) = measured(TALLER, tmp_path, browser_program, notebook)
    assert set(short) == {0} and tall == 0


def test_a_point_of_a_picture_is_a_pixel_where_there_is_little_room(notebook, tmp_path, browser_program):
    """A letter of ten points was seven pixels high on a slide with many words."""
    picture = '<div class="picture"><svg viewBox="0 0 300 260" style="height: auto"></svg></div>'
    notebook.cells.append(code(f"{picture}\n\n" + "A sentence of some length. " * 100, "slide"))
    height = "() => document.querySelector('.picture svg').getBoundingClientRect().height"
    (found,) = measured(height, tmp_path, browser_program, notebook)
    assert found >= 260


def test_no_slide_of_a_built_chapter_is_taller_than_the_screen(tmp_path, browser_program):
    built = {name: now for name in slides.chapters() if (now := executed(ROOT / "book" / f"{name}.ipynb"))}
    if not built:
        pytest.skip("not executed by `make book` in this state")
    decks = zip(built, measured(TALLER, tmp_path, browser_program, *built.values()))
    assert not [(name, n, by) for name, deck in decks for n, by in enumerate(deck, 1) if by]


@pytest.mark.parametrize("chapter", slides.chapters())
def test_a_chapter_has_twelve_slides(chapter):
    assert len(slides.slides(nbformat.read(ROOT / "book" / f"{chapter}.ipynb", 4))) == 12
