"""A device's memory that is used up, wherever it happens: smaller parts where that gives the same number, else one
sentence that says what to do, with nothing changed and nothing half-written."""

import copy
import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import flatlab
from flatlab import Data, Split, cli
from flatlab.measure import noise
from flatlab.measure.memory import UsedUp, is_used_up
from flatlab.measure.region import Region
from flatlab.training import trainer as trainers
from flatlab.training.trainer import Trainer

CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore lines")
PROCESSOR = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes.")


class Greedy(nn.Module):
    """A net for which the memory is used up by more rows than so many, while its parameters are as they are."""

    def __init__(self, most, *more, error=CUDA):
        super().__init__()
        torch.manual_seed(0)
        self.most, self.error = most, [error]
        self.parts = nn.Sequential(nn.Linear(6, 5), *more, nn.Tanh(), nn.Linear(5, 3))

    def forward(self, x):
        if len(x) > self.most:
            raise copy.copy(self.error[0])
        return self.parts(x)


def split(rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Split(torch.randn(rows, 6, generator=generator), torch.randint(3, (rows,), generator=generator))


def data(test=20):
    return Data("rows", 3, split(256), split(test, seed=1))


def refuse(*_, **__):
    raise copy.copy(CUDA)


def train(net, rows=None, **options):
    return flatlab.train(net, rows or data(), progress=False, **{"batch_size": 128, "epochs": 2, **options})


def states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


@pytest.mark.parametrize(
    "error", [CUDA, PROCESSOR, MemoryError(), RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be")]
)
@pytest.mark.parametrize(
    "options, advice",
    [
        ({}, "take a batch_size below 128, update='ghost', which .* strength=32 rows, a smaller network or another"),
        ({"update": "sam"}, r"take a batch_size below 128, a smaller network or another device\.$"),
        ({"update": "ghost", "strength": 128}, "take a smaller strength, a smaller network or another device"),
    ],
)
def test_a_step_that_does_not_fit_is_one_sentence_and_leaves_everything_as_it_was(error, options, advice, tmp_path):
    net = Greedy(64, error=error)
    before, drawn = copy.deepcopy(net.state_dict()), states()
    with pytest.raises(
        torch.OutOfMemoryError, match=f"^the memory of cpu does not suffice for training .*: {advice}"
    ) as told:
        train(net, store=tmp_path, **options)
    assert "\n" not in str(told.value)
    assert told.value.__context__ is None, "torch's error would hold what has filled the memory"
    assert states() == drawn and list(tmp_path.iterdir()) == []
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_single_row_that_does_not_fit_has_no_smaller_batch():
    with pytest.raises(UsedUp, match="take a smaller network or another device"):
        train(Greedy(0), batch_size=1)


def test_in_parts_a_batch_that_does_not_fit_is_the_same_step():
    whole, parts = train(Greedy(128)), train(Greedy(64), update="ghost", strength=64)
    torch.testing.assert_close(parts.x, whole.x, rtol=0, atol=1e-6)
    assert (parts.x - parts.x0).norm() > 1e-3


def test_the_test_split_is_measured_in_parts_that_fit():
    with pytest.warns(UserWarning, match="used up by 300 rows at once .* goes on with 150"):
        halved = train(Greedy(200), data(test=300))
    whole = train(Greedy(300), data(test=300))
    assert torch.equal(halved.x, whole.x)
    assert halved.history["test_loss"] == pytest.approx(whole.history["test_loss"], rel=1e-6)


def test_a_test_split_that_batchnorm_needs_whole_is_said_in_the_terms_of_training():
    net = Greedy(200, nn.BatchNorm1d(5, track_running_stats=False))
    with pytest.raises(
        UsedUp, match=r"^the memory does not suffice for the test split, .* running_averages=True"
    ) as told:
        train(net, data(test=300))
    assert "chunk" not in str(told.value)


def test_what_does_not_fit_in_the_optimizer_or_in_what_is_kept_is_the_same_sentence(monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setitem(trainers.TORCH_OPTIMIZERS, "adam", refuse)
        with pytest.raises(UsedUp, match="does not suffice for training"):
            train(Greedy(256))
    state, calls = Trainer.state, []

    def once(trainer):
        calls.append(1)
        return state(trainer) if len(calls) == 1 else refuse()

    monkeypatch.setattr(Trainer, "state", once)
    with pytest.raises(UsedUp, match="does not suffice for training"):
        train(Greedy(256), store=tmp_path, epochs=5)
    monkeypatch.undo()
    assert [file.suffix for file in tmp_path.iterdir()] == [".partial"], "the epoch before is kept whole"
    assert torch.equal(train(Greedy(256), store=tmp_path, epochs=5).x, train(Greedy(256), epochs=5).x)


def test_data_that_do_not_fit_on_a_device_are_one_sentence(monkeypatch):
    rows = split(50)
    monkeypatch.setattr(torch.Tensor, "to", refuse)
    with pytest.raises(UsedUp, match=r"^the memory of meta does not suffice for 50 rows .* as subset\(25\) does"):
        rows.to("meta")
    with pytest.raises(UsedUp, match="does not suffice for .* rows"):
        flatlab.load("mnist1d", device="cpu")


class Copies(nn.Linear):
    def __deepcopy__(self, memo):
        raise copy.copy(CUDA)


def test_a_network_whose_copy_does_not_fit_is_not_said_to_be_at_fault():
    with pytest.raises(UsedUp, match="does not suffice for an Objective, which holds a copy of the network"):
        flatlab.Objective(Copies(6, 3), split(50))
    with pytest.raises(UsedUp, match="does not suffice for training"):
        train(Copies(6, 3))


def weighted(outputs, targets):
    """No mean over the rows; seen so in less than all the rows, for which alone the memory suffices."""
    if len(targets) < 50:
        raise copy.copy(CUDA)
    return cross_entropy(outputs, targets, torch.tensor([1.0, 20.0, 300.0], dtype=outputs.dtype))


def test_a_check_that_does_not_fit_is_not_passed():
    with pytest.raises(UsedUp, match="does not suffice for an Objective"):
        flatlab.Objective(nn.Linear(6, 3), split(60), loss=weighted, chunk=50)


class Operator:
    shape, dtype, device = (50, 50), torch.float64, torch.device("cpu")

    def __matmul__(self, v):
        raise copy.copy(CUDA)


def test_a_measurement_whose_vectors_do_not_fit_is_one_sentence(monkeypatch):
    with pytest.raises(UsedUp, match="does not suffice for eigenvalues, which holds several vectors .* ask for less"):
        flatlab.eigenvalues(Operator(), 2)
    f = flatlab.Objective(nn.Linear(6, 3), split(50))
    monkeypatch.setattr(Region, "steepest", refuse)
    with pytest.raises(UsedUp, match="does not suffice for maximise"):
        flatlab.sharpness(f, eps=1e-3)


def test_the_rows_own_gradients_are_taken_one_by_one_where_they_do_not_fit_together(monkeypatch):
    f = flatlab.Objective(nn.Linear(6, 3), split(50))
    expected = flatlab.gradient_variance(f).value
    monkeypatch.setattr(noise, "vmap", lambda _: refuse)
    assert flatlab.gradient_variance(f).value == pytest.approx(expected, rel=1e-5)
    monkeypatch.setattr(noise, "grad", lambda _: refuse)
    with pytest.raises(UsedUp, match="does not suffice for gradient_variance"):
        flatlab.gradient_variance(f)


def test_the_command_line_says_it_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(Trainer, "step", refuse)
    assert cli.main(["train", "mlp", "mnist1d", "--epochs", "1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("flatlab: the memory of ") and "\n" not in error[:-1] and error.count("\n") == 1


def test_other_errors_are_not_taken_for_it():
    for error in (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("out of memory"), OSError(12)):
        assert not is_used_up(error)
    hides = RuntimeError("CUDA error: operation failed due to a previous error during capture")
    assert not is_used_up(hides)
    hides.__context__ = CUDA
    assert is_used_up(hides)
    with warnings.catch_warnings(), pytest.raises(ZeroDivisionError):
        train(Greedy(64, error=ZeroDivisionError()))
