"""The study's splits: test rows that are many, validation rows that nothing else has seen."""

import random

import numpy as np
import pytest
import torch

import flatlab
from flatlab.data import Data, Split
from flatlab.study import splits


def rows(split):
    """Its rows, so that two splits can be compared as sets."""
    return {row.numpy().tobytes() for row in split.x.cpu()}


def test_mnist1d_has_ten_thousand_fresh_test_rows_and_as_many_for_validation():
    own, study, held = flatlab.load("mnist1d"), splits.loaded("mnist1d"), splits.validation("mnist1d")
    assert torch.equal(study.train.x, own.train.x) and (len(study.test), len(held)) == (10_000, 10_000)
    parts = [rows(part) for part in (own.train, own.test, study.test, held)]
    assert len(set.union(*parts)) == sum(map(len, parts))  # no row twice
    for part in (study.test, held):  # the same distribution: ten classes alike, mean 0, deviation 1
        assert part.y.bincount().min() > 900
        assert abs(part.x.mean()) < 0.01 and part.x.std().item() == pytest.approx(1, abs=0.01)


def test_test_rows_are_mixed_and_a_part_has_those_of_the_whole():
    """BatchNorm takes its statistics from a chunk of them, which must be like any other."""
    own, whole, part = (
        flatlab.load("digits").test,
        splits.loaded("digits").test,
        splits.loaded("400 rows of digits").test,
    )
    assert rows(whole) == rows(own) and not torch.equal(whole.x, own.x)
    assert torch.equal(part.x, whole.x) and torch.equal(part.y, whole.y)
    assert len(splits.loaded("100 rows of digits").test) == 100


def test_the_name_of_a_part_is_read_in_one_way():
    assert splits.part_of("1000 rows of cifar10") == (1000, "cifar10")
    assert splits.part_of("cifar10") == (None, "cifar10")


@pytest.mark.parametrize("name", ["300 rows of mnist1d", "300 rows of digits"])
def test_no_row_is_trained_on_and_chosen_by(name):
    data, held = splits.loaded(name), splits.validation(name)
    assert len(data.train) == 300 and len(held) == 300
    assert not rows(data.train) & rows(held) and not rows(data.test) & rows(held)


def test_validation_takes_the_rows_that_are_left_and_says_when_there_are_none():
    assert len(splits.validation("1400 rows of digits")) == 37
    with pytest.raises(ValueError, match="no training row left for validation: train on a part"):
        splits.validation("digits")


def test_making_the_fresh_rows_changes_no_random_state(monkeypatch):
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.rand()
    random.seed(1)
    np.random.seed(1)
    monkeypatch.setattr(splits, "FRESH", 50)
    made = splits._generate()
    assert made["x"].shape == (100, 40) and (random.random(), np.random.rand()) == expected


def test_nor_does_an_error_on_the_way(monkeypatch):
    import mnist1d.data

    def fail(arguments):
        random.seed(42)
        np.random.seed(42)
        raise RuntimeError("no")

    monkeypatch.setattr(mnist1d.data, "make_dataset", fail)
    before = random.getstate(), np.random.get_state()
    with pytest.raises(RuntimeError):
        splits._generate()
    assert random.getstate() == before[0] and np.array_equal(np.random.get_state()[1], before[1][1])


def test_colour_images_lie_pixel_after_pixel_in_an_experiment_and_as_they_were_loaded_elsewhere(monkeypatch):
    plain = torch.rand(30, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    colours = Data("colours", 2, Split(plain, torch.zeros(30).long()), Split(plain, torch.zeros(30).long()))
    monkeypatch.setattr(splits, "load", lambda name: colours)
    for name in ("colours", "20 rows of colours"):
        found = splits.loaded(name)
        for split in (found.train, found.test, splits.validation("20 rows of colours")):
            assert split.x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(splits.loaded("colours").train.x, plain) and plain.is_contiguous()
