"""The ledger as one picture: each cell against its verdict, and its filter in a browser that runs no script."""

import csv
import dataclasses
import html
import io
import math
import re
from base64 import b64decode
from functools import partial
from xml.etree import ElementTree

import pytest

pytest.importorskip("matplotlib")
from test_slides import browser, go, opened, tab, without_javascript  # noqa: F401 (fixtures)

from flatlab.plots.ledger import SIGN, Grid, came_out, headed, in_words, place, ruled, told, verdicts, where
from flatlab.plots.tables import NO_BREAK, numerals, readable, with_whole_labels
from flatlab.study.ledger import LEAST_SEEDS, Entry, Judgement, ledger, significant
from flatlab.study.rules import Claim

FOUND = ledger()
JUDGED = [(claim, judgement) for claim, judgements in FOUND for judgement in judgements]


def claim(name="a claim", source="somebody, page 1", **bounds):
    return Claim(
        name=name, words="w < 1 & more", source=source, experiment="table2", measure="m", effect=list, **bounds
    )


def judgement(effect, low, high, word, net="mlp", seeds=3):
    return Judgement("a claim", "smoke", net, "mnist1d", seeds, effect, low, high, word, 0.5)


def cells(found):
    """(word of the cell, x of the dot, ends of the bar or None) of every cell of a grid that has a judgement."""
    for word, inside in re.findall(r'<td class="(\w+)".*?<svg.*?>(.*?)</svg>', Grid(found)._repr_html_(), re.DOTALL):
        bar = re.search(r"M([\d.]+) 9H([\d.]+)", inside)
        yield word, float(re.search(r'cx="([\d.]+)"', inside)[1]), bar and (float(bar[1]), float(bar[2]))


@pytest.mark.parametrize(
    "bounds, effect, low, high, expected",
    [
        ({"above": 0}, 3, 1, 5, 1.5),
        ({"above": 0}, -1, -2, 0, -1),
        ({"below": 2}, 1, 0.5, 1.5, 2),
        ({"above": -1, "below": 1}, 0.5, 0.25, 0.75, 2),
        ({"above": -1, "below": 1}, -1.5, -2, -1, -1),
        ({"above": 0}, 2, 2, 2, math.inf),
        ({"above": 0}, -2, -2, -2, -math.inf),
        ({"above": 0}, 0, 0, 0, 0),
        ({"above": 0}, 5, -math.inf, math.inf, 0),
    ],
)
def test_a_cells_place_in_half_widths(bounds, effect, low, high, expected):
    assert place(claim(**bounds), judgement(effect, low, high, "undecided")) == expected


@pytest.mark.parametrize(
    "claim, judgement", JUDGED, ids=lambda value: getattr(value, "name", getattr(value, "net", ""))
)
def test_where_a_cell_lies_is_its_verdict(claim, judgement):
    """The verdict is computed from the interval's ends, the place from its middle and width: two ways to one answer."""
    away = place(claim, judgement)
    few = judgement.seeds < LEAST_SEEDS
    assert {"holds": away > 1, "fails": away < -1, "undecided": few or -1 <= away <= 1}[judgement.word]


def test_a_bar_that_holds_lies_right_of_the_line_and_one_that_fails_left_of_it():
    found = list(cells(FOUND))
    assert len(found) == len(JUDGED)
    for word, dot, bar in found:
        assert 2 <= dot <= 58
        if bar and word != "undecided":
            assert bar[0] >= 30 if word == "holds" else bar[1] <= 30


def test_one_seed_has_no_bar_and_says_so():
    one = judgement(5, -math.inf, math.inf, "undecided", seeds=1)
    assert list(cells([(claim(above=0), [one])])) == [("undecided", 30, None)]
    assert in_words(claim(above=0, unit="points"), one) == (
        "undecided on mlp, MNIST-1D: 5.00, to be above 0 points; smoke tier, 1 seed"
    )


