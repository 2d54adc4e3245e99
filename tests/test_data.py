"""Data: what is loaded, and that a failure leaves nothing half-written and says one sentence.

Kept files are tested on a tiny MNIST (the real shapes are replaced in data._KEPT), so that every failure can
be made for real.
"""

import copy
import errno
import hashlib
import importlib
import io
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import tarfile
import textwrap
import types
import wave
from http.client import IncompleteRead
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import flatlab
from flatlab import data, speech

KEPT = Path(os.environ.get("FLATLAB_DATA", "/nowhere"))


def arrays(train=6, test=4, shape=(28, 28), seed=0):
    draw = np.random.RandomState(seed)
    return [
        draw.randint(0, end, size).astype(np.uint8)
        for end, size in ((256, (train, *shape)), (10, train), (256, (test, *shape)), (10, test))
    ]


@pytest.fixture
def tiny(monkeypatch):
    """A tiny MNIST behind a torchvision that needs no network, which counts its downloads."""
    made = types.SimpleNamespace(arrays=arrays(), downloads=0)
    monkeypatch.setitem(data._KEPT, "mnist", (6, 4, (28, 28), 10))

    class MNIST:
        def __init__(self, root, train, download):
            assert download
            (Path(root) / "raw").mkdir(exist_ok=True)
            (Path(root) / "raw" / f"{train}").write_bytes(b"half of it")
            made.downloads += 1
            x, y = made.arrays[:2] if train else made.arrays[2:]
            self.data, self.targets = torch.tensor(x), torch.tensor(y).long()

    monkeypatch.setattr(
        data, "import_torchvision", lambda name: types.SimpleNamespace(datasets=types.SimpleNamespace(MNIST=MNIST))
    )
    return made


def one_sentence(error):
    text = str(error.value)
    assert "\n" not in text and len(text) < 450
    return text


# Names and devices


def test_an_unknown_name_is_refused_with_the_nearest_and_the_list():
    with pytest.raises(ValueError, match="did you mean 'fashion-mnist', of mnist1d, digits, mnist,"):
        flatlab.load("FashionMNIST")
    with pytest.raises(ValueError, match="did you mean 'mnist',"):
        flatlab.load("MNIST")


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "meta0"])
def test_a_device_that_is_not_there_is_refused(device):
    rows = data.Split(torch.zeros(2, 3), torch.zeros(2))
    for ask in (
        lambda: flatlab.load("digits", device=device),
        lambda: rows.to(device),
        lambda: data.Data("rows", 2, rows, rows).to(device),
    ):
        with pytest.raises(ValueError, match="there is no device") as error:
            ask()
        one_sentence(error)


