"""What a lab prints, as labs/expected.py gives it, on the finished pages.

Where runs differ, a line has the least numbers and the line below it the largest ones. A browser that folds the two
lines of a narrow page, each for itself, sets them apart.
"""

import html
import itertools
import re

# What a lab prints, and a line of it, with the line below it where this has the largest numbers (labs/expected.py).
PRINTED = re.compile(r'(?<=<div class="highlight-text notranslate"><div class="highlight"><pre><span></span>)[^<]*')
LINE = re.compile(r"(.*)\n(?:( *to [-+\d.,e ]+|.*\(the largest of the runs\))\n)?")


def with_lines_folded(page):
    """A page in which a long line of what a lab prints goes on below its beginning, and with it the largest numbers
    that stand below it."""

    def unbroken(words):
        return words[0].replace(" ", "\u00a0")

    def folded(line):
        rows = [re.sub(r"to |\(the largest of the runs", unbroken, html.unescape(row)) for row in line.groups("")]
        places = itertools.groupby(itertools.zip_longest(*rows, fillvalue=" "), key=lambda place: place == (" ", " "))
        return f'<span class="printed">{"".join(piece(*map("".join, zip(*part))) for _, part in places)}\n</span>'

    def piece(least, largest):
        if not largest.strip():
            return html.escape(least)
        return f'<span class="rows">{html.escape(least)}\n{html.escape(largest)}</span>'

    return PRINTED.sub(lambda printed: LINE.sub(folded, printed[0]), page)
