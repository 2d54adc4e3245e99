"""The ledger as one picture: claims down, networks across, and in each cell how far the interval lies from the line
that decides.

The distance is in half widths of the interval, so that cells in points, in nats and in decades can be compared by eye:
the bar is one half width to either side, so a claim holds where all of it lies right of the line, and fails where all
of it lies left. It is a table: the words are there for whoever does not see the bars, and the filter is four radio
buttons and CSS.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

from flatlab.plots.picture import folded
from flatlab.plots.style import LARGE, SMALL
from flatlab.plots.tables import NO_BREAK, called, listed, named, readable
from flatlab.study import paper
from flatlab.study.design import HALF_OF_ROWS
from flatlab.study.ledger import Entry, Judgement, Word
from flatlab.study.regression import PROBLEMS
from flatlab.study.rules import Claim

SIGN = {"holds": "✓", "undecided": "–", "fails": "✗"}
LEAST_Q = 0.001  # below it a q is only said to be small
PARTS = ("the paper's networks", "small networks only", "a regression only")  # a table for each
Judged = tuple[Claim, Sequence[Judgement]]
GROUND = "var(--pst-color-background, Canvas)"
CSS = f"""<style>
.ledger fieldset {{ display: flex; flex-wrap: wrap; gap: 0.3rem 1rem; border: 0; padding: 0; margin: 0.5rem 0; }}
.ledger .words {{ position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }}
.ledger .scroll {{ overflow-x: auto; position: relative; }}
.ledger table.verdicts {{ border-collapse: separate; border-spacing: 2px; font-size: 0.85rem; line-height: 1.3;
  width: auto; margin: 0; }}
.ledger .verdicts caption {{ caption-side: top; text-align: left; font-weight: 600; padding: 0.6rem 0 0.2rem;
  color: inherit; }}
.ledger .verdicts th {{ padding: 0 0.3rem; text-align: left; font-weight: 600; background: transparent; }}
.ledger .verdicts thead th {{ padding: 0 0.15rem; font-size: 0.8em; vertical-align: bottom; }}
.ledger .verdicts th[scope="row"] {{ font-weight: 400; position: sticky; left: 0; z-index: 1; background: {GROUND};
  min-width: 8.5rem; max-width: 16rem; }}
.ledger .verdicts td {{ position: relative; padding: 0.05rem 0.1rem; white-space: nowrap; border-radius: 3px;
  text-align: left; }}
.ledger .verdicts td.holds {{ background: color-mix(in srgb, {SMALL} 22%, transparent); }}
.ledger .verdicts td.fails {{ background: color-mix(in srgb, {LARGE} 28%, transparent); }}
.ledger .verdicts td.undecided {{ background: color-mix(in srgb, currentColor 10%, transparent); }}
.ledger tr:has(details[open]) td {{ vertical-align: top; }}
.ledger .sign {{ display: inline-block; width: 1em; font-weight: 700; }}
.ledger .verdicts svg {{ vertical-align: middle; max-width: none; stroke: currentColor; stroke-width: 1.6;
  fill: currentColor; }}
