"""Slides of a chapter, from the tags of its cells, as one file that asks nothing of a network: `python book/slides.py
[CHAPTER ...]`, after `make book`.

A cell with the tag `slide` begins a slide. A text begins one at each of its headings; what stands above the first of
them belongs to the cell before, and is left out. A cell with the tag `slide-more` goes on with the slide before. Of
code only what it shows is taken, with the outputs of the built book.
"""

import argparse
import html
import re
import sys
from importlib.metadata import distribution
from pathlib import Path

import yaml
from jupyter_cache import get_cache
from nbconvert.filters.markdown import markdown2html

sys.path.insert(0, str(Path(__file__).resolve().parent))
from pages import executed

ROOT = Path(__file__).resolve().parent.parent
HEADING = re.compile(r"^#{1,4} (.*)", re.MULTILINE)

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: slides</title>
<style>
:root {{ color-scheme: light dark; --words: #1a1a1a; --ground: #fff; --faint: #5b5b5b; --link: #00619b;
  --line: #c8c8c8 }}
@media (prefers-color-scheme: dark) {{
  :root {{ --words: #ececec; --ground: #14181e; --faint: #a9b0ba; --link: #7cc4ff; --line: #4a525c }}
}}
html {{ scroll-snap-type: y mandatory; scroll-padding: 0 }}
body {{ margin: 0; color: var(--words); background: var(--ground); font: clamp(17px, 1.45vw, 26px)/1.45 sans-serif }}
main {{ counter-reset: slide }}
section {{ box-sizing: border-box; min-height: 100vh; padding: 5vh 7vw 7vh; scroll-snap-align: start;
  position: relative; counter-increment: slide; display: flex; flex-direction: column; justify-content: center;
  font-size: calc(1em * var(--size, 1)) }}
section > * {{ max-width: 100%; width: calc(62em / var(--size, 1)); margin-inline: auto }}
section::after {{ content: counter(slide); position: absolute; right: 2vw; bottom: 2vh; color: var(--faint) }}
.under {{ color: var(--faint); font-size: 0.8em; width: calc(77.5em / var(--size, 1)); margin-top: 0 }}
h1, h2, h3, h4 {{ line-height: 1.2; margin: 0 0 0.6em }}
h1 {{ font-size: 2em }} h2 {{ font-size: 1.5em }} h3, h4 {{ font-size: 1.2em }}
a {{ color: var(--link) }} a.anchor-link {{ display: none }}
svg, img {{ max-width: 100%; height: auto; max-height: calc(54vh * var(--size, 1) * var(--size, 1)) }}
.picture svg {{ max-width: min(100%, 36em) !important }}
pre, .wide, mjx-container[display="true"] {{ overflow-x: auto; overflow-y: hidden }}
table {{ border-collapse: collapse; font-size: 0.85em }}
th, td {{ padding: 0.2em 0.8em; text-align: left; border-bottom: 1px solid var(--line) }}
summary {{ cursor: pointer }}
@media print {{ section {{ break-after: page }} }}
</style>
{mathematics}
</head>
<body>
<main>
{slides}
</main>
<script>
const all = [...document.querySelectorAll("section")];
// A point of a picture is at least a pixel, so that no letter in it is under 10.
for (const svg of document.querySelectorAll(".picture svg")) svg.style.minHeight = `${{svg.viewBox.baseVal.height}}px`;
// What is taller than the screen has smaller letters and still smaller pictures, as long as they can be read.
function fit() {{
  for (const one of all)
    for (let size = 1; size > 0.57; size -= 0.03) {{
      one.style.setProperty("--size", size);
      if (one.offsetHeight <= innerHeight) break;
    }}
}}
addEventListener("load", () => Promise.resolve(window.MathJax?.startup?.promise).then(fit));
addEventListener("resize", fit);
addEventListener("keydown", (event) => {{
  const way = {{ ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1 }}[event.key];
  if (!way || event.target.closest("input, select, textarea, summary")) return;
  const here = all.findLastIndex((one) => one.getBoundingClientRect().top <= 2);
  all[Math.min(Math.max(here + way, 0), all.length - 1)].scrollIntoView();
  event.preventDefault();
}});
</script>
</body>
</html>
"""


def slides(notebook):
    """The slides of a notebook with its outputs: for each the heading under which it stands, where it has none of its
    own, and its parts as HTML."""
    found, heading = [], ""
    for cell in notebook.cells:
        tags, is_text = cell.metadata.get("tags", []), cell.cell_type == "markdown"
        if "slide" in tags and is_text:
            found += [("" if HEADING.match(text) else heading, [rendered(text)]) for text in sections(cell.source)]
        elif "slide" in tags:
            found.append((heading, shown(cell)))
        elif "slide-more" in tags:
            found[-1][1].extend([rendered(cell.source)] if is_text else shown(cell))
        if is_text and (said := HEADING.findall(cell.source)):
            heading = said[-1]
    return found


def sections(text):
    """A text cut before its headings, without what stands above the first. A heading goes with the one right below
    it."""
    starts = [one.start() for one in HEADING.finditer(text)]
    starts = [at for n, at in enumerate(starts) if not n or text[starts[n - 1] : at].count("\n\n") > 1] or [0]
    return [text[at:end].strip() for at, end in zip(starts, [*starts[1:], None])]


def rendered(text):
    """A text as HTML. Its mathematics is left for MathJax; a page of the book is named by its place on the web."""
    return re.sub(r'href="([\w/]+)\.(?:ipynb|md)(#[^"]*)?"', rf'href="{site()}/book/\1.html\2"', markdown2html(text))


def shown(cell):
    """What a cell shows, as HTML."""
    parts = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "text/html" in data:
            parts.append(f'<div class="wide">{data["text/html"]}</div>')
        elif "text/markdown" in data:
            parts.append(f'<div class="wide">{rendered(data["text/markdown"])}</div>')
        elif output.output_type == "stream" or "text/plain" in data:
            parts.append(f"<pre>{html.escape(output.get('text') or data['text/plain'])}</pre>")
    return parts


def site():
    """Where the book stands on the web."""
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))
    return settings["html"]["baseurl"].rstrip("/")


def mathematics(text):
    """MathJax, whole, where a text has formulas."""
    if "$" not in text and r"\(" not in text:
        return ""
    file = distribution("sphinx-mathjax-offline").locate_file("sphinx-mathjax-offline/static/mathjax/tex-svg.js")
    settings = r"{tex: {inlineMath: [['$', '$'], ['\\(', '\\)']]}, options: {enableMenu: false}}"
    return f"<script>window.MathJax = {settings}</script>\n<script>{Path(file).read_text(encoding='utf8')}</script>"


def page(notebook):
    """The slides of a notebook with its outputs as one page of HTML."""
    title = re.search(r"^# (.*)", "\n".join(cell.source for cell in notebook.cells), re.MULTILINE).group(1)
    text = ""
    for heading, parts in slides(notebook):
        under = f'<p class="under">{html.escape(heading)}</p>\n' if heading else ""
        text += f"<section>\n{under}" + "\n".join(f"<div>{part}</div>" for part in parts) + "\n</section>\n"
    return PAGE.format(title=html.escape(title), slides=text, mathematics=mathematics(text))


def chapters():
    """The chapters that have slides."""
    return sorted(file.stem for file in (ROOT / "book").glob("*.ipynb") if '"slide"' in file.read_text("utf8"))


def main():
    parser = argparse.ArgumentParser(description="Write a chapter's slides from the built book: one HTML file each.")
    known = chapters()
    parser.add_argument("chapter", nargs="*", help="default: every chapter that has slides", metavar="CHAPTER")
    chosen = parser.parse_args().chapter or known
    if wrong := sorted(set(chosen) - set(known)):
        parser.error(f"{', '.join(wrong)} has no slides: choose from {', '.join(known)}.")
    config = ROOT / "_build" / "config.yml"
    if not config.is_file():
        parser.error("there is no built book to take the outputs from: run `make book` first.")
    cache = get_cache(yaml.safe_load(config.read_text(encoding="utf8"))["execute"]["cache"])
    for name in chosen:
        notebook = executed(cache, ROOT / "book" / f"{name}.ipynb")
        if notebook is None:
            parser.error(f"{name} has changed since the book was built: run `make book` first.")
        file = ROOT / "_build" / "slides" / f"{name}.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page(notebook), encoding="utf8")
        print(file)


if __name__ == "__main__":
    main()
