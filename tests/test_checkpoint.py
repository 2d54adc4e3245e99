"""A run and its files: no network gets another's, nothing finished is lost, and what cannot be trusted is trained
again."""

import contextlib
import copy
import errno
import io
import os
import tempfile
import time
import warnings

import numpy as np
import pytest
import torch
from test_identity import made
from torch import nn
from tqdm import tqdm

import flatlab
from flatlab import cli
from flatlab.training import checkpoint
from flatlab.training import train as training
from flatlab.training.trainer import Trainer


@pytest.fixture(scope="module")
def data():
    return flatlab.load("digits", device="cpu").subset(60)


def train(net, data, store, **changes):
    return flatlab.train(net, data, **{"batch_size": 20, "epochs": 2, "progress": False, "store": store, **changes})


CELL = """
    SCALE = 1.0
    def squash(x):
        return torch.tanh(x) * SCALE
    class Net(nn.Module):
        def __init__(self, alpha=0.1, activation=squash):
            super().__init__()
            torch.manual_seed(0)
            self.alpha, self.activation = alpha, activation
            self.inner, self.frozen = nn.Linear(64, 12), nn.Linear(12, 10)
            self.frozen.requires_grad_(False)
            self.register_buffer("shift", torch.zeros(10))
        def forward(self, x):
            return self.alpha * self.frozen(self.activation(self.inner(x.flatten(1)))) + self.shift
"""


def shifted(model):
    model.shift += torch.arange(10.0)
    return model


def thawed(model):
    with torch.no_grad():
        model.frozen.weight.neg_()
    return model


@pytest.mark.parametrize(
    "other",
    [
        lambda: made(CELL)["Net"](alpha=10),
        lambda: thawed(made(CELL)["Net"]()),
        lambda: shifted(made(CELL)["Net"]()),
        lambda: made(CELL)["Net"](activation=torch.relu),
        lambda: made(CELL.replace("torch.tanh(x)", "torch.sin(x)"))["Net"](),
        lambda: made(CELL.replace("SCALE = 1.0", "SCALE = 2.0"))["Net"](),
    ],
    ids=["an attribute", "a frozen part", "a buffer", "an activation", "a helper function", "its global"],
)
def test_no_network_gets_anothers_run(data, tmp_path, other):
    """The classes are those of a notebook's cell: they have no source file."""
    one = train(made(CELL)["Net"](), data, tmp_path)
    found = train(other(), data, tmp_path)
    assert torch.equal(one.x0, found.x0) and not torch.equal(one.x, found.x)
    assert torch.equal(train(other(), data, None).x, found.x)
    again = train(made(CELL.replace("class Net", "# mine\n    class Net"))["Net"](), data, tmp_path)
    assert again.history == one.history  # also the seconds: it was read
    assert len(list(tmp_path.iterdir())) == 2


def test_what_a_key_does_not_see_the_probe_does(data, tmp_path, monkeypatch):
    """As if the fingerprint of every network were the same."""
    monkeypatch.setattr("flatlab.training.train.fingerprint", lambda *things, without: ("", True))
    one = train(made(CELL)["Net"](), data, tmp_path)
    with pytest.warns(UserWarning, match="computes something else from x0: it is trained again"):
        other = train(made(CELL)["Net"](alpha=10), data, tmp_path)
    assert torch.equal(other.x, train(made(CELL)["Net"](alpha=10), data, None).x)
    with pytest.warns(UserWarning, match="trained again"):
        assert torch.equal(train(made(CELL)["Net"](), data, tmp_path).x, one.x)


def test_a_variable_of_the_environment_whose_name_is_made_at_run_time_is_seen_by_what_it_changes(
    data, tmp_path, monkeypatch
):
    class Scaled(nn.Sequential):
        def forward(self, x):
            return super().forward(x) * float(os.environ["flatlab_scale".upper()])

    def run(scale, store):
        monkeypatch.setenv("FLATLAB_SCALE", scale)
        torch.manual_seed(0)
        return train(Scaled(nn.Flatten(), nn.Linear(64, 10)), data, store)

    run("1", tmp_path)
    with pytest.warns(UserWarning, match="computes something else from x0: it is trained again"):
        other = run("10", tmp_path)
    assert torch.equal(other.x, run("10", None).x)