def test_the_corrected_p_and_what_the_seeds_can_see_are_said_where_they_are_known():
    one = dataclasses.replace(judgement(5, 4, 6, "holds", seeds=5), q=0.012, visible=1.5)
    assert in_words(claim(above=0), one).endswith("smoke tier, 5 seeds; q = 0.012; visible from 1.5")
    small = dataclasses.replace(one, q=1e-20)
    assert in_words(claim(above=0), small).endswith("smoke tier, 5 seeds; q < 0.001; visible from 1.5")


@pytest.mark.parametrize("effect, word, q", [(5, "holds", 0.0), (0, "undecided", 1.0)])
def test_equal_seeds_have_no_corrected_p(effect, word, q):
    """A test compares with the scatter, and there is none, whatever the verdict."""
    one = dataclasses.replace(judgement(effect, effect, effect, word, seeds=5), q=q)
    assert in_words(claim(above=0), one).endswith("smoke tier, 5 seeds; all seeds are equal, so there is no q")


def test_every_judgement_stands_in_words_and_in_the_file():
    shown = Grid(FOUND)._repr_html_()
    link = re.search(r'href="data:text/csv;base64,([^"]+)"', shown)[1]
    rows = list(csv.DictReader(io.StringIO(b64decode(link).decode())))
    assert [(row["claim"], row["net"], row["word"]) for row in rows] == [
        (claim.name, judgement.net, judgement.word) for claim, judgement in JUDGED
    ]
    hidden = re.findall(r'<span class="words">(.*?)</span>', shown)
    assert sum(words.startswith(tuple(SIGN)) for words in hidden) == len(JUDGED)


def test_a_claim_that_is_not_run_and_words_with_signs_of_the_language_are_shown():
    shown = Grid([(claim("a < b", above=0), []), (claim("run", above=0), [judgement(1, 0.5, 1.5, "holds")])])
    table = re.search(r"<table.*?</table>", shown._repr_html_(), re.DOTALL)[0]
    ElementTree.fromstring(table)
    assert "a &lt; b" in table and "w &lt; 1 &amp; more" in table
    assert '<td colspan="1">not run</td>' in table  # to the eye as well, because no other cell of its row says a word


def test_networks_stand_in_the_papers_order_and_the_small_ones_in_the_place_of_theirs():
    nets = ("small-C4", "F2", "plain-mlp", "mlp", "F1", "mlp, half", "small-C2", "C3")
    shown = Grid([(claim(above=0), [judgement(1, 0.5, 1.5, "holds", net) for net in nets])])._repr_html_()
    heads = re.findall(r'<th scope="col">(.*?)</th>', shown.partition("</table>")[0])
    assert heads[1:] == ["mlp", "mlp, half", "plain-mlp", "F1", "F2", "small-C2", "C3", "small-C4"]


def test_the_problems_of_the_regression_stand_in_their_own_order_and_are_called_as_in_its_figure():
    shown = Grid([(claim(above=0), [judgement(1, 0, 2, "holds", net) for net in ("network", "many even", "uneven")])])
    heads = re.findall(r'<th scope="col">(.*?)</th>', shown._repr_html_().partition("</table>")[0])
    assert heads == ["claim", "4 features, uneven", "64 features, even", "4 features, a network"]


def test_a_claim_stands_with_the_networks_it_is_about_also_before_it_is_run():
    """One on F1 that was not run stood under "small networks only"; the regression's columns did not fit a page."""
    at_once = partial(judgement, 1, 0.5, 1.5, "holds")
    found = [
        (claim("small", above=0), [at_once("mlp")]),
        (claim("problem", above=0), [at_once("many even")]),
        (dataclasses.replace(claim("not run", above=0), nets=("F1",)), []),
    ]
    tables = re.findall(r"<caption>(.*?)</caption>.*?<summary>(.*?)</summary>", Grid(found)._repr_html_(), re.DOTALL)
    assert [(html.unescape(caption), name) for caption, name in tables] == [
        ("Claims on the paper's networks", "not run"),
        ("Claims on small networks only", "small"),
        ("Claims on a regression only", "problem"),
    ]


