"""The tables of the finished site: digits stand below digits, and a sentence has room.

Sphinx aligns a column only where somebody typed how, and on a phone a table has columns of one word a line. What a
cell needs is told by what stands in it, so it is marked here and flatlab.css says what the mark means. The pages are
read when they are finished, because tables come from prose, from outputs and from pictures' data.
"""

import re

from bs4 import BeautifulSoup

TABLE = re.compile(r"<table\b(?![^>]*\bindextable\b).*?</table>", re.DOTALL)  # an index has columns of its own
A_NUMBER = r"[−+-]?(?:\d[\d,.]*(?:·10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+|e[-+‑]?\d+)?|10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)"
NUMBER = re.compile(rf"(?:≈ )?{A_NUMBER}(?: ± {A_NUMBER})?(?: %)?")
GAPS = {"", "-", "–", "—", "nan", "inf", "None", "not recorded", "not run"}
A_FEW_WORDS = 24  # letters


def words(cell):
    """What a cell says, on one line."""
    return " ".join(cell.get_text().split())


def mark(cell, name):
    """Give a cell a class beside those that it has."""
    cell["class"] = [name, *cell.get("class", [])]


def is_a_sentence(cell):
    """Whether a cell holds more than a few words; a formula counts as one letter."""
    formulas = sum(len(formula.get_text()) - 1 for formula in cell.find_all("span", class_="math"))
    return len(words(cell)) - formulas > A_FEW_WORDS


def columns(table):
    """The columns of a table; none where cells are merged."""
    rows = [row.find_all(["th", "td"]) for row in table.find_all("tr")]
    merged = table.find(colspan=True) or table.find(rowspan=True)
    return [] if merged or len({len(row) for row in rows}) != 1 else list(zip(*rows))


def is_of_numbers(column):
    """Whether a column holds numbers below its head, and nothing else but gaps."""
    told = [text for cell in column if cell.name == "td" and (text := words(cell)) not in GAPS]
    return bool(told) and all(map(NUMBER.fullmatch, told))


def with_points_in_line(column, tree):
    """Let the numbers of a column stand point under point: each has at its end room for the digits that it lacks beside
    the longest. Not where one has an interval or a percent sign, since these are no part of the number."""
    found = [(cell, re.fullmatch(r"[−+-]?[\d,]+(\.\d+)?", words(cell))) for cell in column if cell.name == "td"]
    if any(number is None and "±" in words(cell) or words(cell).endswith("%") for cell, number in found):
        return
    digits = [(cell, number[1] or "") for cell, number in found if number]
    longest = max((behind for _, behind in digits), key=len, default="")
    for cell, behind in digits:
        if lacks := ("." if not behind and longest else "") + "0" * (len(longest) - max(1, len(behind))):
            (cell.p or cell).append(tree.new_tag("span", attrs={"data-lacks": lacks}))


def marked(table):
    """A table whose cells are marked: `sentence`, and `number` with the head of its column."""
    tree = BeautifulSoup(table, "html.parser")
    for cell in filter(is_a_sentence, tree.find_all("td")):
        mark(cell, "sentence")
    for column in filter(is_of_numbers, columns(tree)):
        for cell in column:
            mark(cell, "number")
        with_points_in_line(column, tree)
    return str(tree)


def with_cells_marked(page):
    """A page whose tables are marked."""
    return TABLE.sub(lambda table: marked(table[0]), page)
