"""What the finished site needs that no extension gives: pages without scripts that do nothing, and an address that has
a name.

Jupyter Book loads sphinx-thebe whether it is wanted or not, which declares its settings twice: an error on the console
of every page. The theme draws its icons with a font, and loads FontAwesome's script of 1.4 MB as well, which draws the
same ones. The root page that Jupyter Book writes is a bare redirect, so that a shared link has no title. Its button for
Colab is a rocket without words. A link to a paper tells the whole reference only where the chapter is no notebook. A
line may end between a formula and the full stop behind it.
"""

import html
import re
from pathlib import Path

COLAB = "https://colab.research.google.com/github/{repository}/blob/main/{page}.ipynb"
FORMULA = r'<span class="math notranslate nohighlight">[^<]*</span>'
FORMULA_AND_STOP = re.compile(rf"(\({FORMULA}[.,;:!?)]*|{FORMULA}[.,;:!?)]+)")
FONT_AWESOME = re.compile(r"\s*<(?:script|link)[^>]*scripts/fontawesome\.js[^>]*>(?:</script>)?")

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
    """A page in which no line begins with the full stop of a formula, or ends with its bracket."""
    return FORMULA_AND_STOP.sub(r'<span class="unbroken">\1</span>', page)


def finish(app, error):
    """Take FontAwesome's script out of every page, tell what a link cites, keep a formula and its full stop on one
    line, and give the root page a title."""
    if error or app.builder.format != "html":
        return
    site = Path(app.outdir)
    works = references((site / "book" / "bibliography.html").read_text(encoding="utf8"))
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf8")
        finished = held_together(with_references(FONT_AWESOME.sub("", text), works))
        if finished != text:
            page.write_text(finished, encoding="utf8")
    title = "flatlab: why do large batches generalise worse?"
    page = f"{app.config.root_doc}.html"
    (site / "index.html").write_text(ROOT_PAGE.format(title=title, description=DESCRIPTION, page=page), encoding="utf8")


def setup(app):
    app.connect("config-inited", in_this_order)
    app.connect("html-page-context", without_thebe, priority=900)
    app.connect("html-page-context", with_colab)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
