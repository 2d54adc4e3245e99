"""What the finished site needs that no extension gives: pages without scripts that do nothing, and an address that has
a name.

Jupyter Book loads sphinx-thebe whether it is wanted or not, which declares its settings twice: an error on the console
of every page. The theme draws its icons with a font, and loads FontAwesome's script of 1.4 MB as well, which draws the
same ones. The root page that Jupyter Book writes is a bare redirect, so that a shared link has no title. Its button for
Colab is a rocket without words. A link to a paper tells the whole reference only where the chapter is no notebook. A
line may end between a formula and the full stop behind it, or between a number and its percent sign. A word of code
breaks at its hyphen, and a table on a phone has columns of one word a line. A word of the glossary is a link only where
somebody typed one, and an ordinary link leads to the top of the glossary. MathJax comes with ten combined scripts where
the pages load parts. A cell has one caption, typed beside it, and the pages of evidence show many pictures a cell, each
with what a result says of it. The theme lets the keyboard reach a table that scrolls, but no formula that does. A
browser folds two lines apart, of which one has the largest numbers below the least ones of the other.
"""

import html
import itertools
import re
import shutil
import unicodedata
from pathlib import Path
from urllib.parse import urlsplit

from docutils import nodes

COLAB = "https://colab.research.google.com/github/{repository}/blob/main/{page}.ipynb"
FORMULA = r'<span class="math notranslate nohighlight">[^<]*</span>'
FORMULA_AND_ITS = re.compile(rf"(\(?{FORMULA} = [−\d][\d.,]*|\({FORMULA}[.,;:!?)]*|{FORMULA}[.,;:!?)]+)")
PERCENT = re.compile(r"(?<=\d) %(?!\w)")
# A word of code that has room in a phone's line, and a cell of a table.
CODE = re.compile(r'(?<=<span class="pre)(?=">[^<]{1,28}</span>(?:</code>| <span class="pre">))')
CELL = re.compile(r"<td>(.*?)</td>", re.DOTALL)
TABLE = re.compile(r"<table\b.*?</table>", re.DOTALL)
ROW = re.compile(r"<tr\b.*?</tr>", re.DOTALL)
CELLS = re.compile(r"<(t[dh])\b([^>]*)>(.*?)</\1>", re.DOTALL)
A_NUMBER = r"[−+-]?(?:\d[\d,.]*(?:·10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+|e[-+‑]?\d+)?|10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)"
NUMBER = re.compile(rf"(?:≈ )?{A_NUMBER}(?: ± {A_NUMBER})?(?: %)?")
GAPS = {"", "-", "–", "—", "nan", "inf", "None", "not recorded", "not run"}
# What a lab prints, and a line of it, with the line below it where this has the largest numbers (labs/expected.py).
PRINTED = re.compile(r'(?<=<div class="highlight-text notranslate"><div class="highlight"><pre><span></span>)[^<]*')
LINE = re.compile(r"(.*)\n(?:( *to [-+\d.,e ]+|.*\(the largest\))\n)?")
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

GLOSSARY = "book/glossary"
# Words that a chapter also uses in another sense: where the glossary's is meant, the chapter links them itself.
OF_TWO_SENSES = {"line", "point", "ratio", "recipe", "run"}
# How flatlab.plots.exhibits begins what an experiment says of its claims, and a picture's file: EXPERIMENT-TIER.csv.
FINDING = "What it says: "
PICTURE = re.compile(r'class="picture".*download="([\w-]+)-\w+\.csv"', re.DOTALL)
NOT_PROSE = (nodes.reference, nodes.literal, nodes.literal_block, nodes.title, nodes.table, nodes.math, nodes.raw)

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


def letter(found):
    """A Greek letter for its name in a formula; the name where there is no such letter."""
    try:
        return unicodedata.lookup(f"GREEK SMALL LETTER {found[1].upper()}")
    except KeyError:
        return found[0]


