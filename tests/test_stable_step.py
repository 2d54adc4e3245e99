"""What a step does along the steepest direction: the linear law with the curvature measured again at each step."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from flatlab.data import Split
from flatlab.measure.spectrum import eigenvalues
from flatlab.objective import Objective
from flatlab.study import columns
from flatlab.study.curvature import stable_step


def smooth_case():
    """A net without kinks on a few rows, some way down its loss, where the curvature still changes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 6, generator=generator)
    data = Split(x, (x[:, 0] > 0).long())
    net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    f = Objective(net, data)
    at = torch.randn(f.size, generator=generator, dtype=torch.float64) / 2
    for _ in range(20):
        at = at - 0.5 * f.gradient(at)[1]
    nn.utils.vector_to_parameters(at, net.parameters())
    return SimpleNamespace(network=lambda x: net, data=SimpleNamespace(train=data), runs={"SB": SimpleNamespace(x=at)})


def test_the_difference_along_the_steepest_direction_obeys_the_law_at_each_step():
    case = smooth_case()
    found = stable_step(case, (0.9, 1.1), steps=4)
    assert found[columns.DEPARTURE] == pytest.approx([0, 0], abs=0.03)
    assert found[columns.LAW] == pytest.approx([0.8, 1.2])
    f = Objective(case.network(None), case.data.train)
    assert found["lambda_max"] == pytest.approx(float(eigenvalues(f.hessian(f.x), tol=1e-4)), rel=1e-3)
    moved = [after / found["lambda_max"] for after in found["lambda_max after"]]
    assert min(abs(1 - share) for share in moved) > 0.02  # else the curvature of the first step would do as well