.ledger .verdicts summary {{ cursor: pointer; padding-block: 3px; }}
@media (max-width: 767px) {{ /* a phone has no room for a column each: below a claim, each network and its word */
  .ledger .verdicts :is(caption, tbody, tr, th) {{ display: block; }}
  .ledger .verdicts thead, .ledger .verdicts td:not([class], [colspan]) {{ display: none; }}
  .ledger .verdicts tr {{ padding-bottom: 0.05rem; }}
  .ledger .verdicts th[scope="row"] {{ position: static; max-width: none; }}
  .ledger .verdicts td {{ display: inline-block; margin: 0 0 2px 2px; padding: 0 0.4rem; }}
  .ledger .verdicts td::before {{ content: attr(data-net); font-weight: 600; margin-right: 0.4rem; }}
  .ledger .verdicts .sign {{ width: auto; margin-right: 0.3rem; }}
  .ledger .verdicts .sign::after {{ content: " " attr(data-word); font-weight: 400; }}
}}
.ledger .verdicts p, .ledger .verdicts ul {{ margin: 0.2rem 0; padding-left: 1rem; min-width: 14rem;
  white-space: normal; }}
{
    "".join(
        f'.ledger:has(input[value="{word}"]:checked) .verdicts tr:has(td):not(:has(td.{word})), '
        f'.ledger:has(input[value="{word}"]:checked) .verdicts tbody:not(:has(td.{word})) {{ display: none; }}'
        + chr(10)
        for word in SIGN
    )
}</style>"""


@dataclass(frozen=True)
class Grid:
    """Claims and their judgements as a picture.

    Attributes
    ----------
    found : sequence of (Claim, sequence of Judgement)
        What `flatlab.study.ledger.ledger` returns, or a part of it.
    """

    found: Sequence[Judged] = field(repr=False)

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row per judgement."""
        return [
            {"claim": claim.name, "source": claim.source, "rule": readable(claim.rule), **asdict(judgement)}
            for claim, judgements in self.found
            for judgement in judgements
        ]

    def _repr_html_(self) -> str:
        parts: dict[str, list[Judged]] = {name: [] for name in PARTS}
        for claim, judgements in self.found:
            parts[_part(claim, judgements)].append((claim, judgements))
        tables = "".join(_table(f"Claims on {part}", found) for part, found in parts.items() if found)
        key = sha256(tables.encode()).hexdigest()[:8]
        choices = {"all": "all claims", **{word: f"{SIGN[word]} {word} somewhere" for word in SIGN}}
        radios = "".join(
            f'<label><input type="radio" name="show-{key}" value="{word}"{" checked" if word == "all" else ""} '
            f'autocomplete="off"> {words}</label>'
            for word, words in choices.items()
        )
        legend = (
            "<p>In each cell the dashed line is the bound that decides. The dot is the effect and the bar its 95 % "
            "interval, on the claim's side to the right. Where there is one seed there is no bar, and fewer than five "
            "seeds decide nothing. Open a claim for its words and numbers.</p>"
        )
        return (
            f'{CSS}<div class="ledger"><fieldset><legend class="words">Which claims to show</legend>{radios}</fieldset>'
            f"{legend}{tables}{folded(self.table, 'ledger')}</div>"
        )


def _part(claim: Claim, judgements: Sequence[Judgement]) -> str:
    """The table of a claim: by the networks that it was tried on, or, where it is not run, by those it speaks of. The
    regression's problems are columns that no other claim has, and beside the networks they do not fit a page."""
    nets = {judgement.net for judgement in judgements} or set(claim.nets)
    if any(paper.original(net) in paper.NETWORKS for net in nets):
        return PARTS[0]
    return PARTS[2] if nets and nets <= set(PROBLEMS) else PARTS[1]


def place(claim: Claim, judgement: Judgement) -> float:
    """How far the effect lies from the nearest bound, on the claim's side above 0, in half widths of its interval.

    Above 1 the claim holds, below -1 it fails, given five seeds. Infinite for an interval of no width; 0 for one seed,
    which has no interval.
    """
    half = (judgement.high - judgement.low) / 2
    if not math.isfinite(half):
        return 0.0
    away = min(judgement.effect - claim.above, claim.below - judgement.effect)
    return away / half if half else math.copysign(math.inf, away) if away else 0.0


def in_words(claim: Claim, judgement: Judgement) -> str:
    """A judgement as a sentence without its claim."""
    return readable(
        f"{judgement.word} on {_where(judgement)}: {judgement.beside(claim.above, claim.below)}, to be {claim.bound}; "
        f"{judgement.tier} tier, {_seeds(judgement)}{_known(judgement)}"
    )


def where(entry: Entry, word: Word, also: Entry | None = None, its: Word | None = None) -> str:
    """The networks of which a word is said, as a reader knows them: "mlp and C1". With `also`, those of which that
    entry says it too, or says `its` word."""
    said, by_both = (
        {(one.net, one.data): _briefly(one) for one in each.judgements if one.word == wanted}
        for each, wanted in ((entry, word), (also or entry, its or word))
    )
    return listed([name for network, name in said.items() if network in by_both])


