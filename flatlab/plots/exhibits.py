"""What the pages of evidence show of an experiment: its figures, its table beside the paper's, and on what it was
recorded."""

import functools
from collections.abc import Iterable

from flatlab.plots.drawings import DRAWINGS
from flatlab.plots.ledger import verdicts
from flatlab.plots.results import draw
from flatlab.plots.tables import MEANS, called, grid, readable, say, table
from flatlab.study import paper
from flatlab.study.experiments import GROUPS
from flatlab.study.ledger import ledger
from flatlab.study.recorded import TIERS, largest, recorded

MOST_ROWS = 40  # of a table that stands open: a longer one is five screens of a phone


def by_tier(groups: Iterable[str] = tuple(GROUPS)) -> str:
    """Which experiments are recorded at which tier, and which are not, as a table in Markdown.

    Parameters
    ----------
    groups : sequence of str
        Names of `flatlab.study.experiments.GROUPS`.

    Returns
    -------
    str
        A row for each experiment, a column for each tier at which one is recorded or planned. A cell names the
        networks that are recorded, and then those that the tier has a plan for and that are recorded neither there nor
        at a larger one.
    """
    found = {
        (name, readable(experiment.about)): _networks(name, experiment)
        for group in groups
        for name, experiment in GROUPS[group].items()
    }
    tiers = [tier for tier in TIERS if any(networks[tier] for networks in found.values())]
    rows = [[f"`{name}`", about, *(networks[tier] for tier in tiers)] for (name, about), networks in found.items()]
    return grid(["experiment", "what it is", *tiers], *rows)


def _networks(name, experiment):
    """{tier: its cell}."""
    cells, known = {}, set()
    for tier in reversed(TIERS):
        nets = _recorded(name, tier)
        known.update(nets)
        planned = [setting.name for setting in experiment.settings.get(tier, ())]
        missing = [called(net) for net in planned if net not in known]
        said = ["; ".join(map(called, nets))] * bool(nets) + [f"*not recorded:* {'; '.join(missing)}"] * bool(missing)
        cells[tier] = "; ".join(said)
    return cells


def _recorded(name, tier):
    try:
        return list(recorded(name, tier).values)
    except FileNotFoundError:
        return []


@functools.cache
def _entries():
    return {entry.claim.name: entry for entry in ledger()}


def findings(experiment: str) -> str:
    """The claims that an experiment decides, with their verdicts, in Markdown.

    Parameters
    ----------
    experiment : str
        A name of `flatlab.study.experiments.EXPERIMENTS`.

    Returns
    -------
    str
        "" where no claim belongs to it.
    """
    names = [name for name, entry in _entries().items() if entry.claim.experiment == experiment]
    return f"What it says: {verdicts(_entries(), *names)}." if names else ""


def show(experiment: str) -> None:
    """Show the figures of an experiment, what it says of its claims, its table beside the paper's, and on what it was
    recorded.

    Parameters
    ----------
    experiment : str
        A name of `flatlab.study.experiments.EXPERIMENTS`.
    """
    from IPython.display import display  # here: whoever draws on a server has no notebook

    results, drawing = largest(experiment), DRAWINGS.get(experiment)
    for result in results if drawing else ():
        display(draw(result))
    if found := findings(experiment):
        say(found)
    if text := table(experiment, results, whole=True):
        rows = text.count("\n") - 1
        say(f"<details><summary>All {rows} rows</summary>\n\n{text}\n\n</details>" if rows > MOST_ROWS else text)
        if drawing and any(panel.log for panel in drawing.panels):
            say(MEANS)
    here = {paper.original(net) for result in results for net in result.values}
    missing = [net for net in drawing.paper if net not in here] if drawing else []
    if missing or not results and not text:
        say("Not recorded" + (f": the paper's {', '.join(missing)}." if missing else "."))
    if results:
        places = dict.fromkeys(
            f"{result.tier} tier on {facts['device']}, {facts['date']}"
            for result in results
            for net, facts in result.provenance.items()
            if net in result.values
        )
        say(f"Recorded: {'; '.join(places)}.")


def show_group(name: str) -> None:
    """Show the experiments of a group, each under its name.

    Parameters
    ----------
    name : str
        A name of `flatlab.study.experiments.GROUPS`.
    """
    for each, experiment in GROUPS[name].items():
        say(f"### {each}: {readable(experiment.about)}")
        show(each)
