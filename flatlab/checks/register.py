"""The register of Lab 8: what a claim has to say, and the name by which a registered rule is known.

A lab's cells use it, so it is there where a lab is marked too. What a lab asks for is not.
"""

import dataclasses
import difflib
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flatlab.checks.answer import Wrong, kind, normals, numbers
from flatlab.data import DATA_SETS
from flatlab.nets import NETS
from flatlab.training.recipe import Recipe

ARMS = ("baseline", "changed")
MEASURED = ("test", "train", "loss", "phi", "distance", "seconds", "updates")  # of each run, by the lab's own cell
TEXTS = ("name", "words", "source", "measure")
ASKED = (*TEXTS, "unit", "net", "data", "rows", "arms", "changes", "margin")
BOUNDS = {"above": -math.inf, "below": math.inf}
LEAST_ROWS = 100
Claim = Mapping[str, Any]
Table = dict[str, list[float]]
Effect = Callable[[Table], Any]


def named(answer: object, names: Sequence[str], meaning: str) -> dict[str, Any]:
    """The answer as a dict that has these names; a hint where it is none."""
    if answer is None:
        raise Wrong(f"it returns nothing (None): end it with `return` and {meaning}.")
    if not isinstance(answer, dict):
        nested = isinstance(answer, (list, tuple)) and any(isinstance(one, (list, tuple)) for one in answer)
        raise Wrong(f"it returns {'a list of lists' if nested else kind(answer)}, and should return {meaning}: a dict.")
    if missing := [name for name in names if name not in answer]:
        raise Wrong(f"it returns a dict without {missing[0]!r}, and should return {meaning}.")
    return answer


def registered(claim: object) -> dict[str, Any]:
    """A claim as it is registered, in plain texts and numbers; a hint where it is no rule that runs can decide.

    Parameters
    ----------
    claim
        name, words, source, measure, unit: texts. net, data, rows: what is trained on what. arms: the two recipes.
        changes: the fields in which they differ. above, below: the bounds, of which one may be left out. margin: how
        far from a bound an effect lies that is worth finding.
    """
    given = named(claim, ASKED, "your claim")
    for name in given.keys() - {*ASKED, *BOUNDS}:
        near = difflib.get_close_matches(str(name), [*ASKED, *BOUNDS], 1, 0.0)[0]
        raise Wrong(f"no rule reads {name!r}: did you mean {near!r}?")
    for name in (*TEXTS, "unit", "net", "data"):
        if not isinstance(given[name], str) or name in TEXTS and not given[name].strip():
            raise Wrong(f"{name!r} is {given[name]!r:.40}: it is a text that tells it to a reader.")
    for name, known in (("net", NETS), ("data", DATA_SETS)):
        if given[name] not in known:
            raise Wrong(f"there is no {name} {given[name]!r:.40}: choose one of {', '.join(known)}.")
    rows = _number(given, "rows")
    if rows != int(rows) or rows < LEAST_ROWS:
        raise Wrong(f"rows is {rows:g}: it is a whole number, {LEAST_ROWS} or more.")
    return {
        **{name: given[name] for name in (*TEXTS, "unit", "net", "data")},
        "rows": int(rows),
        **_arms(given),
        **_bounds(given),
    }


def _number(given: Claim, name: str) -> float:
    """One of a claim's numbers."""
    value = given[name]
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        raise Wrong(f"{name} is {given[name]!r:.40}: it is a number.")
    return float(value)


def _bounds(given: Claim) -> dict[str, float]:
    """A claim's bounds, without those that are infinite, and its margin."""
    above, below = (_number({**BOUNDS, **given}, name) for name in BOUNDS)
    margin = _number(given, "margin")
    if math.isinf(above) and math.isinf(below):
        raise Wrong("the rule has no bound, so nothing that comes out could make it fail: give above or below.")
    if above >= below:
        raise Wrong("above is not less than below, so no effect lies between them: exchange them.")
    if not 0 < margin < math.inf:
        raise Wrong(f"margin is {margin:g}: it is above 0, since the nearer an effect is to a bound, the more seeds.")
    if 2 * margin > below - above:
        raise Wrong("no effect lies margin away from both bounds: the margin is at most half of their distance.")
    finite = {name: bound for name, bound in (("above", above), ("below", below)) if not math.isinf(bound)}
    return {**finite, "margin": margin}


def _arms(given: Claim) -> dict[str, Any]:
    """A claim's two recipes, and the fields in which they differ."""
    arms, changes = given["arms"], given["changes"]
    if not isinstance(arms, dict) or set(arms) != set(ARMS) or not all(isinstance(arm, dict) for arm in arms.values()):
        raise Wrong("arms holds two recipes: {'baseline': {...}, 'changed': {...}}, each a dict of a recipe's fields.")
    plain: dict[str, dict[str, Any]] = {}
    recipes = []
    for name in ARMS:
        plain[name] = {one: value.item() if hasattr(value, "item") else value for one, value in arms[name].items()}
        recipes.append(_recipe(name, plain[name]))
    first, second = (dataclasses.asdict(recipe) for recipe in recipes)
    differ = sorted(field for field in first if first[field] != second[field])
    if not differ:
        raise Wrong("the two arms are one recipe: change the field that your claim speaks of.")
    if isinstance(changes, str) or not isinstance(changes, (list, tuple)):
        raise Wrong(f"changes is {kind(changes)}: it is a list of the fields in which the arms differ.")
    if more := [field for field in differ if field not in changes]:
        raise Wrong(f"the arms also differ in {more[0]}: a second change is a second cause. Name it, or take it out.")
    if fewer := [field for field in changes if field not in differ]:
        raise Wrong(f"changes names {fewer[0]!r:.40}, in which the arms do not differ.")
    return {"arms": plain, "changes": differ}


def _recipe(name: str, arm: dict[str, Any]) -> Recipe:
    """The recipe of an arm."""
    known = [field.name for field in dataclasses.fields(Recipe)]
    for one in arm:
        if one == "seed":
            raise Wrong(f"the arm {name!r} has a seed: both arms get the same seeds, and the lab gives them.")
        if one not in known:
            near = difflib.get_close_matches(str(one), known, 1, 0.0)[0]
            raise Wrong(f"a recipe has no field {one!r:.40}: did you mean {near!r}?")
    try:
        return Recipe(**arm)
    except (ValueError, TypeError) as error:
        raise Wrong(f"the arm {name!r} is no recipe: {str(error).splitlines()[0]}") from None


def made_up(count: int, seed: int) -> Table:
    """Columns of both arms as runs could give them, one number for each of so many seeds."""
    places = {"test": 50, "train": 95, "loss": 0.1, "phi": 20, "distance": 9, "seconds": 2, "updates": 60}
    draws = iter(normals(2 * len(places), count, seed=seed).double())
    return {
        f"{what} {arm}": (size * (0.03 * next(draws)).exp()).tolist() for what, size in places.items() for arm in ARMS
    }


def fingerprint(claim: object, effect: Effect) -> str:
    """A name for a rule: of the registered claim and of what the effect gives for made-up columns.

    Spaces and comments do not change it. Whatever changes an arm, a bound or a value of the effect does. Values are
    read to four digits, since another machine's logarithm may differ in the last one.
    """
    values = numbers(effect(made_up(5, seed=81)), (5,), "one number for each seed")
    text = json.dumps([registered(claim), [f"{float(value):.4g}" for value in values]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