def test_a_probe_leaves_everything_as_it_was(data):
    class Rude(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.norm, self.calls = nn.Linear(64, 10), nn.BatchNorm1d(10), 0

        def forward(self, x):
            self.calls += 1
            torch.rand(())
            return self.norm(self.layer(x.sub_(1).flatten(1)))

    model, rows, random = Rude(), data.train.x.clone(), torch.random.get_rng_state()
    before = copy.deepcopy(model.state_dict())
    assert checkpoint.probe(model, data.train.x).shape == (16, 10)
    assert model.calls == 0 and model.training and all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert torch.equal(rows, data.train.x) and torch.equal(random, torch.random.get_rng_state())


@pytest.mark.parametrize("text", ["if len(x) == 16: raise RuntimeError", "x = x + torch.randn_like(x)"])
def test_a_network_that_cannot_be_probed_is_trained_and_read_all_the_same(data, tmp_path, text):
    """One is not made for 16 rows, one is noisy in evaluation mode."""
    cell = CELL.replace("            return self.alpha", f"            {text}\n            return self.alpha")
    assert checkpoint.probe(made(cell)["Net"](), data.train.x) is None
    if "randn" not in text:
        one = train(made(cell)["Net"](), data, tmp_path)
        assert train(made(cell)["Net"](), data, tmp_path).history == one.history


@pytest.mark.parametrize("partial", [False, True], ids=["finished", "half-finished"])
def test_a_damaged_file_is_one_warning_and_the_run_trained_again_to_the_same_bits(data, tmp_path, monkeypatch, partial):
    whole = train("plain-mlp", data, None, epochs=4)
    if partial:
        with stopped(monkeypatch, after=2), pytest.raises(KeyboardInterrupt):
            train("plain-mlp", data, tmp_path, epochs=4)
    else:
        train("plain-mlp", data, tmp_path, epochs=4)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    content[-100] ^= 4  # in the payload
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="is damaged .*: what it held is computed again") as said:
        again = train("plain-mlp", data, tmp_path, epochs=4)
    assert len(said) == 1 and torch.equal(whole.x, again.x)
    assert [file.suffix for file in tmp_path.iterdir()] == [".safetensors"]
    assert torch.equal(train("plain-mlp", data, tmp_path, epochs=4).x, whole.x)


@contextlib.contextmanager
def stopped(monkeypatch, after, error=KeyboardInterrupt, where="step"):
    """Training is stopped within the epoch that follows `after` whole ones: in its second step, or where its state is
    kept."""
    real, calls = getattr(Trainer, where), []

    def stopping(self, *arguments):
        calls.append(1)
        if len(calls) == {"step": 3 * after + 2, "state": after + 1}[where]:
            raise error
        return real(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, where, stopping)
        yield


