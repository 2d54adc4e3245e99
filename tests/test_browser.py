"""The built pages as a reader without a network sees them: light and dark, wide and on a phone.

Builds nothing: `make test` builds the book first.
"""

import functools
import http.server
import json
import os
import re
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

HTML = Path(__file__).resolve().parent.parent / "_build" / "html"
PAGES = sorted(str(page.relative_to(HTML)) for folder in ("book", "labs") for page in (HTML / folder).glob("**/*.html"))
WIDE, NARROW, NARROWEST = 1280, 390, 320

# An address on another machine, which no page may ask for anything.
OUTSIDE = re.compile(r"^https?://(?!(127\.0\.0\.1|localhost)[:/])")

pytestmark = pytest.mark.skipif(
    not (HTML / ".complete").exists() and os.environ.get("CI") != "true",
    reason="the book is not built: run `make book`, or `make test`, which does",
)

# Every element whose own text stands out too little from the first solid ground beneath it.
CONTRAST = """() => {
  const channels = (css) => (css.match(/[\\d.]+/g) || []).map(Number);
  const luminance = ([r, g, b]) => {
    const linear = [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const c = channels(getComputedStyle(node).backgroundColor);
      if (c.length === 3 || c[3] > 0.9) return c;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const node of document.querySelectorAll('article *')) {
    const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !node.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    if (node.matches('.headerlink, .headerlink *, script, style, noscript')) continue;
    const pair = [channels(getComputedStyle(node).color), ground(node)].map(luminance);
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    const text = node.textContent.trim().slice(0, 40);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(1)} ${node.tagName}.${node.className}: ${text}`);
  }
  return [...new Set(poor)];
}"""

# Elements that stick out to the right although nothing around them scrolls.
STICKS_OUT = """() => document.documentElement.scrollWidth <= innerWidth ? [] :
  [...document.querySelectorAll('main *')]
    .filter((node) => node.getBoundingClientRect().right > innerWidth + 1)
    .slice(0, 5).map((node) => `${node.tagName}.${node.className} ${node.textContent.trim().slice(0, 40)}`)
    .concat(`the page is ${document.documentElement.scrollWidth} wide`)"""

IMAGES = """() => [...document.querySelectorAll('article img')].map((image) => ({
  src: image.src.slice(0, 120), alt: image.alt, loaded: image.complete && image.naturalWidth > 0,
  width: image.getBoundingClientRect().width}))"""

# A role, a directive or a formula that nothing has read.
RAW = re.compile(r"\{[a-z:]+\}`|\{[a-z]+\}\s*$|:::|\$\$|\\begin\{|(?<![\w$])\$[^$\n]{1,60}\$", re.MULTILINE)

# Text as a reader sees it, without code, where a brace or the word "Traceback" may be meant.
PROSE = """() => {
  const copy = document.querySelector('article').cloneNode(true);
  copy.querySelectorAll('.cell_input, pre, code, mjx-container, script').forEach((node) => node.remove());
  return copy.textContent;
}"""


@pytest.fixture(scope="module")
def address():
    """The address at which the built book is served, on this machine only."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=HTML))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser(browser_program):
    """A headless Chromium without the network: whatever the pages need must be among them."""
    playwright = pytest.importorskip("playwright.sync_api")
    quiet = [
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-quic",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=browser_program, args=quiet)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def tab(browser, address):
    """A function that opens a page in a width; gives (page, what went wrong on the console). The tab stays the same
    one, because a new one costs more than most pages, and it has kept the scripts that all of them load."""
    page, wrong = browser.new_page(), []
    page.set_default_timeout(300_000)  # milliseconds; the machine may be busy with other things

    def note(message):
        if message.type == "error":
            wrong.append(f"{message.text} {message.location.get('url', '')}")

    page.on("request", lambda asked: wrong.append(f"asks for {asked.url}") if OUTSIDE.match(asked.url) else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", note)
    page.on("response", lambda answer: wrong.append(answer.url) if answer.status >= 400 else None)

    def opened(path, width=WIDE):
        page.goto("about:blank")
        wrong.clear()
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="light")
        page.goto(f"{address}/{path}", wait_until="load")
        page.evaluate("() => window.MathJax && MathJax.startup && MathJax.startup.promise")
        page.add_style_tag(content=STILL)
        return page, wrong

    yield opened
    page.close()


# No colour fades: what is looked at is where a change of theme ends.
STILL = "*, *::before, *::after { transition: none !important; animation: none !important }"


def in_both_widths(page):
    """Each width in turn, a phone first: what scrolls there the theme makes a stop of the tab key when the page is
    loaded, or a moment after it has become narrower."""
    for width in (NARROW, WIDE):
        page.set_viewport_size({"width": width, "height": 900})
        yield width


def in_both_themes(page):
    """Each theme in turn, as a reader's system changes it."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=theme)
        yield theme


