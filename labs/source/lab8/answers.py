"""What students answer in Lab 8: mistakes, each with words of the hint that it must get, and other right answers.

MISTAKES    (exercise, what is replaced in the reference, by what, words of the hint)
RIGHT       (exercise, a whole answer that is as right as the reference)
ALIKE       (exercise, words) of mistakes that are one, written in several ways
GIVEN       names of the given cells that answers use

Each mistake gets its own hint from the check and no marks from the hidden tests; each right answer gets a tick and full
marks. The other right claims are the reference's, written otherwise: a record is of one claim.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
from scipy import stats

GIVEN = {"json": json, "plt": plt, "stats": stats}

ALIKE = {("effect", "the pairs are lost")}

CHANGED = '"changed": {**descent, "lr": 0.02, "momentum": 0.9},'
BOTH = "for arm, recipe in arms.items():"
APPEND = 'columns.setdefault(f"{what} {arm}", []).append(value)'
LINE = 'return line, entry(claim(), effect(columns))["word"]'
WORD = 'entry(claim(), effect(columns))["word"]'


def with_facts(facts):
    """The reference's record with other facts in its line."""
    return f"found = json.loads(line)\n    return json.dumps({{**found, {facts}}}), {WORD}"


MISTAKES = [
    ("claim", '        "margin": 1.5,\n', "", "a dict without 'margin'"),
    ("claim", '"above": -2.0', '"abov": -2.0', "no rule reads 'abov'"),
    ("claim", '"at one rate over 1 - m, momentum changes no accuracy"', '""', "it is a text that tells it"),
    ("claim", '"points"', "1", "it is a text that tells it"),
    ("claim", '"small-mlp"', '"small_mlp"', "there is no net"),
    ("claim", '"mnist1d"', '"MNIST"', "there is no data"),
    ("claim", '"rows": 1000', '"rows": 10', "rows is 10"),
    ("claim", '        "above": -2.0,\n        "below": 2.0,\n', "", "the rule has no bound"),
    ("claim", '"above": -2.0,\n        "below": 2.0', '"above": 2.0,\n        "below": -2.0', "exchange them"),
    ("claim", '"above": -2.0', '"above": "-2 points"', "above is '-2 points'"),
    ("claim", '"margin": 1.5', '"margin": 0', "it is above 0"),
    ("claim", '"margin": 1.5', '"margin": 2.5', "away from both bounds"),
    ("claim", '"baseline": {', '"plain": {', "arms holds two recipes"),
    ("claim", CHANGED, '"changed": {**descent, "lr": 0.2},', "the two arms are one recipe"),
    ("claim", '"changes": ["lr", "momentum"]', '"changes": "lr and momentum"', "changes is a str"),
    ("claim", '["lr", "momentum"]', '["lr"]', "also differ in momentum"),
    ("claim", '["lr", "momentum"]', '["lr", "momentum", "epochs"]', "in which the arms do not differ"),
    ("claim", '"lr": 0.02, ', '"lr": 0.02, "seed": 1, ', "both arms get the same seeds"),
    ("claim", '"lr": 0.02', '"rate": 0.02', "a recipe has no field 'rate'"),
    ("claim", '"lr": 0.02', '"lr": -0.02', "is no recipe"),
    ("effect", "return difference.tolist()", "return float(difference.mean())", "return one for each seed"),
    ("effect", "return difference.tolist()", "return [float(difference.max())] * len(difference)", "the same number"),
    ("effect", 'columns["test baseline"])', "50.0)", "'baseline' does not enter"),
    ("effect", '["test changed"]', '["train baseline"]', "'changed' does not enter"),
    ("effect", "return difference.tolist()", "return (difference - difference.mean()).tolist()", "its own seed alone"),
    ("effect", 'columns["test baseline"])', 'np.mean(columns["test baseline"]))', "several runs of the arm 'baseline'"),
    (
        "effect",
        'columns["test changed"],',
        'np.mean(columns["test changed"]) - np.zeros(len(columns["test changed"])),',
        "several runs of the arm 'changed'",
    ),
    ("effect", 'columns["test changed"],', 'sorted(columns["test changed"]),', "the pairs are lost"),
    ("effect", 'columns["test changed"],', 'columns["test changed"][::-1],', "the pairs are lost"),
    (
        "effect",
        "return difference.tolist()",
        "return (difference + np.random.default_rng().normal(0, 1, len(difference))).tolist()",
        "drawn by chance",
    ),
    ("seeds_for", "ddof=1", "ddof=0", "ddof=0"),
    ("seeds_for", "np.std", "np.var", "take its root"),
    ("seeds_for", "s, n = np.std(pilot, ddof=1), 5", "s, n = stats.sem(pilot), 5", "the error of the pilot's mean"),
    ("seeds_for", "> margin", "> abs(np.mean(pilot))", "the pilot's own mean"),
    ("seeds_for", "most", "10**6", "most does not enter"),
    ("seeds_for", "return min(n, most)", "return min(n - len(pilot), most)", "none of them counts"),
    ("seeds_for", "sum(stats.t.ppf([0.975, 0.8], n - 1))", "stats.t.ppf(0.975, n - 1)", "the power is left out"),
    ("seeds_for", ", 5\n", ", 2\n", "fewer than 5 seeds"),
    ("seeds_for", "stats.t.ppf([0.975, 0.8], n - 1)", "stats.norm.ppf([0.975, 0.8])", "with normal quantiles"),
    ("seeds_for", "return min(n, most)", "return most", "that is most"),
    ("seeds_for", "return min(n, most)", "return min(n, most) - 0.5", "a part of a seed"),
    ("experiment", "trained(recipe, seed)", 'trained(recipe, seed + 1000 * (arm == "changed"))', "which was not given"),
    (
        "experiment",
        "trained(recipe, seed)",
        'trained(recipe, (seeds + seeds[:1])[seeds.index(seed) + (arm == "changed")])',
        "stand at other places",
    ),
    (
        "experiment",
        "trained(recipe, seed)",
        'trained(recipe, seeds[0] if arm == "changed" else seed)',
        "from different seeds",
    ),
    ("experiment", "trained(recipe, seed)", "trained(recipe, 0)", "all runs have one seed"),
    ("experiment", "for seed in seeds", "for seed in range(len(seeds))", "0, 1, 2 and so on"),
    ("experiment", "trained(recipe, seed)", 'trained(arms["baseline"], seed)', "never trained"),
    (
        "experiment",
        "trained(recipe, seed)",
        'max((trained(recipe, seed) for _ in range(2)), key=lambda found: found["test"])',
        "whatever comes out",
    ),
    ("experiment", APPEND, APPEND.replace("{what} {arm}", "{arm} {what}"), "the other way round"),
    ("experiment", APPEND, 'columns[f"{what} {arm}"] = value', "keep one for each seed"),
    ("experiment", APPEND, APPEND.replace("append(value)", "insert(0, value)"), "in another order than the seeds"),
    (
        "experiment",
        APPEND,
        'other = {"baseline": "changed", "changed": "baseline"}[arm]\n                '
        + APPEND.replace("{arm}", "{other}"),
        "the arms are exchanged",
    ),
    ("experiment", APPEND, APPEND.replace("(value)", "(round(value))"), "these are not the numbers"),
    ("entry", "    values = values[np.isfinite(values)]\n", "", "leave it out, and count"),
    ("entry", "values[np.isfinite(values)]", "np.nan_to_num(values)", "no effect of 0"),
    ("entry", '"seeds": n', '"seeds": len(effects)', "count those that are left"),
    ("entry", "ddof=1", "ddof=0", "ddof=0"),
    ("entry", "stats.t.ppf(0.975, n - 1)", "stats.norm.ppf(0.975)", "a normal quantile"),
    ("entry", "0.975", "0.95", "an interval of 90 %"),
    ("entry", " / n**0.5", "", "the spread of one effect"),
    ("entry", '"low": low, "high": high', '"low": high, "high": low', "low and high are exchanged"),
    ("entry", '"effect": mean,', "", "without 'effect'"),
    ("entry", "and above < low and high < below", "and above < mean < below", "a bound"),
    ("entry", '"above", -np.inf', '"above", 0.0', "minus infinity"),
    ("entry", '"below", np.inf', '"below", 0.0', "it is infinity, and not 0"),
    ("entry", "if n >= 5 and above", "if len(effects) >= 5 and above", "among the 5"),
    ("entry", '    word = "undecided"\n', '    word = "fails"\n', "need not fail"),
    ("entry", '        word = "holds"\n    elif', '        word = "fails"\n    elif', "says"),
    ("picture", "return {", "return {} if True else {", "without 'data'"),
    ("picture", '"effects": effects', '"effects": sorted(effects)', "in their order"),
    ("picture", '"effects": effects', '"effects": mean', "one number for each seed"),
    ("picture", '"low": low, "high": high}', '"low": min(effects), "high": max(effects)}', "not the ends"),
    ("picture", '"alt": alt', '"alt": "the effects"', "8 words or more"),
    ("picture", '(f"Effects of', '(f"A plot of effects of', "begins by saying"),
    ("picture", "Effects of {n} seeds", "Effects of the seeds", "how many seeds"),
    ("picture", "their mean is {mean:.2f} ", "their mean is seen ", "does not say the mean"),
    ("picture", "from {low:.2f} to", "up to", "the lower end"),
    ("picture", "to {high:.2f}. ", "upwards. ", "the upper end"),
    ("record", LINE, "return line", "return the pair of two texts"),
    ("record", LINE, f"return json.loads(line), {WORD}", "return the pair of two texts"),
    ("record", LINE, f"return line[:-40], {WORD}", "the whole line"),
    ("record", LINE, with_facts("'tier': 'mark'"), "while a lab is marked"),
    ("record", LINE, with_facts("'registered': '2999-01-01T00:00:00Z'"), "is older than the rule"),
    ("record", LINE, with_facts("'seeds': [0] + found['seeds'][:-1]"), "a seed comes twice"),
    ("record", LINE, with_facts("'pilot': [0, 1, 2, 3]"), "a seed of the pilot"),
    ("record", LINE, with_facts("'planned': found['planned'] + 4"), "who stops when it pleases"),
    (
        "record",
        LINE,
        with_facts("'columns': {**columns, 'test changed': columns['test changed'][1:]}"),
        "no run of a pair may be left out",
    ),
    ("record", LINE, with_facts("'rule': 12 * '0'"), "has changed since these runs"),
    (
        "record",
        WORD,
        '{"holds": "undecided", "fails": "holds", "undecided": "holds"}[' + WORD + "]",
        "the rule decides",
    ),
]

