"""The store's promises by real failures: torn files, a full disk, two writers, foreign files."""

import builtins
import errno
import io
import os
import re
import subprocess
import sys
import threading
import warnings

import pytest
import torch

import flatlab
from flatlab.files import write_whole
from flatlab.training.store import Store, is_stale
from flatlab.training.train import SOURCE

TENSORS = {"x": torch.arange(6.0)}


def test_what_is_put_is_got_back(tmp_path):
    store = Store(tmp_path)
    assert store.get("a") is None
    store.put("a", TENSORS, {"seed": 3, "text": "ünder"})
    tensors, facts = store.get("a")
    assert torch.equal(tensors["x"], TENSORS["x"]) and facts == {"seed": 3, "text": "ünder"}
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]  # no leftovers


@pytest.mark.parametrize("content", [b"", b"not ours", b"\xff" * 100, (1 << 62).to_bytes(8, "little") * 9])
@pytest.mark.parametrize("partial", [False, True])
def test_a_foreign_or_torn_file_is_one_warning_and_counts_as_none(tmp_path, content, partial):
    store = Store(tmp_path)
    store.path("a", partial).parent.mkdir(exist_ok=True)
    store.path("a", partial).write_bytes(content)
    with pytest.warns(UserWarning, match=r"a\.\w+ is damaged .*: what it held is computed again\.$") as said:
        assert store.get("a", partial) is None
    assert len(said) == 1 and "\n" not in str(said[0].message)
    assert store.path("a", partial).read_bytes() == content
    assert list(store.runs()) == [("a", partial, None)]
    assert store.prune() == [store.path("a", partial)] and not store.path("a", partial).exists()


def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path):
    """Or it is in what is not read: then tensors and facts are those that were put."""
    store, facts = Store(tmp_path), {"seed": 3, "history": {"loss": [0.5, 0.25]}, "text": "a" * 20}
    tensors = {"x": torch.randn(50), "step": torch.tensor(3.0), "none": torch.empty(0), "n": torch.arange(3)}
    store.put("a", tensors, facts)
    whole, noticed = store.path("a").read_bytes(), 0
    for place in range(len(whole)):
        for bit in (0, 3, 6):
            content = bytearray(whole)
            content[place] ^= 1 << bit
            store.path("a").write_bytes(content)
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                found = store.get("a")
            assert len(said) == (found is None)
            noticed += found is None
            if found:
                assert found[1] == facts and found[0].keys() == tensors.keys()
                assert all(torch.equal(found[0][name], tensor) for name, tensor in tensors.items())
            listed = [seen for _, _, seen in store.runs()]
            assert listed in ([facts], [None]), (place, bit)
    assert noticed > 2.9 * len(whole)


def test_a_file_under_the_name_of_another_counts_as_none(tmp_path):
    store = Store(tmp_path)
    store.put("a", TENSORS, {"seed": 1})
    store.path("b").write_bytes(store.path("a").read_bytes())
    with pytest.warns(UserWarning, match="b.safetensors is damaged .it is the file of a, under another name.: "):
        assert store.get("b") is None
    assert store.get("a")[1] == {"seed": 1}


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


def test_readers_and_listings_beside_writers_that_come_and_go_find_what_is_whole(tmp_path):
    store, failures, over = Store(tmp_path), [], threading.Event()

    def write(number):
        while not over.is_set():
            store.put(f"a{number}", TENSORS, {"number": number}, partial=True)
            store.put(f"a{number}", TENSORS, {"number": number})
            store.remove(f"a{number}", partial=True)
            store.remove(f"a{number}")

    def read():
        try:
            for turn in range(300):
                assert all(facts is not None for _, _, facts in store.runs())
                found = store.get(f"a{turn % 3}", partial=bool(turn % 2))
                assert found is None or found[1]["number"] == turn % 3
        except Exception as error:  # noqa: BLE001  of another thread: this one tells
            failures.append(error)

    writers, reader = [threading.Thread(target=write, args=(k,)) for k in range(3)], threading.Thread(target=read)
    [thread.start() for thread in (*writers, reader)]
    reader.join()
    over.set()
    [thread.join() for thread in writers]
    assert not failures, failures