# What axe calls serious and Sphinx writes: between the terms of a signature's list stand other things than terms.
OF_SPHINX = {"definition-list"}
# Contrast is CONTRAST's, which looks at both themes. Axe calls a logo outside of every landmark moderate, and looks
# long for it.
NOT_ASKED = ("color-contrast", "region")


@pytest.fixture(scope="module")
def axe():
    return pytest.importorskip("axe_playwright_python.sync_playwright").Axe()


# Of one page of each kind everything is asked, at both widths. What the style sheets decide is alike on all pages of a
# kind, and axe looks long for it; on a phone other things scroll than at a desk, and the rest is the same.
ONE_OF_EACH = {"index.html", "puzzle.html", "teach.html", "status.html", "lab1.html", "measure.html"}
OF_THE_STYLE_SHEETS = ("link-in-text-block", "avoid-inline-spacing")
ON_A_PHONE = {"runOnly": {"type": "rule", "values": ["scrollable-region-focusable"]}}


def serious(axe, page, width):
    """What axe finds that is serious. Of the theme it knows what is moderate or minor as well: the corner of a table is
    an empty heading."""
    of_its_kind = page.url.rpartition("/")[2] in ONE_OF_EACH
    left_out = NOT_ASKED if of_its_kind else NOT_ASKED + OF_THE_STYLE_SHEETS
    asked = {"rules": {rule: {"enabled": False} for rule in left_out}}
    if width == NARROW and not of_its_kind:
        asked = ON_A_PHONE
    # "preload": only rules on sound and film need it.
    found = axe.run(page, options={"resultTypes": ["violations"], "preload": False, **asked})
    return [
        (rule["id"], rule["nodes"][0]["html"][:120])
        for rule in found.response["violations"]
        if rule["impact"] in ("serious", "critical") and rule["id"] not in OF_SPHINX
    ]


# The colours of links but for the glossary's words, and the grounds of code within a sentence but for an index's.
COLOURS = """() => [['article a[href]:not(.term, .headerlink)', 'color'],
    ['article code:not(pre code, .xref:not(.literal))', 'backgroundColor']].map(([chosen, what]) =>
  [...new Set([...document.querySelectorAll(chosen)].map((node) => getComputedStyle(node)[what]))])"""


@pytest.mark.parametrize("path", ["book/status.html", "book/api/measure.html", "labs/release/lab1/lab1.html"])
def test_links_have_one_colour_and_code_has_its_box_wherever_they_stand(tab, path):
    """The theme had another colour for links in tables, and no box for code in a fold that is written as HTML."""
    page, _ = tab(path)
    for theme in in_both_themes(page):
        links, grounds = page.evaluate(COLOURS)
        assert len(links) == 1 and len(grounds) <= 1, f"{theme}: {links} {grounds}"


# A formula within a line that has no room for itself on a phone.
TOO_WIDE = """() => [...document.querySelectorAll('article span.math')].filter((node) => node.checkVisibility()
    && node.querySelector('mjx-math').getBoundingClientRect().right > node.getBoundingClientRect().right + 3)
  .map((node) => node.textContent.slice(0, 40))"""

# What is wider than its box, scrolls there or is a formula, and is neither a stop of the tab key nor holds one.
OUT_OF_REACH = """() => [...document.querySelectorAll('article *')].filter((node) =>
    node.scrollWidth > node.clientWidth + 1
    && (node.matches('div.math') || ['auto', 'scroll'].includes(getComputedStyle(node).overflowX))
    && node.tabIndex < 0 && ![...node.querySelectorAll('*')].some((inner) => inner.tabIndex >= 0))
  .map((node) => `${node.tagName}.${node.className} ${node.textContent.trim().slice(0, 40)}`)"""

# What scrolls sideways without a shadow at its end; code and formulas show by themselves that they go on.
HIDDEN_EDGE = """() => [...document.querySelectorAll('article *')].filter((node) =>
    node.scrollWidth > node.clientWidth + 1 && ['auto', 'scroll'].includes(getComputedStyle(node).overflowX)
    && !node.matches('pre, div.highlight, div.math, input')
    && !getComputedStyle(node).backgroundImage.includes('linear-gradient'))
  .map((node) => `${node.tagName}.${node.className} ${node.textContent.trim().slice(0, 40)}`)"""

# The element that has the keyboard, if it is a formula.
FORMULA_WITH_THE_KEYBOARD = "() => document.activeElement.closest('article .math')?.textContent"