# Of rows, each with: whether it is seen, its first line, and how many cells of a verdict its part of the table has. All
# in one question to the browser: one for each of its hundreds of rows took half a minute.
ROWS = """(rows, word) => rows.map((row) => [
  row.checkVisibility({visibilityProperty: true}) && row.getBoundingClientRect().height > 0,
  row.innerText.split('\\n')[0].trim(), row.parentNode.querySelectorAll(`td.${word}`).length])"""


def shown(name):
    """A claim's name as a page has it, with the apostrophe of prose."""
    return readable(name).replace("'", "’")


def visible(page):
    """The claims whose rows are seen."""
    rows = page.locator(".verdicts tbody tr:has(td)").evaluate_all(ROWS, "holds")
    return [name for seen, name, _ in rows if seen]


@pytest.mark.parametrize("width", [390, 1280])
def test_the_filter_shows_the_claims_with_such_a_verdict_and_needs_no_script(without_javascript, tmp_path, width):  # noqa: F811
    page = go(without_javascript, tmp_path, Grid(FOUND)._repr_html_(), width=width)
    assert len(visible(page)) == len(FOUND)
    for word in SIGN:
        page.get_by_role("radio", name=f"{word} somewhere").focus()
        page.keyboard.press("Space")
        wanted = {shown(claim.name) for claim, judgements in FOUND if any(one.word == word for one in judgements)}
        assert set(visible(page)) == wanted
        heads = page.locator(".verdicts tr:has(th[scope=rowgroup])").evaluate_all(ROWS, word)
        assert heads and all(seen == (count > 0) for seen, _, count in heads)
    page.locator(".figure-data summary").click()
    assert page.locator(".figure-data tbody tr").first.is_visible(), "the filter hides data as well"
    page.get_by_role("radio", name="all claims").focus()
    page.keyboard.press("Space")
    assert len(visible(page)) == len(FOUND)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_does_not_scroll_sideways_and_is_no_wall(opened, width):  # noqa: F811
    """It was 25,490 pixels high, 38,994 on a phone."""
    page = opened(Grid(FOUND)._repr_html_(), width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.documentElement.scrollHeight") < 60 * len(FOUND)


def test_a_phone_shows_every_network_with_its_word_and_a_desk_every_column(opened):  # noqa: F811
    """A phone had columns off its screen; on a desk the text is 688 pixels wide, and less beside wider letters."""
    out = "cells => cells.filter(cell => cell.getBoundingClientRect().right > 390).length"
    wide = "tables => tables.filter(table => table.offsetWidth > table.parentNode.clientWidth).length"
    said = """signs => signs.map(sign => [sign.closest('td'), sign].map((part, k) =>
      getComputedStyle(part, k ? '::after' : '::before').content.replaceAll('"', '').trim()))"""
    phone = opened(f"<div style='width: 358px'>{Grid(FOUND)._repr_html_()}</div>", width=390)
    assert phone.locator(".verdicts :is(th, td)").evaluate_all(out) == 0
    words = phone.locator(".verdicts .sign").evaluate_all(said)
    assert sorted(words) == sorted([headed(one.net), one.word] for entry in FOUND for one in entry.judgements)
    desk = opened(f"<div style='width: 640px'>{Grid(FOUND)._repr_html_()}</div>", width=1280)
    assert desk.locator(".verdicts").evaluate_all(wide) == 0


def test_a_bar_lies_inside_its_cell_where_the_theme_makes_pictures_narrow(opened):  # noqa: F811
    page = opened("<style>svg { max-width: 100% }</style>", Grid(FOUND)._repr_html_())
    outside = """cells => cells.filter(cell => cell.querySelector('svg').getBoundingClientRect().right >
      cell.getBoundingClientRect().right).length"""
    assert page.locator(".verdicts td:has(svg)").evaluate_all(outside) == 0


def test_a_claim_opens_to_its_words_its_rule_and_its_numbers(opened):  # noqa: F811
    page = opened(Grid(FOUND)._repr_html_())
    first, judgements = FOUND[0]
    name = re.compile(f"^{re.escape(readable(first.name))}$")
    details = page.locator("details", has=page.locator("summary", has_text=name))
    details.locator("summary").focus()
    page.keyboard.press("Enter")
    words = details.inner_text()
    assert not re.search("q [=<] ", words), "a line can end between q and its number"
    words = words.replace(NO_BREAK, " ")
    assert first.words in words and readable(first.rule) in words
    assert all(in_words(first, one) in words for one in judgements)


@pytest.mark.parametrize("entry", FOUND, ids=lambda entry: entry.claim.name)
def test_a_chapter_tells_a_claim_with_its_verdict_and_every_judgement(entry):
    words = told(entry)
    assert f"**{entry.word}**" in words and words.lower().startswith(f"*{readable(entry.claim.name).lower()}*")
    for one in entry.judgements:
        if one.seeds:
            effect = readable(significant(one.effect))
            assert f"{effect} (" in words or one.seeds < 2 and f"{effect} on {one.net}" in words
        assert f"{one.tier} tier, {one.seeds} seed" in words


# What code writes and a reader does not: a word of it in what a page prints is a claim that READ_AS does not know yet.
CODE = re.compile(r"\b(?:phi|lambda\w*|alpha|rho|eps|eta|log\d+|LB|SB|\w_\w+)\b|\d[eE][+-]?\d|(?<![\w.)-])-[\d.]")


def test_a_claim_is_printed_without_the_words_of_code():
    entries = [entry for entry in ledger() if entry.claim.source]
    printed = [told(entry) + ruled(entry) + readable(entry.claim.words) for entry in entries]
    printed += [in_words(entry.claim, one) for entry in entries for one in entry.judgements]
    assert {found[0] for words in printed for found in CODE.finditer(words)} == set()


@pytest.mark.parametrize(
    "code, words",
    [
        ("log10 of phi(1e-3) of LB over SB", "log₁₀ of φ(10⁻³) of the large batch over the small batch"),
        ("log10 of phi(LB) / phi(SB), eps 5e-4", "log₁₀ of φ of the large batch over the small batch, ε = 5·10⁻⁴"),
        ("test accuracy of conservative LB", "test accuracy of the conservative large batch"),
        ("alpha, beta", "α, β"),
        ("lambda_max rate / 2 at batch 8, below -0.9", "λₘₐₓ times the rate / 2 at batch 8, below −0.9"),
        (
            "beyond SB (alpha -1 to 0), Gauss-Newton, 1.8e+08",
            "beyond the small batch (α −1 to 0), Gauss-Newton, 1.8·10⁸",
        ),
    ],
)
def test_what_a_claim_measures_is_read_in_words_and_signs(code, words):
    assert readable(code) == words


def test_a_printed_number_has_a_minus_sign_and_a_power_of_ten_but_no_formula_code_or_address_has():
    said = "from -0.5 to +1e-05, $10^{-7}$, `lr=-1`, [A 2017](https://a.b/x-1), <i class='a-1'>-2</i>, 2026-11-26"
    assert numerals(said) == (
        "from −0.5 to +10⁻⁵, $10^{-7}$, `lr=-1`, [A 2017](https://a.b/x-1), <i class='a-1'>−2</i>, 2026-11-26"
    )
    assert numerals("2.2e+04 ± 1e+06") == "22,000\u00a0±\u00a010⁶"


def test_a_batch_or_a_number_of_rows_has_a_comma_and_a_year_has_none():
    said = "batch 2000 and batches of 1000, on 50000 rows (Keskar et al. 2017), from 32 to 125"
    commas = "batch 2,000 and batches of 1,000, on 50,000 rows (Keskar et al. 2017), from 32 to 125"
    assert readable(said) == numerals(said) == commas


def test_a_short_label_of_a_table_stays_on_one_line():
    said = "| batch 128 | a cell | b |\n| a label that is long | a cell |\n\nBatch 128 | is no table."
    assert with_whole_labels(said) == said.replace("| batch 128 |", "| batch\u00a0128 |")
    said = "| of a long name here | 21.1 (17.4 to 25.5) |\n\nIt is 21.1 (17.4 to 25.5)."
    assert with_whole_labels(said) == said.replace("(17.4 to 25.5) |", "(17.4\u00a0to\u00a025.5) |")


def test_both_ends_of_an_interval_are_as_exact():
    amount = partial(Judgement, "A", "smoke", "mlp", "mnist1d", 10, word="holds", p=0.01)
    assert amount(3.72, 3.44, 4.0).amount == "3.72 (3.44 to 4.00)"
    assert amount(0.0, -100.0, 1e-5).amount == "0 (-100 to 1.00e-05)"
    assert amount(0.433, 0.30042, 0.566).beside(None, 0.3) == "0.433 (0.3004 to 0.566)"
    assert amount(0.433, 0.3, 0.566).beside(None, 0.3) == "0.433 (0.300 to 0.566)"
    assert significant(2.04, 2) == "2.0"


def test_claims_of_one_rule_are_printed_together():
    one, other = claim("phi falls", above=0), claim("then rises", below=0)
    again = dataclasses.replace(one, name="again")
    assert ruled(*(Entry(each, ()) for each in (one, other, again))) == (
        "- *φ falls; again*: M, above 0.\n- *Then rises*: M, below 0."
    )


def test_a_chapter_tells_which_networks_disagree():
    up, down = judgement(1, 0.5, 1.5, "holds", seeds=5), judgement(-1, -1.5, -0.5, "fails", "F1", seeds=5)
    assert told(Entry(claim(above=0), (up, down))) == (
        "*A claim*: **mixed**. M, above 0: 1.00 (0.500 to 1.50) on mlp, MNIST-1D, smoke tier, 5 seeds, holds; "
        "−1.00 (−1.50 to −0.500) on F1, MNIST-1D, smoke tier, 5 seeds, fails."
    )
    assert told(Entry(claim(above=0), ())) == "*A claim*: **not run**."


def test_a_target_that_no_seed_has_reached_is_said_in_words():
    never = judgement(math.nan, math.nan, math.nan, "undecided", seeds=0)
    assert told(Entry(claim(above=0), (never,))) == (
        "*A claim*: **undecided**. M, above 0: no seed has this number on mlp, MNIST-1D, smoke tier, 0 seeds."
    )


def test_the_first_page_tells_the_networks_that_decide_and_all_where_none_does():
    up, unsure = judgement(1, 0.5, 1.5, "holds", seeds=5), judgement(1, -1, 3, "undecided", "F1", seeds=2)
    first = "*A claim*: **holds**. M, above 0: 1.00 (0.500 to 1.50) on mlp."
    assert told(Entry(claim(above=0), (up, unsure)), brief=True) == first
    open_one = "*A claim*: **undecided**. M, above 0: 1.00 (−1.00 to 3.00) on F1."
    assert told(Entry(claim(above=0), (unsure,)), brief=True) == open_one


def test_a_network_that_decides_nothing_is_told_so_beside_one_that_does():
    up, unsure = judgement(1, 0.5, 1.5, "holds", seeds=5), judgement(1, -1, 3, "undecided", "F1", seeds=5)
    words = told(Entry(claim(above=0), (up, unsure)))
    assert words.endswith("on F1, MNIST-1D, smoke tier, 5 seeds, undecided.") and words.count("holds") == 1


@pytest.mark.parametrize(
    "rule, said",
    [
        ({"above": 0, "measure": "log10 of phi"}, ""),
        ({"below": 90, "unit": "%"}, ""),
        ({"above": 0.15, "below": 0.45, "measure": "log10 of rows"}, ""),
        ({"above": -0.7, "measure": "log10 of phi"}, " (above 0.2 times)"),
        ({"below": 0.3, "measure": "log10 of phi"}, " (below 2 times)"),
        ({"above": -0.3, "below": 0.3, "measure": "log10 of phi"}, " (within a factor of 2)"),
        ({"above": -1, "unit": "points"}, " (above \u22121 point)"),
        ({"above": -1.5, "below": 1.5, "unit": "points"}, " (within 1.5 points)"),
    ],
)
def test_a_verdict_that_a_small_effect_of_the_other_sign_leaves_true_has_its_bound(rule, said):
    entry = Entry(dataclasses.replace(claim(), **rule), ())
    assert verdicts({"a": entry}, "a") == f"*A*{said}: **not run**"


def test_what_came_out_is_a_list_of_topics():
    entries = dict.fromkeys("ab", Entry(claim(above=0), ()))
    assert came_out(entries, {"one": ["a"], "two": ["b", "a"]}) == (
        "- What came out, on one: *A*: **not run**.\n- What came out, on two: *B*: **not run**; *A*: **not run**."
    )


def test_verdicts_are_told_in_the_order_asked_for():
    up = Entry(claim(above=0), (judgement(1, 0.5, 1.5, "holds", seeds=5),))
    assert verdicts({"a": up, "b": Entry(claim(above=0), ())}, "b", "a") == "*B*: **not run**; *A*: **holds**"


def test_a_verdict_names_the_networks_that_decide_it_where_another_does_not():
    one, other = judgement(1, 0.5, 1.5, "holds", "plain-mlp", 5), judgement(0, -1, 1, "undecided", "mlp", 5)
    assert verdicts({"a": Entry(claim(above=0), (one, other))}, "a") == "*A*: **holds** on plain-mlp"
    assert verdicts({"a": Entry(claim(above=0), (other,))}, "a") == "*A*: **undecided**"


def test_a_network_names_the_part_of_its_rows_that_it_had():
    """F1 has all of MNIST for one claim, and 50,000 rows for one whose rates are chosen on the rest."""
    one = judgement(1, 0.5, 1.5, "holds", "F1", 5)
    whole, part = (
        Entry(claim(above=0), (dataclasses.replace(one, data=data),)) for data in ("mnist", "50000 rows of mnist")
    )
    assert (where(whole, "holds"), where(part, "holds")) == ("F1", "F1 (50,000 rows of MNIST)")
    assert "on F1 (50,000 rows of MNIST)" in told(part, brief=True) and "MNIST" not in told(whole, brief=True)
    assert where(part, "fails") == ""


def test_a_name_in_a_list_of_networks_has_no_comma():
    both = Entry(claim(above=0), tuple(judgement(1, 0.5, 1.5, "holds", net, 5) for net in ("even", "many uneven")))
    assert where(both, "holds") == "4 features (even) and 64 features (uneven)"


def test_two_claims_meet_on_a_network_only_where_both_say_the_word():
    first = Entry(claim(above=0), tuple(judgement(1, 0.5, 1.5, "holds", net, 5) for net in ("mlp", "F1", "C1")))
    words = {"mlp": "undecided", "F1": "holds", "C1": "holds"}
    second = [judgement(1, 0.5, 1.5, word, net, 5) for net, word in words.items()]
    second[2] = dataclasses.replace(second[2], data="50000 rows of mnist")  # other rows are another training set
    assert where(first, "holds", also=Entry(claim(above=0), tuple(second))) == "F1"
    assert where(first, "holds", also=Entry(claim(above=0), tuple(second)), its="undecided") == "mlp"
