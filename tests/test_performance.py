"""Appendix C by its closed form, and the sums of the study notes' table, each slip by its name."""

import numpy as np
import pytest

from flatlab.study import controls, performance
from flatlab.study.performance import (
    NOTES,
    all_reduce_seconds,
    allowed_updates_ratio,
    batches,
    fitted_time,
    large_batch_pays,
    parallel_efficiency,
)
from flatlab.training.trainer import batch_sizes


def test_the_price_of_an_update_and_of_a_row_are_found_again():
    sizes = [8, 32, 125, 500, 2000]
    assert fitted_time(sizes, [2e-3 + 3e-5 * m for m in sizes]) == pytest.approx((2e-3, 3e-5))
    errors = 1 + 0.05 * np.random.default_rng(0).normal(size=5)
    assert fitted_time(sizes, errors * [2e-3 + 3e-5 * m for m in sizes]) == pytest.approx((2e-3, 3e-5), rel=0.1)


def test_no_price_is_below_nought():
    """Times that rise faster than the rows have no such line through them."""
    a, b = fitted_time([1, 10, 100], [1e-6, 1e-4, 1e-2])
    assert a == 0 and b > 0


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 1000])
def test_a_ring_sends_less_than_twice_the_gradient_in_twice_as_many_messages_as_there_are_others(workers):
    alone = all_reduce_seconds(1e6, workers, 0, 1e9)
    assert alone == pytest.approx(2 * (workers - 1) / workers * 1e-3) and alone < 2e-3
    assert all_reduce_seconds(0, workers, 1e-4, 1e9) == pytest.approx(2 * (workers - 1) * 1e-4)


def test_the_papers_example_of_appendix_c():
    """ "if f_s(P) = 0.2 and B_s / B_l = 0.1, the LB method must converge in at most half as many iterations"."""
    assert allowed_updates_ratio(small=256, large=2560, efficiency=0.2) == pytest.approx(0.5)


@pytest.mark.parametrize("workers", [1, 2, 64])
@pytest.mark.parametrize("efficiency", [0.1, 0.5, 1.0])
def test_the_inequality_and_its_ratio_are_one_and_do_not_depend_on_the_number_of_workers(workers, efficiency):
    ratio = allowed_updates_ratio(32, 400, efficiency)
    for share, pays in ((0.99, True), (1.01, False)):
        assert large_batch_pays(share * ratio * 1000, 1000, 400, 32, workers, efficiency) is pays


def test_at_full_efficiency_the_large_batch_must_take_fewer_rows_in_all():
    assert allowed_updates_ratio(32, 400, 1.0) == 32 / 400


def test_efficiency_is_one_where_workers_share_the_time_and_one_over_p_where_they_do_not():
    assert parallel_efficiency(8.0, 2.0, 4) == 1 and parallel_efficiency(8.0, 8.0, 4) == 1 / 4


def test_the_experiment_takes_the_two_formulas():
    assert controls.parallel_efficiency is performance.parallel_efficiency
    assert controls.allowed_updates_ratio is performance.allowed_updates_ratio


# The table with four GPUs


def test_slip_502_images_at_batch_30_are_no_502_over_32_iterations():
    """It prints "502/32 = 15": the division is by another size, and its remainder is a batch as well."""
    assert (batches(502, 30), batches(502, 30, last=False), batches(502, 32, last=False)) == (17, 16, 15)
    assert len(batch_sizes(502, 30)) == 17


def test_slip_256_is_printed_twice():
    assert len(set(performance.SIZES_IN_ITS_TEXT)) == 1 < len(NOTES)
    assert NOTES[32].seconds > NOTES[256].seconds  # eight times as many updates per epoch: the two cannot be one size


def test_slip_1915_seconds_are_1959():
    assert round(NOTES[32].seconds * NOTES[32].epochs) == 1959 != NOTES[32].in_all
    assert round(NOTES[256].seconds * NOTES[256].epochs) == 7377 == NOTES[256].in_all
    assert NOTES[256].in_all / NOTES[32].in_all == pytest.approx(3.85, abs=0.005)  # "almost four times"


def test_slip_about_3700_seconds_are_3803():
    assert round(NOTES[256].seconds_on_four * NOTES[256].epochs) == 3803 > NOTES[256].in_all_on_four


def test_four_gpus_do_the_work_of_two():
    efficiency = parallel_efficiency(NOTES[256].seconds, NOTES[256].seconds_on_four, 4)
    assert round(efficiency, 2) == 0.48  # where appendix C assumes 1


def test_its_conclusion_is_appendix_cs():
    """On four GPUs batch 32 takes "slightly more" than on one, so its efficiency is a quarter at most; 256 takes 0.76
    times as many updates where half is allowed."""
    ratio = NOTES[256].epochs / NOTES[32].epochs * 32 / 256
    assert ratio == pytest.approx(0.758, abs=1e-3) and allowed_updates_ratio(32, 256, 1 / 4) == 0.5
    assert not large_batch_pays(ratio, 1, 256, 32, 4, 1 / 4)