def _briefly(judgement: Judgement) -> str:
    """A network, and the rows it had where these are a part of its data: one claim may have all of them, and another,
    whose rates are chosen on the rest, the part. A comma would read as the next name of a list: "4 features (even)"."""
    name, data = re.sub(", (.*)", r" (\1)", called(judgement.net)), named(judgement.data)
    return f"{name} ({data})" if judgement.net in paper.NETWORKS and " rows of " in data else name


def _where(judgement: Judgement) -> str:
    name = called(judgement.net)  # of a problem it holds the data
    return name if judgement.net in PROBLEMS else f"{name}, {named(judgement.data)}"


def _typeset(words: str) -> str:
    """Words as HTML, with the apostrophe that the pages around have."""
    return html.escape(words).replace("&#x27;", "’")


def _seeds(judgement: Judgement) -> str:
    return f"{judgement.seeds} seed{'s' * (judgement.seeds != 1)}"


def told(entry: Entry, *, brief: bool = False) -> str:
    """A claim, its verdict and what was measured, in Markdown, as a chapter prints it. Where a network's word is not
    the claim's, it stands beside its number.

    With `brief`, no data, tier and seeds, and of a claim that is decided only the networks that are: a first page has
    no room for all.
    """
    claim, judgements = entry
    if brief and entry.word != "undecided":
        judgements = tuple(one for one in judgements if one.word != "undecided")
    measured = "; ".join(
        f"{readable(one.beside(claim.above, claim.below))} on "
        + (_briefly(one) if brief else f"{_where(one)}, {one.tier} tier, {_seeds(one)}")
        + (f", {one.word}" if one.word != entry.word else "")
        for one in judgements
    )
    return f"*{heading(claim.name)}*: **{entry.word}**." + (f" {heading(claim.rule)}: {measured}." if measured else "")


def ruled(*entries: Entry) -> str:
    """Claims and their rules without a verdict as a list in Markdown, as a chapter prints them before it shows what
    came out. Claims of one rule stand together."""
    rules: dict[str, list[str]] = {}
    for entry in entries:
        rules.setdefault(heading(entry.claim.rule), []).append(readable(entry.claim.name))
    return "\n".join(f"- *{heading('; '.join(names))}*: {rule}." for rule, names in rules.items())


def heading(words: str) -> str:
    """A claim's name or its rule with a capital, as a reader writes it."""
    words = readable(words)
    return (words[0].upper() if words[0].isascii() else words[0]) + words[1:]  # Φ is not φ


def claims(entries: Mapping[str, Entry], *names: str, brief: bool = False) -> str:
    """Some claims as they are told, as a list in Markdown."""
    return "\n".join(f"- {told(entries[name], brief=brief)}" for name in names)


def verdicts(entries: Mapping[str, Entry], *names: str) -> str:
    """Some claims with their verdicts alone, in Markdown. Where a network does not decide, those that do are named, and
    where a claim also holds for a small effect of the other sign, its bound is."""
    return "; ".join(
        f"*{heading(name)}*{_room(entries[name].claim)}: **{entries[name].word}**{_decided_on(entries[name])}"
        for name in names
    )


def came_out(entries: Mapping[str, Entry], topics: Mapping[str, Sequence[str]]) -> str:
    """What a chapter's claims came to, {topic: names of claims}, as the list in Markdown at its end."""
    return "\n".join(f"- What came out, on {topic}: {verdicts(entries, *names)}." for topic, names in topics.items())


def _room(claim: Claim) -> str:
    """The bound of a claim on points or on a factor that leaves room to both sides of no effect: "does not flatten"
    holds where the sharpness falls a little. A factor's bound is a logarithm, which is written as the factor."""
    low, high = claim.above, claim.below
    a_factor = claim.measure.startswith("log10 of")
    if not low < 0 < high or not (a_factor or claim.unit == "points"):
        return ""
    if not a_factor:
        return readable(f" ({claim.bound})")
    if low == -high:
        return f" (within a factor of {10**high:.2g})"
    return f" (above {10**low:.2g} times)" if math.isinf(high) else f" (below {10**high:.2g} times)"


def _decided_on(entry: Entry) -> str:
    left_open = "undecided" in {judgement.word for judgement in entry.judgements}
    return f" on {where(entry, entry.word)}" if left_open and entry.word in ("holds", "fails") else ""


