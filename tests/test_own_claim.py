"""Lab 8's rule: what changes its fingerprint, and that it judges as the ledger does."""

import itertools
import json
import math
import re

import numpy as np
import pytest
from masters import EVERY

from flatlab.checks.answer import Wrong
from flatlab.checks.lab8 import AMOUNTS, ENTRIES, entered, fingerprint, in_pairs, made_up, registered
from flatlab.study.ledger import bounds, verdict

LAB8 = next(lab for lab in EVERY if lab.name == "lab8")
CLAIM = LAB8.function(LAB8.reference["claim"])()


def effect(columns):
    return np.subtract(columns["test changed"], columns["test baseline"]).tolist()


def test_a_rule_has_one_fingerprint_however_it_is_written():
    def other_words(columns):  # the same numbers
        return [b - a for a, b in zip(columns["test baseline"], columns["test changed"])]

    first = fingerprint(CLAIM, effect)
    assert first == fingerprint(dict(reversed(CLAIM.items())), other_words)
    assert first == fingerprint({**CLAIM, "above": np.float32(-2)}, effect)
    assert registered(registered(CLAIM)) == registered(CLAIM)


@pytest.mark.parametrize("change", [{"above": -1.9}, {"margin": 1.4}, {"rows": 900}, {"words": "another"}])
def test_a_change_of_the_claim_is_another_fingerprint(change):
    assert fingerprint({**CLAIM, **change}, effect) != fingerprint(CLAIM, effect)


def test_a_change_of_an_arm_or_of_the_effect_is_another_fingerprint():
    longer = {arm: {**recipe, "epochs": 61} for arm, recipe in CLAIM["arms"].items()}
    assert fingerprint({**CLAIM, "arms": longer}, effect) != fingerprint(CLAIM, effect)
    assert fingerprint(CLAIM, lambda c: [-one for one in effect(c)]) != fingerprint(CLAIM, effect)


@pytest.mark.parametrize("claim, effects", ENTRIES)
def test_an_entry_is_the_ledgers(claim, effects):
    kept = [one for one in effects if math.isfinite(one)]
    line = entered(claim, effects)
    assert line["word"] == verdict(kept, **claim)
    assert [line[name] for name in AMOUNTS] == pytest.approx([len(kept), *bounds(kept)])


def test_a_logarithm_of_a_ratio_is_an_effect_and_a_rank_is_none():
    def ratio(columns):
        return np.log10(np.divide(columns["phi changed"], columns["phi baseline"]))

    in_pairs(ratio, made_up(6, seed=1))
    with pytest.raises(Wrong):
        in_pairs(lambda columns: np.argsort(np.argsort(ratio(columns))), made_up(6, seed=1))


def test_the_examples_line_is_of_a_run_as_the_expected_output_shows_it():
    """A line of an older run had other seeds than the plan above it. Where processors differ, the largest number stands
    below the least, and a line has each word."""
    line, word = LAB8.function(LAB8.reference["record"])()
    facts, shown = json.loads(line), {cell.id: cell.source for cell in LAB8.master.cells}
    effects = effect(facts["columns"])
    for cell, found, words in (
        ("plan-expected", facts["planned"], r": +NUMBER seeds"),
        ("entry-expected", len(effects), r", +NUMBER seeds"),
        ("entry-expected", float(f"{np.mean(effects):.3g}"), rf"^  (?:[a-z]+ or )*{word}(?: or [a-z]+)*; NUMBER "),
        ("record-expected", len(facts["seeds"]), rf"^NUMBER seeds, .*: (?:[a-z]+ or )*{word}"),
    ):
        asked = words.replace("NUMBER", r"([0-9.]+)")
        lines = itertools.pairwise(shown[cell].splitlines())
        least, below = next((least, below) for line, below in lines if (least := re.search(asked, line)))
        beneath = re.finditer(r"[0-9.]+", below) if re.fullmatch(r"[ to0-9.+-]*", below) else ()
        most = [one[0] for one in beneath if one.start() < least.end(1) and least.start(1) < one.end()]
        assert float(least[1]) <= found <= float((most or [least[1]])[0]), (cell, found)
