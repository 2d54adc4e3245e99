"""What orders nets by their test error: the bound by its closed form."""

import math

import pytest
import torch

from flatlab.study.correlations import pac_bayes


class Exact:
    """A net that classifies every row right, whatever is added to its weights."""

    rows = 400

    def accuracy(self, x):
        return 100.0


@pytest.mark.parametrize("distance", (0.0, 2.0))
def test_the_best_of_five_bounds_leaves_a_fifth_of_the_probability_to_each(distance):
    found = pac_bayes(Exact(), torch.zeros(3), distance, samples=10)
    divergence = distance**2 / (2 * 0.1**2)  # without training error the widest cloud is best
    each = 0.05 / 5
    assert found == pytest.approx(math.sqrt((divergence + math.log(2 * 20 / each)) / 800))
