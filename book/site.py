"""What the finished site needs that no extension gives: pages without scripts that do nothing, and an address that has
a name.

Jupyter Book loads sphinx-thebe whether it is wanted or not, which declares its settings twice: an error on the console
of every page. The theme draws its icons with a font, and loads FontAwesome's script of 1.4 MB as well, which draws the
same ones. MathJax comes with ten combined scripts where the pages load parts. The root page that Jupyter Book writes is
a bare redirect, so that a shared link has no title. Its button for Colab is a rocket without words. A line may end
between a formula and the full stop behind it, or between a number and its percent sign, and a word of code breaks at
its hyphen. The theme lets the keyboard reach a table that scrolls, but no formula that does.
"""

import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from book.cells import with_cells_marked
from book.printed import with_lines_folded
from book.words import references, with_references

COLAB = "https://colab.research.google.com/github/{repository}/blob/main/{page}.ipynb"
FORMULA = r'<span class="math notranslate nohighlight">[^<]*</span>'
FORMULA_AND_ITS = re.compile(rf"(\(?{FORMULA} = [−\d][\d.,]*|\({FORMULA}[.,;:!?)]*|{FORMULA}[.,;:!?)]+)")
PERCENT = re.compile(r"(?<=\d) %(?!\w)")
# A word of code that has room in a phone's line.
CODE = re.compile(r'(?<=<span class="pre)(?=">[^<]{1,28}</span>(?:</code>| <span class="pre">))')
FONT_AWESOME = re.compile(r"\s*<(?:script|link)[^>]*scripts/fontawesome\.js[^>]*>(?:</script>)?")

# The script of every page with a formula, the parts of MathJax that it is told to load, and what these load. There is
# one script for all as well, but that has a menu, which makes each formula a stop of the tab key.
MATHJAX = "startup.js"
PARTS = ("input/tex", "output/chtml", "a11y/assistive-mml")
OF_MATHJAX = (MATHJAX, "core.js", *(f"{part}.js" for part in PARTS), "input/tex/extensions", "output/chtml")

# The theme makes a stop of the tab key of what has the class of its tables, for as long as it is too wide, and looks
# again when the window's size changes.
DISPLAYED_FORMULA = '<div class="math notranslate nohighlight'

MISSING = """<h1>Page not found</h1>
<p>There is no page at this address. <a href="{site}book/index.html">The first page</a> leads to every chapter, and
<a href="{site}search.html">the search</a> finds a word in all of them.</p>"""

ROOT_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<meta name="description" content="{description}">
<meta property="og:title" content="{title}">
<meta property="og:description" content="{description}">
<meta http-equiv="refresh" content="0; url={page}">
<link rel="canonical" href="{page}">
</head>
<body><p><a href="{page}">{title}</a></p></body>
</html>
"""
DESCRIPTION = "An executable book: large batches, sharp minima and the learning rate, asked by experiment."


def in_this_order(app, config):
    """Let a search show the pages of the book before the package: Sphinx looks for the file where it was started."""
    config.html_search_scorer = str(Path(__file__).with_name("search.js"))


def in_parts(app, config):
    """Let a page load the parts of MathJax that it needs: its extension names the script for all."""
    config.mathjax_path = f"mathjax/{MATHJAX}"
    config.mathjax3_config = {"loader": {"load": PARTS}}


def under_its_address(app, config):
    """Let the page for what is missing load its styles from any depth: from where the site's one address says it is.
    What it says leads on: its own words are a dead end."""
    config.notfound_urls_prefix = f"{urlsplit(config.html_baseurl).path.rstrip('/')}/"
    config.notfound_context = {"title": "Page not found", "body": MISSING.format(site=config.notfound_urls_prefix)}


def read_side_by_side(app, config):
    """Tell Sphinx that several processes may read pages. Three extensions do not say it of themselves: one numbers
    sections when all pages are read, one copies files, and one is for LaTeX."""
    for name in ("sphinx_multitoc_numbering", "sphinx-mathjax-offline", "sphinx_jupyterbook_latex"):
        app.extensions[name].parallel_read_safe = True


def without_thebe(app, page, template, context, doctree):
    """Leave out scripts and styles of thebe, which is switched off."""

    def told(script):
        return f"{getattr(script, 'filename', script)} {getattr(script, 'attributes', {}).get('body', '')}".lower()

    for kind in ("script_files", "css_files"):
        context[kind] = [file for file in context.get(kind, []) if "thebe" not in told(file)]


def with_colab(app, page, template, context, doctree):
    """Under the title of a notebook's page, a link with words that opens the notebook in Colab."""
    if doctree is None or not str(app.env.doc2path(page)).endswith(".ipynb"):
        return
    repository = app.config.html_theme_options["repository_url"].removeprefix("https://github.com/")
    address = COLAB.format(repository=repository, page=page)
    link = f'</h1>\n<p class="open-in-colab"><a href="{address}">Open in Colab</a></p>'
    context["body"] = context["body"].replace("</h1>", link, 1)