def test_a_run_that_another_process_removes_during_a_listing_is_left_out(tmp_path, monkeypatch):
    """Which writers that come and go bring about only now and then."""
    store, names, reading = Store(tmp_path), os.listdir, builtins.open
    for key in ("a", "b", "c"):
        store.put(key, TENSORS, {})

    def listed(directory):
        found = sorted(names(directory))
        store.remove("a")
        return found

    def opened(path, *arguments, **options):
        store.remove("b")
        return reading(path, *arguments, **options)

    monkeypatch.setattr(os, "listdir", listed)
    monkeypatch.setattr(builtins, "open", opened)
    assert list(store.runs()) == [("c", False, {})]


def test_prune_keeps_what_is_whole_and_half_finished(tmp_path):
    store = Store(tmp_path)
    store.put("done", TENSORS, {}, partial=True)
    store.put("done", TENSORS, {})
    store.put("half", TENSORS, {}, partial=True)
    (tmp_path / "x.123.tmp").write_bytes(b"")
    os.utime(tmp_path / "x.123.tmp", (0, 0))
    assert len(store.prune()) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["done.safetensors", "half.partial"]


def test_prune_leaves_what_another_process_is_writing(tmp_path, monkeypatch):
    store, pruned, real = Store(tmp_path), [], os.fsync

    def prune(descriptor):
        pruned.append(store.prune())
        real(descriptor)

    store.put("a", TENSORS, {"number": 1})
    monkeypatch.setattr(os, "fsync", prune)  # a prune in the middle of each write
    store.put("a", TENSORS, {"number": 2}, partial=True)  # of a run that is trained again to keep more of its points
    store.put("a", TENSORS, {"number": 3}, partial=True)
    store.put("b", TENSORS, {})
    assert pruned == [[], [], []] and store.prune() == []
    assert store.get("a", partial=True)[1] == {"number": 3} and store.get("b")


def test_prune_leaves_what_was_written_since_it_was_read(tmp_path, monkeypatch):
    store, reading = Store(tmp_path), builtins.open
    store.path("a").write_bytes(b"torn")
    os.utime(store.path("a"), (0, 0))

    def opened(*arguments, **options):
        file = reading(*arguments, **options)
        monkeypatch.undo()
        store.put("a", TENSORS, {})  # another process has trained the run again
        return file

    monkeypatch.setattr(builtins, "open", opened)
    assert store.prune() == [] and store.get("a")


def test_what_other_code_has_made_is_stale_and_pruned_when_asked(tmp_path):
    store, current = Store(tmp_path), {"source": SOURCE.facts}
    other = {"source": {**SOURCE.facts, "hash": "0"}}
    store.put("now", TENSORS, current)
    store.put("then", TENSORS, other)
    store.put("half", TENSORS, other, partial=True)
    store.put("before", TENSORS, {})  # by a version that said nothing of its code
    assert {key for key, _, facts in store.runs() if is_stale(facts)} == {"then", "half", "before"}
    assert store.prune() == []
    assert len(store.prune(stale=True)) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["now.safetensors"]


GONE = OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))


def gone(*arguments, **keywords):
    raise GONE


def test_a_drive_that_is_gone_is_one_sentence_whatever_is_asked(tmp_path, monkeypatch):
    """Errno 107 from every call to the file system, as from a mounted Drive whose process has ended."""
    store = Store(tmp_path)
    store.put("a", TENSORS, {})
    names = ("listdir", "scandir", "stat", "lstat", "open", "replace", "unlink", "mkdir", "fsync")
    with monkeypatch.context() as broken:
        for name in names:
            broken.setattr(os, name, gone)
        broken.setattr(builtins, "open", gone)
        broken.setattr(io, "open", gone)
        calls = {
            "written": lambda: store.put("a", TENSORS, {}),
            "read": lambda: store.get("a"),
            "read ": lambda: list(store.runs()),
            "read  ": store.prune,
            "removed": lambda: store.remove("a"),
        }
        found = {}
        for what, call in calls.items():
            try:
                call()
            except OSError as error:
                found[what] = str(error)
    for what in calls:
        sentence = rf"^{re.escape(str(tmp_path))}\S* could not be {what.strip()} \({GONE.strerror}\): [^.\n]*\.$"
        assert re.match(sentence, found[what]), found
    assert store.get("a")


def test_why_a_write_fails_is_not_hidden_by_what_fails_after_it(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(os, "unlink", gone)
    with pytest.raises(OSError, match=rf"could not be written \({os.strerror(errno.ENOSPC)}\): free some space"):
        Store(tmp_path).put("a", TENSORS, {})


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