def _known(judgement: Judgement) -> str:
    """The corrected p-value and what the seeds can see, where they are known. Seeds without scatter have no p-value;
    one of 1e-20 is written as small only, because no few seeds are so exactly normal."""
    if judgement.low == judgement.high:
        q = "; all seeds are equal, so there is no q"
    elif judgement.q < LEAST_Q:
        q = f"; q < {LEAST_Q}"
    else:
        q = "" if math.isnan(judgement.q) else f"; q = {judgement.q:.2g}"
    return q + ("" if not math.isfinite(judgement.visible) else f"; visible from {judgement.visible:.2g}")


def _cell(claim: Claim, judgement: Judgement) -> str:
    x = 30 + 9 * max(-2.7, min(2.7, place(claim, judgement)))
    left, right = max(2, x - 9), min(58, x + 9)
    bar = "" if not math.isfinite(judgement.low) else f'<path d="M{left:.1f} 9H{right:.1f}"/>'
    words = _typeset(in_words(claim, judgement))
    return (
        f'<td class="{judgement.word}" title="{words}" data-net="{html.escape(headed(judgement.net))}">'
        f'<span class="sign" aria-hidden="true" data-word="{judgement.word}">{SIGN[judgement.word]}</span>'
        f'<span class="words">{words}</span><svg viewBox="0 0 60 18" width="38" height="12" aria-hidden="true">'
        f'<path d="M30 1V17" stroke-width="2" stroke-dasharray="3 2"/>{bar}'
        f'<circle cx="{x:.1f}" cy="9" r="3"/></svg></td>'
    )


def _row(claim: Claim, judgements: Sequence[Judgement], nets: Sequence[str]) -> str:
    found = {judgement.net: judgement for judgement in judgements}
    measured = [
        re.sub("q (=|&lt;) ", rf"q{NO_BREAK}\1{NO_BREAK}", _typeset(in_words(claim, judgement)))
        for judgement in judgements
    ]
    numbers = "".join(f"<li>{one}</li>" for one in measured)
    words = (
        f"<details><summary>{_typeset(readable(claim.name))}</summary><p>{_typeset(readable(claim.words))} "
        f"<i>({_typeset(claim.source)})</i></p>"
        f"<p>Rule: {_typeset(readable(claim.rule))}</p><ul>{numbers}</ul></details>"
    )
    cells = (
        [_cell(claim, found[net]) if net in found else '<td><span class="words">not run</span></td>' for net in nets]
        if judgements
        else [f'<td colspan="{len(nets)}">not run</td>']
    )
    return f'<tr><th scope="row">{words}</th>{"".join(cells)}</tr>'


def headed(net: str) -> str:
    """A network as a column's head, a problem of the regression as its figure calls it."""
    return called(net) if net in PROBLEMS else net


def _table(caption: str, found: Sequence[Judged]) -> str:
    """A table with a body for each source."""
    run = {judgement.net for _, judgements in found for judgement in judgements}
    order = ["mlp", HALF_OF_ROWS.name, "plain-mlp", *paper.NETWORKS, *PROBLEMS]
    known = [net for original in order for net in (original, f"small-{original}") if net in run]
    nets = [*known, *sorted(run - set(known))]
    head = "".join(f'<th scope="col">{html.escape(headed(net))}</th>' for net in nets)
    bodies = ""
    groups: dict[str, list[Judged]] = {}
    for claim, judgements in found:
        groups.setdefault(claim.source.split(",")[0], []).append((claim, judgements))
    for source, pairs in groups.items():
        heading = html.escape(source[0].upper() + source[1:] if source.split()[0].islower() else source)  # engrXiv
        name = f'<tr><th scope="rowgroup" colspan="{len(nets) + 1}">{heading}</th></tr>'
        rows = "".join(_row(claim, judgements, nets) for claim, judgements in pairs)
        bodies += f"<tbody>{name if len(groups) > 1 else ''}{rows}</tbody>"
    label = html.escape(caption)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table class="verdicts">'
        f"<caption>{label}</caption>"
        f'<thead><tr><th scope="col">claim</th>{head}</tr></thead>{bodies}</table></div>'
    )