def test_the_folder_is_the_variables_else_the_platforms(monkeypatch, tmp_path):
    monkeypatch.setenv("FLATLAB_DATA", str(tmp_path))
    assert data.cache_directory() == tmp_path
    monkeypatch.delenv("FLATLAB_DATA")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    home = Path.home()
    for platform, folder in (
        ("linux", home / ".cache/flatlab"),
        ("darwin", home / "Library/Caches/flatlab"),
        ("win32", tmp_path / "local/flatlab"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        assert data.cache_directory() == folder


# Splits


def numbered(n):
    return data.Split(torch.arange(2.0 * n).reshape(n, 2), torch.arange(n))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(0, 2**31), st.data())
def test_a_subset_is_drawn_without_replacement_and_keeps_rows_whole(n, seed, draw):
    whole, size = numbered(n), draw.draw(st.integers(1, n))
    before = torch.get_rng_state()
    part = whole.subset(size, seed)
    assert torch.equal(torch.get_rng_state(), before)
    assert len(part) == size == len(set(part.y.tolist()))
    assert torch.equal(part.x, whole.x[part.y])
    assert torch.equal(part.y, whole.subset(size, seed).y)
    assert torch.equal(whole.subset(n, seed).y[:size], part.y)  # nested


def test_a_split_prints_its_shape_not_its_numbers():
    assert repr(numbered(50)) == "Split(50 rows of (2,) on cpu)"


def test_seeds_draw_different_rows():
    assert not torch.equal(numbered(100).subset(50, 0).y, numbered(100).subset(50, 1).y)


def test_subsets_draw_every_row_equally_often():
    counts = torch.zeros(10)
    for seed in range(2000):
        counts[numbered(10).subset(3, seed).y] += 1
    # Binomial(2000, 0.3): standard deviation 20.5; five of them
    assert (counts - 600).abs().max() < 103


@pytest.mark.parametrize("n", [0, -1, 7, 2.0, 0.5, True, "3", None])
def test_a_subset_that_cannot_be_is_refused(n):
    with pytest.raises(ValueError, match="whole number of rows between 1 and 6, not"):
        numbered(6).subset(n)


@pytest.mark.parametrize("n", [np.int64(4), np.uint8(4)])
def test_a_number_of_rows_may_be_numpys(n):
    whole = data.Data("rows", 10, numbered(6), numbered(6)).subset(n)
    assert torch.equal(whole.train.y, numbered(6).subset(4).y) and whole.name == "rows[4,0]"


def test_a_split_needs_a_target_for_each_row():
    with pytest.raises(ValueError, match="3 rows and 2 targets"):
        data.Split(torch.zeros(3, 1), torch.zeros(2, dtype=torch.int64))


def test_a_subset_of_data_cuts_the_training_split_alone():
    whole = data.Data("digits", 10, numbered(50), numbered(20))
    part = whole.subset(5, seed=3)
    assert part.name == "digits[5,3]" and part.classes == 10
    assert len(part.train) == 5 and part.test is whole.test
    assert torch.equal(part.train.y, whole.train.subset(5, 3).y)


def test_the_digest_is_of_the_content():
    whole = data.Data("a", 10, numbered(50), numbered(20))
    again = data.Data("b", 10, numbered(50), numbered(20))
    assert whole.digest == again.digest == whole.to("cpu").digest and len(whole.digest) == 64
    again.train.x[17, 1] += 1e-4
    assert data.Data("c", 10, again.train, again.test).digest != whole.digest
    swapped = data.Data("d", 10, whole.test, whole.train)
    reshaped = data.Data("e", 10, data.Split(whole.train.x.reshape(50, 2, 1), whole.train.y), whole.test)
    assert len({whole.digest, swapped.digest, reshaped.digest, whole.subset(50).digest}) == 4


def test_data_that_were_changed_where_they_lie_have_another_digest_and_another_run(tmp_path):
    """Noisy labels, for instance: the run of the data before was read."""
    split = data.Split(torch.randn(12, 2, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3)
    made, net = data.Data("a", 3, split, split), torch.nn.Linear(2, 3)
    options = {"batch_size": 6, "epochs": 2, "progress": False}
    for change in (lambda: None, lambda: split.y[:4].fill_(2), lambda: split.x.mul_(2), split.x.t().zero_):
        change()
        run, plain = flatlab.train(net, made, store=tmp_path, **options), flatlab.train(net, made, **options)
        assert torch.equal(run.x, plain.x)
        for other in (data.Data("b", 3, split, split), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
            assert other.digest == made.digest
    assert len(list(tmp_path.iterdir())) == 4
    known = made.digest
    split.x.add_(1)
    assert copy.deepcopy(made).digest == made.digest != known
    with torch.inference_mode():
        split = data.Split(torch.zeros(4, 2), torch.arange(4))
        made = data.Data("a", 4, split, split)
        known = made.digest
        split.x.add_(1)
        assert made.digest != known


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64, torch.bool, torch.uint16])
def test_the_digest_is_of_any_type(dtype):
    """numpy, which reads the bytes of most, has no bfloat16."""
    x = torch.arange(12.0).reshape(6, 2).T
    found = set()
    for part in (x, x.contiguous(), x + 1):
        split = data.Split(part.to(dtype), torch.arange(2))
        found.add(data.Data("a", 2, split, split).digest)
    assert len(found) == 2


def test_the_digest_of_a_conjugate_is_that_of_its_numbers():
    z = torch.complex(torch.arange(6.0), torch.ones(6)).conj()
    parts = [data.Split(x, torch.arange(6)) for x in (z, z.resolve_conj(), z.imag, z.imag.resolve_neg())]
    digests = [data.Data("a", 6, split, split).digest for split in parts]
    assert digests[0] == digests[1] != digests[2] == digests[3]


@pytest.mark.parametrize("classes", [-1, 2.0, "3", None])
def test_a_number_of_classes_that_cannot_be_is_refused(classes):
    with pytest.raises(ValueError, match="classes is .*0 or more, how many classes there are.$"):
        data.Data("a", classes, numbered(5), numbered(5))
    assert data.Data("a", np.int64(3), numbered(5), numbered(5)).classes == 3


@pytest.mark.parametrize("name", [None, 3, Path("mine")])
def test_a_name_that_no_file_could_hold_is_refused(name):
    with pytest.raises(ValueError, match="a Data has a name, a text such as 'mine'; this is"):
        data.Data(name, 3, numbered(5), numbered(5))


def test_what_a_split_was_computed_from_is_left_alone():
    """Features of another network, and inputs that have a gradient of their own."""
    torch.manual_seed(0)
    encoder, head, rows = torch.nn.Linear(2, 4), torch.nn.Linear(4, 3), torch.randn(12, 2)
    own = rows.repeat(1, 2).requires_grad_()
    for x, y in ((encoder(rows), torch.arange(12) % 3), (own, encoder(rows)[:, :3].softmax(1))):
        split = data.Split(x, y)
        assert torch.equal(split.x, x) and not split.x.requires_grad and not split.y.requires_grad
        made = data.Data("features", 3, split, split)
        run = flatlab.train(head, made, batch_size=6, epochs=2, progress=False)
        constants = data.Split(x.detach(), y.detach())
        plain = flatlab.train(head, data.Data("features", 3, constants, constants), batch_size=6, epochs=2)
        assert torch.equal(run.x, plain.x) and made.digest == data.Data("a", 3, constants, constants).digest
        assert flatlab.Objective(head, split).value() == flatlab.Objective(head, constants).value()
    assert own.grad is None and own.requires_grad and all(p.grad is None for p in encoder.parameters())


# Generated and packaged data


def test_mnist1d_is_what_its_authors_package_generates_and_needs_no_package(monkeypatch):
    mnist1d = flatlab.load("mnist1d", device="cpu")
    made = importlib.import_module("mnist1d.data").make_dataset()
    for split, end in ((mnist1d.train, ""), (mnist1d.test, "_test")):
        assert torch.equal(split.x, torch.tensor(made[f"x{end}"]).float())
        assert torch.equal(split.y, torch.tensor(made[f"y{end}"]))
    assert mnist1d.train.x.shape == (4000, 40) and mnist1d.train.x.dtype == torch.float32
    assert mnist1d.test.x.shape == (1000, 40) and mnist1d.test.y.dtype == torch.int64
    assert mnist1d.classes == 10 and set(mnist1d.train.y.tolist()) == set(range(10))
    monkeypatch.setitem(sys.modules, "mnist1d", None)
    assert flatlab.load("mnist1d", device="cpu").digest == mnist1d.digest


def test_no_data_set_of_the_package_changes_a_random_state():
    random.seed(1)
    np.random.seed(1)
    np.random.standard_normal()  # leaves a second normal in the generator, which is state too
    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    for name in ("mnist1d", "digits"):
        flatlab.load(name, device="cpu")
    assert random.getstate() == before[0]
    for now, then in zip(np.random.get_state(), before[1]):
        assert np.array_equal(now, then)
    assert torch.equal(torch.get_rng_state(), before[2])


def test_changing_loaded_data_does_not_change_the_next_load():
    first = flatlab.load("mnist1d", device="cpu")
    digest = first.digest
    first.train.x.zero_()
    assert flatlab.load("mnist1d", device="cpu").digest == digest


def test_digits_are_scikit_learns_each_once():
    from sklearn.datasets import load_digits

    digits, source = flatlab.load("digits", device="cpu"), load_digits()
    assert digits.train.x.shape == (1437, 1, 8, 8) and digits.test.x.shape == (360, 1, 8, 8)
    assert digits.classes == 10
    ours = torch.cat(
        [torch.cat([split.x.flatten(1) * 16, split.y[:, None].float()], 1) for split in (digits.train, digits.test)]
    )
    theirs = torch.tensor(np.column_stack([source.data, source.target])).float()
    assert sorted(ours.tolist()) == sorted(theirs.tolist())
    assert torch.equal(digits.train.y, flatlab.load("digits", device="cpu").train.y)


@pytest.mark.parametrize("name, module", [("digits", "sklearn.datasets"), ("mnist", "torchvision")])
def test_a_missing_package_names_the_extra(name, module, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install 'flatlab\[book\]'") as error:
        flatlab.load(name, root=tmp_path)
    one_sentence(error)
    assert os.listdir(tmp_path) == []


# Kept files


def test_images_are_kept_once_and_read_ever_after(tiny, tmp_path):
    for _ in range(2):
        mnist = flatlab.load("mnist", root=tmp_path / "new" / "folder", device="cpu")
        assert tiny.downloads == 2  # its two splits, once
        assert mnist.train.x.shape == (6, 1, 28, 28) and mnist.train.x.dtype == torch.float32
        assert np.array_equal(mnist.train.x[:, 0], tiny.arrays[0].astype(np.float32) / np.float32(255))
        assert mnist.test.y.tolist() == tiny.arrays[3].tolist() and mnist.test.y.dtype == torch.int64
        assert os.listdir(tmp_path / "new" / "folder") == ["mnist.npz"]
    with np.load(tmp_path / "new" / "folder" / "mnist.npz") as file:
        assert all(np.array_equal(file[key], array) for key, array in zip(data._KEYS, tiny.arrays))


def test_colours_come_before_rows(monkeypatch, tmp_path):
    monkeypatch.setitem(data._KEPT, "cifar10", (6, 4, (32, 32, 3), 10))
    made = arrays(shape=(32, 32, 3))
    np.savez(tmp_path / "cifar10.npz", **dict(zip(data._KEYS, made)))
    cifar = flatlab.load("cifar10", root=tmp_path, device="cpu")
    assert cifar.train.x.shape == (6, 3, 32, 32) and cifar.train.x.is_contiguous()
    assert cifar.train.x[2, 1, 30, 5] == np.float32(made[0][2, 30, 5, 1]) / np.float32(255)
    assert 0 <= cifar.train.x.min() and cifar.train.x.max() == 1


def test_a_kept_file_needs_no_torchvision(tiny, monkeypatch, tmp_path):
    np.savez(tmp_path / "mnist.npz", **dict(zip(data._KEYS, tiny.arrays)))
    monkeypatch.setattr(data, "import_torchvision", lambda name: pytest.fail("torchvision was asked for"))
    assert len(flatlab.load("mnist", root=tmp_path).train) == 6


@pytest.mark.parametrize(
    "failure",
    [
        KeyboardInterrupt(),
        OSError(errno.ENOSPC, "No space left on device"),
        EOFError(),
        tarfile.ReadError("x"),
        ConnectionResetError(104, "Connection reset by peer"),
        IncompleteRead(b"abc", 7),
        RuntimeError("Error downloading x.gz:\nTried A, got:\n<error>\nTried B, got:\n<error>\n"),
    ],
    ids=lambda failure: type(failure).__name__,
)
@pytest.mark.parametrize("moment", range(8))
def test_an_interruption_at_any_moment_keeps_nothing(failure, moment, tiny, monkeypatch, tmp_path):
    """The making of the file is stopped at the first, second, ... of the calls it consists of."""
    calls = []

    def stopped(function):
        def wrapper(*arguments, **keywords):
            calls.append(function)
            if len(calls) == moment + 1:
                if function is np.savez:
                    arguments[0].write(b"PK half of it")
                raise failure
            return function(*arguments, **keywords)

        return wrapper

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", stopped(np.savez))
        patch.setattr(np, "asarray", stopped(np.asarray))
        patch.setattr(os, "fsync", stopped(os.fsync))
        patch.setattr(os, "replace", stopped(os.replace))
        patch.setattr(data, "_check", stopped(data._check))
        with pytest.raises(KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else OSError) as error:
            flatlab.load("mnist", root=tmp_path)
    assert len(calls) == moment + 1
    assert os.listdir(tmp_path) == []
    if isinstance(failure, OSError) and failure.errno == errno.ENOSPC:
        assert "No space left on device" in one_sentence(error) and "make room" in one_sentence(error)
    elif not isinstance(failure, KeyboardInterrupt):
        assert "call again" in one_sentence(error)
    assert len(flatlab.load("mnist", root=tmp_path).train) == 6
    assert os.listdir(tmp_path) == ["mnist.npz"]


def killed(moment, root):
    """Load MNIST, and be killed at a moment. In a process that is forked, because a new one imports for seconds."""

    def die(*arguments, **keywords):
        if arguments and hasattr(arguments[0], "write"):
            arguments[0].write(b"PK half of it")
            arguments[0].flush()
        os.kill(os.getpid(), signal.SIGKILL)

    x, y = np.zeros((6, 28, 28), np.uint8), np.zeros(6, np.uint8)
    data._download = lambda name, work: (x, y, x[:4], y[:4])
    module, _, name = moment.rpartition(".")
    setattr(sys.modules[module], name, die)
    flatlab.load("mnist", root=root)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
@pytest.mark.parametrize("moment", ["flatlab.data._download", "numpy.savez", "os.fsync", "os.replace"])
def test_a_killed_process_leaves_nothing_that_is_read(moment, tiny, tmp_path):
    ended = multiprocessing.get_context("fork").Process(target=killed, args=(moment, tmp_path))
    ended.start()
    ended.join()
    assert ended.exitcode == -signal.SIGKILL
    (left,) = os.listdir(tmp_path)
    assert left.startswith(".mnist.")
    assert len(flatlab.load("mnist", root=tmp_path).train) == 6
    assert set(os.listdir(tmp_path)) == {left, "mnist.npz"}  # it could be another process's, still at work
    os.utime(tmp_path / left, (0, 0))
    (tmp_path / "mnist.npz").unlink()
    flatlab.load("mnist", root=tmp_path)
    assert os.listdir(tmp_path) == ["mnist.npz"]


def whole_file():
    file = io.BytesIO()
    np.savez(file, **dict(zip(data._KEYS, arrays())))
    return file.getvalue()


WHOLE = whole_file()


def refused_then_remade(content, tiny, folder):
    (folder / "mnist.npz").write_bytes(content)
    with pytest.raises(OSError, match="is now removed: call again") as error:
        flatlab.load("mnist", root=folder)
    one_sentence(error)
    assert os.listdir(folder) == []
    assert np.array_equal(flatlab.load("mnist", root=folder, device="cpu").train.y, tiny.arrays[1])


@pytest.mark.parametrize("length", [0, 1, 21, 22, 200, len(WHOLE) // 2, len(WHOLE) - 100, len(WHOLE) - 1])
def test_a_truncated_file_is_removed_and_the_next_call_works(length, tiny, tmp_path):
    refused_then_remade(WHOLE[:length], tiny, tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"<html>captive portal</html>",
        pytest.param(b"\0" * 5000, id="zeros"),
        pytest.param(b"\x93NUMPY\x01\x00", id="npy"),
    ],
)
def test_a_file_of_something_else_is_removed(content, tiny, tmp_path):
    refused_then_remade(content, tiny, tmp_path)


def test_damage_anywhere_is_noticed_or_harmless(tiny, tmp_path):
    """A flipped byte gives the same arrays (it hit what is not read) or the refusal, and nothing else."""
    draw, noticed = random.Random(0), 0
    for place in [*range(300), *draw.sample(range(len(WHOLE)), 300), *range(len(WHOLE) - 300, len(WHOLE))]:
        damaged = bytearray(WHOLE)
        damaged[place] ^= 1 << draw.randrange(8)
        (tmp_path / "mnist.npz").write_bytes(damaged)
        try:
            loaded = flatlab.load("mnist", root=tmp_path, device="cpu")
        except OSError as error:
            assert "is now removed" in str(error)
            noticed += 1
        else:
            assert np.array_equal((loaded.train.x[:, 0] * 255).round().numpy(), tiny.arrays[0])
            assert np.array_equal(loaded.test.y, tiny.arrays[3])
    assert noticed > 500


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made.pop("test_y"),
        lambda made: made.update(train_x=made["train_x"][:5]),
        lambda made: made.update(train_y=made["train_y"][:, None]),
        lambda made: made.update(train_x=made["train_x"] / 255),
        lambda made: made.update(test_y=made["test_y"] * 0 + 10),
        lambda made: made.update(train_x=np.array([None] * 6)),
    ],
    ids=["no key", "rows", "shape", "floats", "label", "pickle"],
)
def test_a_file_with_other_arrays_is_removed(change, tiny, tmp_path):
    made = dict(zip(data._KEYS, arrays()))
    change(made)
    file = io.BytesIO()
    np.savez(file, **made)
    refused_then_remade(file.getvalue(), tiny, tmp_path)


class Runs:
    def __reduce__(self):
        return os.mkdir, ("unpickled",)


def test_a_file_cannot_run_a_program(tiny, monkeypatch, tmp_path):
    (tmp_path / "root").mkdir()
    monkeypatch.chdir(tmp_path)
    file = io.BytesIO()
    np.savez(file, **{**dict(zip(data._KEYS, arrays())), "train_x": np.array([Runs()])})
    refused_then_remade(file.getvalue(), tiny, tmp_path / "root")
    assert os.listdir(tmp_path) == ["root"]


def test_a_disk_that_cannot_be_read_is_not_taken_for_damage(tiny, monkeypatch, tmp_path):
    (tmp_path / "mnist.npz").write_bytes(WHOLE)

    def fail(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match="Input/output error"):
        flatlab.load("mnist", root=tmp_path)
    assert (tmp_path / "mnist.npz").exists()


def test_a_download_of_wrong_shape_is_never_kept(tiny, tmp_path):
    tiny.arrays = arrays(train=5)
    with pytest.raises(OSError, match="nothing half-written was kept"):
        flatlab.load("mnist", root=tmp_path)
    assert os.listdir(tmp_path) == []


# TIMIT


def timit_file(path, **changes):
    x, y = np.linspace(-3, 3, 5 * 360, dtype=np.float32).reshape(5, 360), np.array([0, 7, 3, 1, 1972])
    np.savez(path, **{"train_x": x, "train_y": y, "test_x": x[:2], "test_y": y[:2], **changes})


def test_timit_is_the_users_own_file_as_it_is(tmp_path):
    timit_file(tmp_path / "timit.npz")
    timit = flatlab.load("timit", root=tmp_path, device="cpu")
    assert timit.classes == 1973 and timit.train.x.shape == (5, 360) and timit.test.y.tolist() == [0, 7]
    assert timit.train.x[0, 0] == -3 and timit.train.x[-1, -1] == 3


def test_an_absent_timit_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="LDC93S1.*Kaldi.*spoken-digits") as error:
        flatlab.load("timit", root=tmp_path)
    one_sentence(error)


