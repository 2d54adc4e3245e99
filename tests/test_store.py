"""The store's promises by real failures: torn files, a full disk, two writers, foreign files."""

import errno
import os
import subprocess
import sys
import threading

import pytest
import torch

import flatlab
from flatlab.files import write_whole
from flatlab.training.store import Store

TENSORS = {"x": torch.arange(6.0)}


def test_what_is_put_is_got_back(tmp_path):
    store = Store(tmp_path)
    assert store.get("a") is None
    store.put("a", TENSORS, {"seed": 3, "text": "ünder"})
    tensors, facts = store.get("a")
    assert torch.equal(tensors["x"], TENSORS["x"]) and facts == {"seed": 3, "text": "ünder"}
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]  # no leftovers


@pytest.mark.parametrize("content", [b"", b"not ours", b"\xff" * 100])
def test_a_foreign_or_torn_file_is_named_in_one_sentence_and_kept(tmp_path, content):
    store = Store(tmp_path)
    store.path("a").parent.mkdir(exist_ok=True)
    store.path("a").write_bytes(content)
    with pytest.raises(OSError, match=r"a\.safetensors is not a whole flatlab run .* prune"):
        store.get("a")
    assert store.path("a").read_bytes() == content
    assert list(store.runs()) == [("a", False, None)]
    assert store.prune() == [store.path("a")] and not store.path("a").exists()


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_whole(path, b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="could not be written .No space left on device.: free some space"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_a_directory_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="could not be written"):
        Store(tmp_path / "file").put("a", TENSORS, {})


def test_many_writers_and_readers_see_whole_files_only(tmp_path):
    store, failures = Store(tmp_path), []
    big = {"x": torch.zeros(200_000)}

    def write(number):
        for _ in range(10):
            store.put("a", {"x": big["x"] + number}, {"number": number})

    def read():
        for _ in range(60):
            if (found := store.get("a")) and not (found[0]["x"] == found[1]["number"]).all():
                failures.append("torn")

    threads = [threading.Thread(target=write, args=(k,)) for k in range(3)] + [threading.Thread(target=read)]
    [t.start() for t in threads], [t.join() for t in threads]
    assert not failures and [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_prune_keeps_what_is_whole_and_half_finished(tmp_path):
    store = Store(tmp_path)
    store.put("done", TENSORS, {})
    store.put("done", TENSORS, {}, partial=True)
    store.put("half", TENSORS, {}, partial=True)
    (tmp_path / "x.123.tmp").write_bytes(b"")
    store.prune()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["done.safetensors", "half.partial"]


def test_weights_are_never_pickled(root):
    sources = [p.read_text() for p in (root / "flatlab").glob("*.py")]
    assert not any(
        word in s for s in sources for word in ("import pickle", "allow_pickle=True", "torch.load", "torch.save")
    )


def test_the_default_root_is_the_environments(tmp_path):
    code = "import flatlab; print(flatlab.Store().root)"
    environment = {**os.environ, "FLATLAB_STORE": str(tmp_path)}
    assert subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    ).stdout.strip() == str(tmp_path)
    assert flatlab.Store("~/runs").root == flatlab.Store(os.path.expanduser("~/runs")).root
