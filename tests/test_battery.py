"""The default search on the battery: not more than 3 % below scipy's two forms (10 iterations) and 20 steps of
Auto-PGD, in phi.

The nets of benchmarks/battery.py were fixed before any search was run on them. The search is judged at their recorded
points in float64, so that the answer does not depend on the processor. Where the default does fall short is listed
here. At another point of the same net another cell can (results/battery.json, whose nets are trained where it is made).
"""

import functools
import sys

import pytest
import torch
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import battery

import flatlab

KNOWN = {
    (
        "mlp 4x256 BN, mnist1d, batch 300",
        5e-4,
        None,
    ): "10 % below 20 steps of Auto-PGD after 10 steps; 5 % above it after 15",
    (
        "mlp 2x30 tanh, regression",
        1e-3,
        None,
    ): "21 % below the paper's scipy, which ends on another hill, as no other method does",
    (
        "mlp 2x30 tanh, regression",
        5e-4,
        None,
    ): "20 % below the paper's scipy, which ends on another hill, as no other method does",
}
CELLS = [
    (entry.name, eps, subspace) for entry in battery.BATTERY for eps in battery.EPS for subspace in battery.SUBSPACES
]


@functools.cache
def rows(name, dtype=torch.float64):
    """The measured rows of a net at its recorded point, by eps and subspace."""
    entry = next(entry for entry in battery.BATTERY if entry.name == name)
    methods = {method: battery.METHODS[method] for method in ("lbfgs", *battery.RIVALS)}
    return {(row["eps"], row["subspace"]): row for row in battery.measure(entry.recorded(dtype), methods)}


def marked(*cell):
    marks = [pytest.mark.xfail(reason=KNOWN[cell], strict=True, raises=AssertionError)] if cell in KNOWN else []
    return pytest.param(*cell, marks=marks, id=f"{cell[0]}-{cell[1]:g}-{cell[2] or 'full'}")


@pytest.mark.parametrize("name, eps, subspace", [marked(*cell) for cell in CELLS])
def test_the_default_is_at_most_three_percent_below_its_rivals(name, eps, subspace):
    row = rows(name)[eps, subspace]
    assert row["evaluations"]["lbfgs"] <= 11
    assert battery.share(row) >= 0.97


@pytest.mark.parametrize(
    "name, eps, one", [("mlp 64, digits, loss 1e-7", 5e-3, 0.3), ("conv, mnist1d, batch 200", 1e-2, 0.8)]
)
def test_in_a_box_larger_than_the_papers_the_default_is_near_the_best_of_many_starts(name, eps, one):
    """One start finds the share `one` of the rise, or less."""
    f = next(entry for entry in battery.BATTERY if entry.name == name).recorded(torch.float64)
    best = flatlab.sharpness(f, eps=eps, starts=12, seed=100).percent
    assert flatlab.sharpness(f, eps=eps).percent > 0.9 * best
    alone = flatlab.sharpness(f, eps=eps, starts=1)
    assert alone.percent < one * best and not alone.maximum.converged


def test_the_battery_is_as_wide_as_it_says():
    bases = [rows(entry.name)[1e-3, None]["base"] for entry in battery.BATTERY]
    assert len(bases) >= 12 and min(bases) < 1e-7 and max(bases) > 1
    assert {(name, eps, subspace) for name, eps, subspace in CELLS} >= set(KNOWN)


@pytest.mark.parametrize("name", [entry.name for entry in battery.BATTERY if "1e-7" in entry.name])
def test_a_net_trained_to_loss_1e_7_is_not_flat(name):
    """There scipy's absolute stopping rule returns the centre, and so sharpness 0. In float32, as nets are measured."""
    row = rows(name, torch.float32)[1e-3, None]
    assert 0 < row["base"] < 2e-7
    assert row["phi"]["scipy"] == 0 < row["phi"]["lbfgs"]
    assert row["phi"]["lbfgs"] / 100 > 0.5 * row["base"]