@pytest.mark.parametrize("path", PAGES)
def test_a_page_reads_well_and_axe_finds_nothing_serious(tab, axe, path):
    """In one test, because a page takes as long to load as to be looked at."""
    page, wrong = tab(path, NARROW)
    for width in in_both_widths(page):
        for theme in in_both_themes(page):
            assert page.evaluate(STICKS_OUT) == [], f"the page scrolls sideways ({width}, {theme})"
            assert page.evaluate(CONTRAST) == [], f"text that can hardly be read ({width}, {theme})"
        assert serious(axe, page, width) == [], width
    assert not wrong
    for image in page.evaluate(IMAGES):
        assert image["loaded"], image
        assert image["alt"] and not re.fullmatch(r"[\w/.-]+\.(svg|png)", image["alt"]), f"no text: {image}"
    prose = page.evaluate(PROSE)
    assert not (raw := RAW.search(prose)), raw
    text = page.inner_text("article")
    assert "Traceback (most recent call last)" not in text
    assert page.locator("article .output.stderr").count() == 0, "a warning stands in the page"
    assert page.locator("mjx-merror, mjx-container [data-mjx-error]").count() == 0, "a formula that MathJax refused"
    if page.locator("article .math").count():
        assert page.locator("article mjx-container").count(), "formulas were not set"
        assert page.locator("mjx-container:not(:has(mjx-assistive-mml math))").count() == 0, "not for who hears a page"


@pytest.mark.parametrize("path", PAGES)
def test_the_keyboard_reaches_what_scrolls_on_a_phone_in_opened_folds_too(tab, path):
    page, _ = tab(path, NARROWEST)
    page.evaluate("document.querySelectorAll('article details').forEach((fold) => { fold.open = true })")
    page.wait_for_timeout(500)  # milliseconds; the theme looks for what scrolls after 300
    assert page.evaluate(OUT_OF_REACH) == []
    assert page.evaluate(HIDDEN_EDGE) == []
    page.set_viewport_size({"width": NARROW, "height": 900})
    assert page.evaluate(TOO_WIDE) == []


@pytest.mark.parametrize("path", ["book/notation.html", "labs/release/lab2/lab2.html"])
def test_the_tab_key_passes_over_formulas(tab, path):
    """As the browser walks, which has reasons of its own to stop."""
    page, _ = tab(path)
    page.wait_for_timeout(500)  # milliseconds; the theme looks for what scrolls after 300
    assert page.locator("article .math").count() > 20
    page.locator("article h1").click()
    for _ in range(40):
        page.keyboard.press("Tab")
        assert not page.evaluate(FORMULA_WITH_THE_KEYBOARD)


# Of a slider's parts those that are seen, by position.
LAYERS_SEEN = """(root) => [...new Set([...root.querySelectorAll('[data-layer]')]
  .filter((part) => getComputedStyle(part).display !== 'none').map((part) => part.dataset.layer))]"""


@pytest.mark.parametrize("path", [path for path in PAGES if 'class="picture slides"' in (HTML / path).read_text()])
def test_every_slider_of_a_page_answers_to_the_keyboard(tab, path):
    """At each position it says what its cell computed for it, and shows what belongs to it and nothing else."""
    page, wrong = tab(path)
    for figure in page.locator("article .slides").all():
        says = json.loads(figure.locator('script[type="application/json"]').text_content())
        slider, told = figure.get_by_role("slider"), figure.locator("output")
        slider.focus()
        page.keyboard.press("Home")
        for position, words in enumerate(says):
            assert slider.input_value() == str(position)
            assert told.text_content() == words == slider.get_attribute("aria-valuetext")
            assert figure.evaluate(LAYERS_SEEN) == [str(position)]
            page.keyboard.press("ArrowRight")
        assert slider.input_value() == str(len(says) - 1), "a key leads beyond the last position"
    assert not wrong


def test_the_book_has_its_sliders():
    assert sum((HTML / path).read_text().count('class="picture slides"') for path in PAGES) >= 10


@pytest.mark.parametrize("path", [path for path in PAGES if 'class="picture' in (HTML / path).read_text()])
def test_every_picture_has_a_caption_with_a_number(tab, path):
    page, _ = tab(path)
    pictures = page.locator("article .picture")
    assert page.locator("article figure:has(figcaption .caption-number) .picture").count() == pictures.count() > 0


@pytest.mark.parametrize("path", ["genindex.html", "py-modindex.html", "404.html"])
def test_a_page_that_sphinx_writes_by_itself_fits_a_phone(tab, path):
    page, _ = tab(path, NARROWEST)
    assert page.evaluate(STICKS_OUT) == []
    if path != "404.html":  # whose style is asked for where the site will be
        for theme in in_both_themes(page):
            assert page.evaluate(CONTRAST) == [], theme