@pytest.mark.parametrize(
    "changes",
    [
        {"train_x": np.zeros((5, 40), np.float32)},
        {"train_y": np.arange(4)},
        {"test_y": np.array([0.0, 1])},
        {"test_y": np.array([0, -1])},
        {"train_y": np.zeros((5, 1), int)},
        {"train_x": np.float32(3)},
        None,
    ],
    ids=["context", "lengths", "float labels", "negative", "column", "scalar", "truncated"],
)
def test_a_wrong_timit_is_refused_and_left_as_it_is(changes, tmp_path):
    path = tmp_path / "timit.npz"
    timit_file(path, **(changes or {}))
    if changes is None:
        path.write_bytes(path.read_bytes()[:3000])
    before = path.read_bytes()
    with pytest.raises(ValueError, match="it was left as it is") as error:
        flatlab.load("timit", root=tmp_path)
    one_sentence(error)
    assert path.read_bytes() == before


# torchvision beside a CPU-only torch


def run(program):
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_torchvision_can_be_imported_and_used():
    """In a process that has not tried it, and in one where a plain import has failed."""
    said = run("""
        import os
        from flatlab.data import import_torchvision

        fresh = os.fork() == 0
        if not fresh:
            os.wait()
            try:
                import torchvision
            except RuntimeError:
                pass
        first = import_torchvision()
        second = import_torchvision()
        import torch, torchvision
        from torchvision.transforms import v2
        image = v2.RandomCrop(16)(torch.zeros(3, 32, 32))
        net = torchvision.models.resnet18()
        print(tuple(image.shape), net.fc.out_features, first is second is torchvision)
    """)
    assert said == "(3, 16, 16) 1000 True\n" * 2