MASTER = json.loads(Path(__file__).with_name("lab8.ipynb").read_text(encoding="utf8"))
RECORD = next(cell["source"] for cell in MASTER["cells"] if cell["id"] == "record")
TYPED = RECORD[RECORD.index("    line = (") : RECORD.index("    columns =")]  # the line, as the reference types it

RIGHT = [
    (
        "claim",
        """
def claim():
    arms = {name: dict(batch_size=500, epochs=60, optimizer="sgd", lr=np.float64(lr), **more)
            for name, lr, more in (("changed", 0.02, {"momentum": 0.9}), ("baseline", 0.2, {}))}
    return dict(
        margin=np.float64(1.5), below=2, above=-2, unit="points", arms=arms, changes=("momentum", "lr"),
        measure="test accuracy with momentum minus without", rows=np.int64(1000), data="mnist1d", net="small-mlp",
        name="momentum acts as a rate, with large batches", source="Smith and Le 2018, for another network",
        words="at one rate over 1 - m, momentum changes no accuracy",
    )
""",
    ),
    (
        "effect",
        """
def effect(columns):
    return [b - a for a, b in zip(columns["test baseline"], columns["test changed"])]
""",
    ),
    (
        "effect",
        """
def effect(columns):
    columns = {name: torch.tensor(values, dtype=torch.float64) for name, values in columns.items()}
    return columns["test changed"] - columns["test baseline"]
""",
    ),
    (
        "seeds_for",
        """
def seeds_for(pilot, margin, most):
    # The exact power of the t test.
    sd = (sum((one - sum(pilot) / len(pilot))**2 for one in pilot) / (len(pilot) - 1))**0.5
    for n in range(5, most):
        if stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, margin / sd * n**0.5) >= 0.8:
            return n
    return most
""",
    ),
    (
        "seeds_for",
        """
def seeds_for(pilot, margin, most):
    n = np.arange(5, 5000)
    enough = (stats.t.ppf(0.975, n - 1) + stats.t.ppf(0.8, n - 1)) * np.std(pilot, ddof=1) <= margin * np.sqrt(n)
    return torch.tensor(float(min(most, n[np.argmax(enough)])))
""",
    ),
    (
        "experiment",
        """
def experiment(trained, arms, seeds):
    # One arm after the other, and arrays.
    found = {arm: [trained(recipe=recipe, seed=seed) for seed in seeds] for arm, recipe in arms.items()}
    return {f"{what} {arm}": np.array([one[what] for one in runs])
            for arm, runs in found.items() for what in runs[0]}
""",
    ),
    (
        "experiment",
        """
def experiment(trained, arms, seeds):
    columns = {}
    for seed in seeds[::-1]:
        for arm in ("changed", "baseline"):
            for what, value in trained(arms[arm], seed).items():
                columns[f"{what} {arm}"] = [value] + columns.get(f"{what} {arm}", [])
    return {name: torch.tensor(values) for name, values in columns.items()}
""",
    ),
    (
        "entry",
        """
def entry(claim, effects):
    e = torch.tensor(effects).double()
    e = e[~e.isnan()]
    low, high = stats.t.interval(0.95, len(e) - 1, loc=float(e.mean()), scale=float(e.std()) / len(e) ** 0.5)
    bounds = {"above": -float("inf"), "below": float("inf"), **claim}
    word = "undecided"
    if len(e) > 4:
        if low > bounds["above"] and high < bounds["below"]:
            word = "holds"
        elif high < bounds["above"] or low > bounds["below"]:
            word = "fails"
    return dict(word=word, seeds=len(e), effect=e.mean(), low=low, high=high)
""",
    ),
    (
        "entry",
        """
def entry(claim, effects):
    from flatlab.study.ledger import bounds, verdict
    kept = [one for one in effects if one == one]
    ends = {name: claim[name] for name in ("above", "below") if name in claim}
    return {**dict(zip(("effect", "low", "high"), bounds(kept))), "seeds": len(kept), "word": verdict(kept, **ends)}
""",
    ),
    (
        "picture",
        """
def picture(claim, effects):
    plt.figure()
    line = entry(claim, effects)
    m, l, h = (float(line[name]) for name in ("effect", "low", "high"))
    plt.hist(effects)
    plt.axvspan(l, h, alpha=0.3)
    plt.title(str(len(effects)) + " seeds")
    alt = f"On average {m:+.2f} over {len(effects)} pairs of runs, 95 % interval {l:.2f}–{h:.2f}, beside its bound"
    return {"alt": alt, "data": {"effects": np.array(effects), "low": l, "high": h, "mean": m}}
""",
    ),
    (
        "record",
        f"""
def record():
    # The same facts in another order and over several lines, and the word by the ledger.
    from flatlab.study.ledger import verdict
{TYPED}
    facts, rule = dict(reversed(json.loads(line).items())), claim()
    effects = np.array(effect(facts["columns"]), float)
    return [json.dumps(facts, indent=1), verdict(effects, above=rule["above"], below=rule["below"])]
""",
    ),
]