def definitions(glossary):
    """{word: (its place on the page, what it means)} of the glossary; no meaning where it has a formula to be set."""
    found = {}
    for item in glossary.findall(nodes.definition_list_item):
        meaning = item[-1].deepcopy()
        for cited in [node for node in meaning.findall() if node.tagname == "pending_xref" and "cite" in str(node)]:
            cited.parent.remove(cited)
        text = re.sub(r"\s+([.,;)])|\s+", lambda space: space[1] or " ", meaning.astext()).strip()
        text = re.sub(r"\\(?:var)?([a-z]+)", letter, text)
        for word in item.findall(nodes.term):
            found[word.astext()] = word["ids"][0], "" if "\\" in text else text
    return found


def linked_words(doctree, glossary, page):
    """Link each word of the glossary where a notebook's typed prose first uses it, unless the prose links it itself; a
    link that the prose has leads to its word."""
    left = set(glossary) - OF_TWO_SENSES
    named = {word.lower(): word for word in glossary}  # a longer word first: a batch size is no batch
    any_word = re.compile(
        rf"(?<![\w-])({'|'.join(map(re.escape, sorted(named, key=len, reverse=True)))})(?:s|es)?(?![\w-])",
        re.IGNORECASE,
    )

    def to(link, word):
        place, meaning = glossary[word]
        link["refuri"], link["internal"] = f"{page}#{place}", True
        link["classes"] = [*link["classes"], "term"]
        if meaning:
            link["reftitle"] = meaning

    for link in list(doctree.findall(nodes.reference)):
        if link.get("refuri") == page and (found := any_word.fullmatch(" ".join(link.astext().split()))):
            word = named[found[1].lower()]
            to(link, word)
            left.discard(word)
    for text in list(doctree.findall(nodes.Text)):
        above = text.parent
        while above is not doctree and not isinstance(above, NOT_PROSE) and "cell" not in above.get("classes", []):
            above = above.parent
        if above is not doctree:
            continue
        parts, end = [], 0
        for found in any_word.finditer(str(text)):
            if (word := named[found[1].lower()]) in left:
                link = nodes.reference("", found[0])
                to(link, word)
                parts += [nodes.Text(text[end : found.start()]), link]
                end = found.end()
                left.remove(word)
        if parts:
            text.parent.replace(text, [*parts, nodes.Text(text[end:])])


def with_words_linked(app, doctree, page):
    """The words of the glossary, in every notebook of the book."""
    is_a_chapter = page.startswith("book/") and str(app.env.doc2path(page)).endswith(".ipynb")
    if is_a_chapter and app.builder.format == "html" and GLOSSARY in app.env.found_docs:
        glossary = definitions(app.env.get_doctree(GLOSSARY))
        linked_words(doctree, glossary, app.builder.get_relative_uri(page, GLOSSARY))


def is_output(node):
    """Whether a node is what a cell displays at once: all its forms, of which a page is given one later."""
    return isinstance(node, nodes.container) and node.get("nb_element") == "mime_bundle"


def with_findings_as_captions(app, doctree):
    """Make what an experiment says the caption of the pictures that stand just before it, or, where there is none, of
    its table just behind it: Sphinx numbers it, as it does a caption that is typed beside a cell."""
    for number, output in enumerate(list(doctree.findall(is_output))):
        said = output.next_node(nodes.paragraph)
        if said is None or not said.astext().startswith(FINDING):
            continue
        cell, place = output.parent, output.parent.index(output)
        start, behind = place, place + 1
        while start and PICTURE.search(cell[start - 1].astext()):
            start -= 1
        shown, name = cell[start:place], ""
        if shown:
            name = PICTURE.search(shown[-1].astext())[1]
        elif behind < len(cell) and is_output(cell[behind]) and cell[behind].next_node(nodes.table):
            shown, name, behind = [cell[behind]], f"table-{number}", behind + 1
        if shown:
            figure = nodes.figure("", *shown, ids=[f"exhibit-{name}"])
            figure += nodes.caption("", "", *said.children)
            cell[start:behind] = [figure]