def test_importing_flatlab_imports_no_optional_package():
    loaded = run("import flatlab, sys; print(sorted({name.partition('.')[0] for name in sys.modules}))")
    assert "torch" in loaded
    for package in ("torchvision", "sklearn", "mnist1d", "scipy", "matplotlib", "requests"):
        assert f"'{package}'" not in loaded


# Spoken digits


def test_mel_filters_are_triangles_that_add_up_to_one():
    filters = speech.mel_filters()
    assert filters.shape == (40, 257) and filters.min() == 0 and filters.max() <= 1
    peaks = filters.argmax(1)
    assert (np.diff(peaks) > 0).all()
    np.testing.assert_allclose(filters.sum(0)[peaks[0] + 1 : peaks[-1]], 1, atol=1e-12)


def test_a_tone_excites_the_filter_of_its_frequency():
    for frequency in (500, 1000, 2000, 3000):
        tone = 10_000 * np.sin(2 * np.pi * frequency * np.arange(4000) / 8000)
        frames = speech.log_mel(tone.astype(np.int16))
        assert frames.shape == ((4000 - 200) // 80 + 1, 40)
        loudest = set(frames.argmax(1))
        assert loudest == {speech.mel_filters()[:, round(frequency * 512 / 8000)].argmax()}


def test_log_mel_against_the_definition():
    samples = (3000 * np.random.RandomState(0).standard_normal(1000)).astype(np.int16)
    frame = 3
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1, 201) / 201)
    x = samples[80 * frame : 80 * frame + 200] / 32768 * window
    spectrum = np.array([np.sum(x * np.exp(-2j * np.pi * k * np.arange(200) / 512)) for k in range(257)])
    energy = [np.log(np.sum(row * np.abs(spectrum) ** 2)) for row in speech.mel_filters()]
    expected = np.round(255 * (np.array(energy) + 16) / 22)
    np.testing.assert_array_equal(speech.log_mel(samples)[frame], expected)