@pytest.mark.parametrize("missing", ["nowhere", "book/api/deep/nowhere.html"])
def test_the_page_for_what_is_missing_is_styled_at_any_depth_of_the_sites_address(browser, root, missing):
    """A host answers with it from wherever the reader went, so that no relative link can lead to a style."""
    (site,) = re.findall(r"baseurl: (\S+)", (root / "_config.yml").read_text())
    page, lost = browser.new_page(), []

    def answer(route):
        file = HTML / urlsplit(route.request.url.partition(site)[2]).path
        lost.append(route.request.url) if not file.is_file() else None
        route.fulfill(path=file if file.is_file() else HTML / "404.html", status=200 if file.is_file() else 404)

    page.route("**/*", answer)
    page.goto(site + missing, wait_until="load")
    assert lost == [site + missing]
    assert page.locator("article h1").inner_text().startswith("Page not found")
    for theme in in_both_themes(page):
        assert page.evaluate(CONTRAST) == [], theme
    page.close()


def test_there_are_pages():
    assert ONE_OF_EACH <= {path.rpartition("/")[2] for path in PAGES}
    assert {"book/index.html", "book/notation.html", "book/glossary.html", "book/status.html"} <= set(PAGES)


def test_a_chapter_opens_in_colab_from_the_configured_repository(root):
    address = re.search(r"url: https://github\.com/(\S+)", (root / "_config.yml").read_text()).group(1)
    for path in PAGES:
        links = re.findall(r"https://colab\.research\.google\.com/[^\"' ]*", (HTML / path).read_text())
        notebook = root / path.replace(".html", ".ipynb")
        if notebook.exists():
            file = path.replace(".html", ".ipynb")
            wanted = f"https://colab.research.google.com/github/{address}/blob/main/{file}"
            assert wanted in links, f"{path} has no Colab button, or one that leads to {links}"
        for link in links:
            assert (root / link.partition("/blob/main/")[2]).is_file(), f"{path}: {link} leads nowhere"


@pytest.mark.parametrize("path", PAGES)
def test_a_notebooks_page_has_a_link_to_colab_in_words(root, path):
    notebook = (root / path).with_suffix(".ipynb").exists()
    assert ((HTML / path).read_text().count('">Open in Colab</a></p>') == 1) == notebook


@pytest.mark.parametrize("path", PAGES)
def test_each_table_of_a_page_is_a_file_of_its_own_name(path):
    names = re.findall(r'download="([^"]+)"', (HTML / path).read_text())
    assert sorted(names) == sorted(set(names)), "one download would take another's name"


@pytest.mark.parametrize("path", PAGES)
def test_every_exercise_of_a_chapter_is_a_card_with_an_anchor(root, path):
    chapter = (root / path).with_suffix(".ipynb")
    exercises = re.findall(r"\*\*(\d)\. [^*]+\*\* \*Difficulty", chapter.read_text()) if chapter.exists() else []
    cards = re.findall(r'<div class="exercise admonition" id="exercise-(\d)">', (HTML / path).read_text())
    assert cards == exercises


@pytest.mark.parametrize(
    "words, page",
    [
        ("sharpness", "book/measuring_sharpness.html"),
        ("batch size", "book/what_a_batch_size_changes.html"),
        ("edge of stability", "book/edge_of_stability.html"),
    ],
)
def test_a_search_begins_with_the_chapters_that_have_the_words_in_their_title(tab, words, page):
    results, _ = tab(f"search.html?q={words.replace(' ', '+')}")
    first = results.locator("#search-results li a").nth(2)
    first.wait_for()
    links = results.locator("#search-results li a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert page in links[:3], links[:6]


def test_the_site_has_an_address_with_a_title_a_page_for_what_is_missing_and_a_map():
    root_page = (HTML / "index.html").read_text()
    assert "<title>flatlab: why do large batches generalise worse?</title>" in root_page
    assert 'url=book/index.html"' in root_page
    assert (HTML / "404.html").is_file()
    assert "<loc>https://flatlab.github.io/flatlab/book/puzzle.html</loc>" in (HTML / "sitemap.xml").read_text()


@pytest.mark.parametrize("path", PAGES)
def test_a_shared_link_has_a_title_a_description_and_a_picture(path):
    text = (HTML / path).read_text()
    for name in ("title", "description", "image"):
        assert f'<meta property="og:{name}"' in text
    assert "scripts/fontawesome.js" not in text, "1.4 MB for icons that the font draws as well"


def test_the_keyboard_is_seen_in_the_header(tab):
    page, _ = tab("book/index.html", NARROW)
    for width in in_both_widths(page):
        button = page.locator(".bd-header-article button:visible, .bd-header-article a:visible").first
        page.keyboard.press("Tab")
        button.focus()
        for theme in in_both_themes(page):
            assert button.evaluate("node => getComputedStyle(node).outlineStyle") == "solid", (width, theme)