def references(page):
    """{address: the whole reference}, of the works on the page of references."""
    found = {}
    for entry in re.findall(r'<div class="citation"[^>]*>.*?<p>(.*?)</p>', page, re.DOTALL):
        if links := re.findall(r'href="([^"]+)"', entry):
            found[links[-1]] = html.escape(html.unescape(re.sub(r"<[^>]+>|\s*URL:.*|\s*doi:.*", "", entry)).strip())
    return found


def with_references(page, works):
    """A page in which a link to a work shows its reference when the pointer rests on it."""
    return re.sub(
        r'<a class="reference external" href="([^"]+)">',
        lambda link: f'{link[0][:-1]} title="{works[link[1]]}">' if link[1] in works else link[0],
        page,
    )


def held_together(page):
    """A page in which no line begins with the full stop of a formula, with a percent sign or with what a formula is, or
    ends with a formula's bracket or with the hyphen of a short word of code."""
    page = CODE.sub(" unbroken", PERCENT.sub("\u00a0%", page))
    return FORMULA_AND_ITS.sub(r'<span class="unbroken">\1</span>', page)


def with_sentences_marked(page):
    """A page in which a table's cells of more than a few words are marked, so that a phone gives them room."""

    def marked(cell):
        words = re.sub(r"<[^>]+>", "", re.sub(FORMULA, "x", cell[1])).strip()
        return f'<td class="sentence">{cell[1]}</td>' if len(words) > 24 else cell[0]

    return CELL.sub(marked, page)


def with_numbers_marked(page):
    """A page in which the columns of a table that hold numbers, and nothing else but gaps, are marked with their heads,
    so that digits stand below digits and words begin at one edge. A table with merged cells is left as it is."""

    def words(cell):
        return " ".join(html.unescape(re.sub(r"<[^>]+>", "", cell[3])).split())

    def marked(table):
        rows = [list(CELLS.finditer(row)) for row in ROW.findall(table[0])]
        if "span=" in table[0] or len({len(row) for row in rows}) != 1:
            return table[0]
        columns = [[words(cell) for cell in column if cell[1] == "td"] for column in zip(*rows)]
        told = [[text for text in column if text not in GAPS] for column in columns]
        numbers = [bool(texts) and all(map(NUMBER.fullmatch, texts)) for texts in told]
        place = itertools.cycle(numbers)
        return CELLS.sub(lambda cell: as_a_number(cell) if next(place) else cell[0], table[0])

    return TABLE.sub(marked, page)


def as_a_number(cell):
    """A cell with the class of numbers, beside those that it has."""
    name, attributes, inside = cell.groups()
    first, found, others = attributes.partition('class="')
    attributes = f'{first}class="number {others}' if found else f'{attributes} class="number"'
    return f"<{name}{attributes}>{inside}</{name}>"


def with_lines_folded(page):
    """A page in which a long line of what a lab prints goes on below its beginning, and with it the largest numbers
    that stand below it."""

    def folded(line):
        rows = [re.sub(r"(to|\(the) ", "\\1\u00a0", html.unescape(row)) for row in line.groups("")]
        places = itertools.groupby(itertools.zip_longest(*rows, fillvalue=" "), key=lambda place: place == (" ", " "))
        return f'<span class="printed">{"".join(piece(*map("".join, zip(*part))) for _, part in places)}\n</span>'

    def piece(least, largest):
        if not largest.strip():
            return html.escape(least)
        return f'<span class="rows">{html.escape(least)}\n{html.escape(largest)}</span>'

    return PRINTED.sub(lambda printed: LINE.sub(folded, printed[0]), page)


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
    """Take FontAwesome's script out of every page, tell what a link cites, keep a formula and its full stop on one
    line, give the root page a title, and leave out the files that no page loads."""
    if error or app.builder.format != "html":
        return
    site = Path(app.outdir)
    works = references((site / "book" / "bibliography.html").read_text(encoding="utf8"))
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf8")
        finished = held_together(with_references(FONT_AWESOME.sub("", text), works))
        finished = with_lines_folded(with_numbers_marked(with_sentences_marked(finished)))
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
    app.connect("doctree-read", with_findings_as_captions)
    app.connect("doctree-resolved", with_words_linked)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