def test_silence_is_zero_and_context_repeats_the_ends():
    assert (speech.log_mel(np.zeros(1000, np.int16)) == 0).all()
    frames = np.arange(6 * 40, dtype=np.uint8).reshape(6, 40)
    rows = speech.with_context(frames).reshape(6, 9, 40)
    for frame in range(6):
        for offset in range(-4, 5):
            assert np.array_equal(rows[frame, offset + 4], frames[min(max(frame + offset, 0), 5)])


@pytest.fixture
def recordings(monkeypatch):
    """Two speakers, ten digits, six recordings each: names and wavs, declared to be the released ones."""
    draw, files, content = np.random.RandomState(0), {}, hashlib.sha256()
    for name in sorted(f"{d}_{who}_{k}.wav" for d in range(10) for who in ("ann", "bo") for k in range(6)):
        samples = draw.randint(-2000, 2000, 900 + draw.randint(300)).astype("<i2")
        content.update(f"{name} {len(samples)} ".encode() + samples.tobytes())
        file = io.BytesIO()
        with wave.open(file, "wb") as out:
            out.setparams((1, 2, 8000, 0, "NONE", ""))
            out.writeframes(samples.tobytes())
        files[name] = file.getvalue()
    monkeypatch.setattr(speech, "SHA256", content.hexdigest())
    monkeypatch.setattr(data, "_check", lambda name, arrays: None)  # so few frames are not the real number
    return files