@pytest.mark.parametrize("where", ["step", "state"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_whatever_stops_a_run_loses_at_most_the_epoch_under_way(data, tmp_path, monkeypatch, error, where):
    whole = train("mlp", data, None, epochs=6, keep=(2, 5))
    with stopped(monkeypatch, 4, error, where), pytest.raises(error):
        train("mlp", data, tmp_path, epochs=6, keep=(2, 5))
    ((_, partial, facts),) = flatlab.Store(tmp_path).runs()
    assert partial and all(len(column) == 4 for column in facts["history"].values())
    said, done = io.StringIO(), []
    real = Trainer.epoch
    monkeypatch.setattr(Trainer, "epoch", lambda self, *arguments: done.append(1) or real(self, *arguments))
    bar = lambda total, unit, label, show, done: tqdm(total=total, initial=done, disable=not show)
    monkeypatch.setattr(training, "progress_bar", bar)  # TQDM_DISABLE or not
    with contextlib.redirect_stderr(said):
        run = train("mlp", data, tmp_path, epochs=6, keep=(2, 5), progress=True)
    assert len(done) == 2 and torch.equal(run.x, whole.x) and torch.equal(run.points[2], whole.points[2])
    assert "mlp digits[60,0] batch 20: resumes after epoch 4 of 6" in said.getvalue()
    assert [file.suffix for file in tmp_path.iterdir()] == [".safetensors"]


def written(monkeypatch, seconds):
    """The partial files that a run of six epochs writes, each of which takes a second of a clock of the test's own."""
    now, files, real = [0.0], [], flatlab.Store.put
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    epoch = Trainer.epoch

    def a_second(self, *arguments):
        now[0] += 1
        return epoch(self, *arguments)

    def put(self, key, tensors, facts, partial=False):
        files.append((len(facts["history"]["epoch"]), partial))
        real(self, key, tensors, facts, partial)

    monkeypatch.setattr(Trainer, "epoch", a_second)
    monkeypatch.setattr(flatlab.Store, "put", put)
    return files


@pytest.mark.parametrize("every, expected", [(0, [1, 2, 3, 4, 5]), (2, [2, 4]), (3, [3]), (10, [])])
def test_a_half_finished_run_is_written_no_more_often_than_the_store_says(data, tmp_path, monkeypatch, every, expected):
    files = written(monkeypatch, 1)
    train("plain-mlp", data, flatlab.Store(tmp_path, every=every), epochs=6)
    assert files == [(epoch, True) for epoch in expected] + [(6, False)]
    assert flatlab.Store().every == 10


class Counting(nn.Module):
    """Counts how often it is run, and sharpens its outputs with the steps of training."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inside = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        self.inside.steps, self.evaluations, self.phase = 0, 0, None

    def forward(self, x):
        self.evaluations += 1
        if self.training:
            self.inside.steps += 1
            self.phase = "late" if self.inside.steps > 7 else "early"
        return self.inside(x) * (1 + self.inside.steps / 10)


@pytest.mark.parametrize("every", [0, 10])
def test_what_a_network_counts_in_python_goes_on_where_it_was(data, tmp_path, monkeypatch, every):
    store, whole = flatlab.Store(tmp_path, every=every), train(Counting(), data, None, epochs=4)
    with stopped(monkeypatch, after=2), pytest.raises(KeyboardInterrupt):
        train(Counting(), data, store, epochs=4)
    resumed = train(Counting(), data, store, epochs=4)
    monkeypatch.setattr(Trainer, "step", lambda *arguments: pytest.fail("it is trained again"))
    read = train(Counting(), data, store, epochs=4)
    for run in (resumed, read):
        assert torch.equal(run.x, whole.x) and run.history["test_loss"] == whole.history["test_loss"]
        one, other = run.model(), whole.model()
        assert (one.inside.steps, one.evaluations, one.phase) == (12, other.evaluations, "late")
        assert torch.equal(one(data.test.x), other(data.test.x))


def test_a_disk_that_is_full_when_a_run_is_interrupted_is_told_of_and_hides_nothing(data, tmp_path, monkeypatch):
    def full(self, *arguments, **keywords):
        raise OSError("there could not be written")

    monkeypatch.setattr(flatlab.Store, "put", full)
    told = pytest.warns(UserWarning, match="there could not be written")
    with stopped(monkeypatch, after=1), pytest.raises(KeyboardInterrupt), told:
        train("plain-mlp", data, tmp_path, epochs=4)
    with pytest.raises(OSError, match="there could not be written"), warnings.catch_warnings(action="error"):
        train("plain-mlp", data, flatlab.Store(tmp_path, every=0), epochs=4)
    assert not list(tmp_path.iterdir())


def test_a_store_that_cannot_be_written_is_told_of_before_the_first_step_and_read_all_the_same(
    data, tmp_path, monkeypatch
):
    def read_only(*arguments, **keywords):
        raise OSError(errno.EROFS, "Read-only file system")

    run = train("plain-mlp", data, tmp_path)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(Trainer, "step", lambda *arguments: pytest.fail("a step was made"))
    sentence = "could not be written .*: choose another directory.$"
    for place in (tmp_path / "file", tmp_path / "file" / "store"):
        with pytest.raises(OSError, match=sentence), warnings.catch_warnings(action="error"):
            train("plain-mlp", data, place)
    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    with pytest.raises(OSError, match=sentence), warnings.catch_warnings(action="error"):
        train("plain-mlp", data, tmp_path, seed=1)
    assert torch.equal(train("plain-mlp", data, tmp_path).x, run.x)


@pytest.mark.parametrize(
    "buffer, sentence",
    [
        (
            torch.eye(64).to_sparse(),
            r"buffer kept is torch.sparse_coo, .* by .to_dense\(\), or train without a store.$",
        ),
        (torch.eye(64).to(torch.complex128), "buffer kept is torch.complex128, .* in complex64 or train without"),
    ],
    ids=["sparse", "complex128"],
)
def test_a_buffer_that_no_file_can_hold_is_told_of_before_the_first_step(data, tmp_path, buffer, sentence):
    """The matrix of a graph, for instance: the run was trained, and lost where it was written."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    net.register_buffer("kept", buffer)
    with pytest.raises(ValueError, match=sentence):
        train(net, data, tmp_path)
    assert not list(tmp_path.iterdir())
    assert len(train(net, data, None).history["epoch"]) == 2


def test_a_seed_out_of_an_array_is_the_number_that_it_is(data, tmp_path):
    run = train("plain-mlp", data, tmp_path, seed=3)
    for seed in (np.arange(5)[3], np.uint8(3), torch.arange(5)[3]):
        assert torch.equal(train("plain-mlp", data, tmp_path, seed=seed).x, run.x)
        assert torch.equal(train("plain-mlp", data, None, seed=seed).x, run.x)
    again = train("plain-mlp", data, tmp_path, seed=np.int64(4))
    assert not torch.equal(again.x, run.x) and torch.equal(train("plain-mlp", data, tmp_path, seed=4).x, again.x)
    assert {facts["facts"]["seed"] for _, _, facts in flatlab.Store(tmp_path).runs()} == {3, 4}


def test_an_update_of_ones_own_is_known_by_what_it_does(data, tmp_path, monkeypatch):
    from flatlab.training import updates

    found = []
    for factor in (1.0, 3.0, 1.0):

        def mine(trainer, inputs, targets, factor=factor):
            loss, correct = trainer.gradient(inputs, targets)
            trainer.grad.mul_(factor)
            trainer.optimizer.step()
            return loss, correct

        monkeypatch.setitem(updates.UPDATE_RULES, "mine", mine)
        found.append(train("plain-mlp", data, tmp_path, update="mine", optimizer="sgd"))
    assert found[0].history == found[2].history and not torch.equal(found[0].x, found[1].x)


def test_the_list_says_what_is_stale_and_prune_removes_it_when_asked(data, tmp_path, capsys, monkeypatch):
    train("plain-mlp", data, tmp_path)
    ((key, _, facts),) = flatlab.Store(tmp_path).runs()
    tensors, _ = flatlab.Store(tmp_path).get(key)
    flatlab.Store(tmp_path).put("0" * 24, tensors, {**facts, "source": {**facts["source"], "hash": "0"}})

    def command(*arguments):
        assert cli.main(["runs", *arguments, "--store", str(tmp_path)]) == 0
        return capsys.readouterr().out.splitlines()

    lines = {line.split()[0]: line for line in command("list")}
    assert "stale" in lines["0" * 24] and "stale" not in lines[key]
    assert command("prune")[0].startswith("0 files")
    assert command("prune", "--stale")[0].startswith("1 files")
    assert [run[0] for run in flatlab.Store(tmp_path).runs()] == [key]