def held_together(page):
    """A page in which no line begins with the full stop of a formula, with a percent sign or with what a formula is, or
    ends with a formula's bracket or with the hyphen of a short word of code."""
    page = CODE.sub(" unbroken", PERCENT.sub("\u00a0%", page))
    return FORMULA_AND_ITS.sub(r'<span class="unbroken">\1</span>', page)


def without_roles_of_lists(page):
    """The list of works without roles that a reader of the screen cannot use: docutils writes a list without items."""
    return re.sub(r'(?<=<div) role="list"(?= class="citation-list")| role="doc-biblioentry"', "", page)


def named_by_its_words(page):
    """Folds with a name for who hears the page: "Show the code" its own, for which myst-nb has another, and the arrow
    in the side bar one at all."""
    page = page.replace('<summary aria-label="Toggle hidden content">', "<summary>")
    arrow = '<span class="toctree-toggle"'
    return page.replace(f"<summary>{arrow}", f'<summary aria-label="Show the pages below">{arrow}')


def within_reach_of_the_keyboard(page):
    """A page in which a formula on lines of its own is a stop of the tab key where it is too wide."""
    return page.replace(DISPLAYED_FORMULA, f"{DISPLAYED_FORMULA} pst-scrollable-table-container")


def without_what_no_page_loads(static):
    """Keep of MathJax only what OF_MATHJAX names, and neither FontAwesome's script nor maps of scripts: these are for
    authors of scripts."""
    for file in [*static.rglob("*.map"), static / "scripts" / "fontawesome.js"]:
        file.unlink(missing_ok=True)
    whole = static / "mathjax"
    if whole.is_dir():
        kept = whole.with_name("mathjax-kept")
        for name in OF_MATHJAX:
            (kept / name).parent.mkdir(parents=True, exist_ok=True)
            (whole / name).rename(kept / name)
        shutil.rmtree(whole)
        kept.rename(whole)


def finish(app, error):
    """Finish every page, give the root page a title, and leave out the files that no page loads."""
    if error or app.builder.format != "html":
        return
    site = Path(app.outdir)
    works = references((site / "book" / "bibliography.html").read_text(encoding="utf8"))
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf8")
        finished = with_references(FONT_AWESOME.sub("", text), works)
        finished = with_lines_folded(with_cells_marked(held_together(finished)))
        finished = within_reach_of_the_keyboard(named_by_its_words(without_roles_of_lists(finished)))
        if finished != text:
            page.write_text(finished, encoding="utf8")
    without_what_no_page_loads(site / "_static")
    title = "flatlab: why do large batches generalise worse?"
    page = f"{app.config.root_doc}.html"
    (site / "index.html").write_text(ROOT_PAGE.format(title=title, description=DESCRIPTION, page=page), encoding="utf8")


def setup(app):
    app.connect("config-inited", in_this_order)
    app.connect("config-inited", in_parts)
    app.connect("config-inited", under_its_address)
    app.connect("config-inited", read_side_by_side)
    app.connect("html-page-context", without_thebe, priority=900)
    app.connect("html-page-context", with_colab)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