def archive_of(recordings, path):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in {**recordings, "../../evil.wav": b"x"}.items():
            folder = "" if "evil" in name else "free-spoken-digit-dataset-1.0.10/recordings/"
            member = tarfile.TarInfo(folder + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_spoken_digits_come_from_the_archive_or_a_folder_alike(recordings, monkeypatch, tmp_path):
    archive_of(recordings, tmp_path / "release.tar.gz")
    monkeypatch.setattr(speech, "ARCHIVE", (tmp_path / "release.tar.gz").as_uri())
    fetched = flatlab.load("spoken-digits", root=tmp_path / "a" / "b", device="cpu")
    assert os.listdir(tmp_path / "a" / "b") == ["spoken-digits.npz"]
    assert sorted(os.listdir(tmp_path)) == ["a", "release.tar.gz"]
    folder = tmp_path / "own" / "fsdd" / "recordings"
    folder.mkdir(parents=True)
    for name, content in recordings.items():
        (folder / name).write_bytes(content)
    monkeypatch.setattr(speech, "ARCHIVE", "file:///nowhere")
    assert flatlab.load("spoken-digits", root=tmp_path / "own", device="cpu").digest == fetched.digest
    assert fetched.classes == 180 and fetched.train.x.shape[1:] == (360,)
    assert set(fetched.train.y.tolist()) == set(fetched.test.y.tolist()) == set(range(60))  # two speakers
    assert len(fetched.test) > 4 * len(fetched.train)  # five recordings of six


def test_the_classes_of_a_frame(recordings, tmp_path):
    """3_bo_5 is the one training recording of speaker 1, digit 3: class 30 + 9 + third, in equal thirds."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name, content in recordings.items():
        (folder / name).write_bytes(content)
    x, y, _, _ = speech.spoken_digits(folder, tmp_path)
    frames = speech.with_context(speech.log_mel(speech._samples(recordings["3_bo_5.wav"])))
    mine = (y >= 39) & (y <= 41)
    assert np.array_equal(x[mine], frames)
    assert y[mine].tolist() == sorted(y[mine].tolist())
    counts = np.bincount(y[mine])[39:]
    assert len(counts) == 3 and counts.max() - counts.min() <= 1


@pytest.mark.parametrize("damage", ["truncated", "changed", "missing", "nowhere", "refused"])
def test_a_bad_archive_keeps_nothing(damage, recordings, monkeypatch, tmp_path):
    path = tmp_path / "release.tar.gz"
    if damage == "changed":
        recordings["0_ann_0.wav"] = recordings["0_ann_1.wav"]
    if damage == "missing":
        del recordings["0_ann_0.wav"]
    archive_of(recordings, path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:20_000])
    other = {"nowhere": "file:///nowhere/at/all", "refused": "http://127.0.0.1:9/x"}
    monkeypatch.setattr(speech, "ARCHIVE", other.get(damage, path.as_uri()))
    with pytest.raises(OSError, match="nothing half-written was kept") as error:
        flatlab.load("spoken-digits", root=tmp_path / "root")
    one_sentence(error)
    assert os.listdir(tmp_path / "root") == []


# The real files, where they are


def kept(name):
    return pytest.mark.skipif(not (KEPT / f"{name}.npz").exists(), reason=f"no $FLATLAB_DATA/{name}.npz here")


@kept("mnist")
def test_the_real_mnist():
    mnist = flatlab.load("mnist", root=KEPT, device="cpu")
    assert mnist.train.x.shape == (60_000, 1, 28, 28) and mnist.test.x.shape == (10_000, 1, 28, 28)
    assert abs(mnist.train.x.mean() - 0.1307) < 5e-5 and abs(mnist.train.x.std() - 0.3081) < 5e-5
    assert mnist.train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert torch.bincount(mnist.test.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@kept("cifar10")
def test_the_real_cifar10():
    cifar = flatlab.load("cifar10", root=KEPT, device="cpu")
    assert cifar.train.x.shape == (50_000, 3, 32, 32)
    np.testing.assert_allclose(cifar.train.x.mean((0, 2, 3)), [0.4914, 0.4822, 0.4465], atol=1e-4)
    assert cifar.test.y[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]


@pytest.mark.skipif(not (KEPT / "fsdd/recordings").is_dir(), reason="no $FLATLAB_DATA/fsdd/recordings here")
def test_the_real_spoken_digits(tmp_path):
    made = speech.spoken_digits(KEPT / "fsdd" / "recordings", tmp_path)  # checks their hash
    data._check("spoken-digits", made)
    assert len(np.unique(made[1])) == len(np.unique(made[3])) == 180
