"""A sweep that is killed, doubled, or finds its store broken: nothing finished is lost, and the bits are those of an
undisturbed one."""

import os
import re
import subprocess
import sys
import textwrap
import time

import psutil
import pytest
from conftest import ROOT

from flatlab import cli

# The children are forked from a process that has loaded everything, so that a hundred of them take seconds.
SWEEP = textwrap.dedent('''
    import os, random, signal, sys, time
    from pathlib import Path
    import torch
    import torch._dynamo  # which the first optimizer of a process imports for two seconds
    torch.set_num_threads(1)
    from flatlab.study.engines import carry_out_all
    from flatlab.study.jobs import Job, carry_out
    from flatlab.study.splits import loaded
    from flatlab.training.store import Store
    from flatlab.training.train import SOURCE, Recipe

    root, kills = Path(sys.argv[1]), int(sys.argv[2])
    jobs = [Job("small-mlp", "digits", seed, Recipe(batch_size=50, epochs=9), subset=100, keep=(2, 6))
            for seed in range(3)]
    loaded("digits"), SOURCE.hash                                # which each child would work out anew
    random.seed(0)

    def sweep(store):
        pid = os.fork()
        if pid == 0:
            carry_out_all(jobs, Store(store, every=0), workers=1, progress=False)
            os._exit(0)
        return pid

    def written(store):
        return store.stat().st_mtime_ns if store.exists() else 0

    def ended(pid):
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)

    def reached(store):
        """Finished files by their bytes; epochs that half-finished runs have behind them."""
        finished = {path.name: path.read_bytes() for path in store.glob("*.safetensors")}
        return finished, {key: len(facts["history"]["epoch"]) for key, partial, facts in Store(store).runs() if partial}

    began = time.perf_counter()
    os.waitpid(sweep(root / "whole"), 0)
    length = time.perf_counter() - began  # of a sweep that nothing disturbs, on the machine as it is now
    done = number = 0
    while done < kills:
        store, number = root / str(number), number + 1
        before, epochs = {}, {}
        while True:
            pid, seen = sweep(store), written(store)
            while done % 2 and written(store) == seen and not ended(pid):
                time.sleep(0.001)                                # every other kill lets the sweep write something first
            time.sleep(random.uniform(0, 0.3) * length)
            if os.waitpid(pid, os.WNOHANG)[0]:
                break
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            done += 1
            finished, now = reached(store)
            assert all(finished.get(name) == content for name, content in before.items()), "a finished run was lost"
            assert all(now.get(key, 9) >= count for key, count in epochs.items()), \
                "more than the epoch under way was lost"
            before, epochs = finished, now
            if done >= kills:
                os.waitpid(sweep(store), 0)
                break
    for job in jobs:
        whole = carry_out(job, Store(root / "whole"))
        for k in range(number):
            run = carry_out(job, Store(root / str(k)))
            assert torch.equal(run.x, whole.x) and all(torch.equal(run.points[e], whole.points[e]) for e in job.keep)
            assert run.history["train_loss"] == whole.history["train_loss"]
    print(f"{done} kills over {number} sweeps")
''')


def test_a_hundred_kills_change_no_bit(tmp_path, record_property):
    done = subprocess.run([sys.executable, "-c", SWEEP, str(tmp_path), "100"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    record_property("kills", done.stdout.strip())
    kills, sweeps = map(int, re.match(r"(\d+) kills over (\d+) sweeps", done.stdout).groups())
    assert kills == 100 and sweeps > 1


# Each epoch is written, so that a worker that trains is seen at once and not after the ten seconds of a store.
AT_ONCE = "from flatlab.training.store import Store\nStore.__init__.__defaults__ = (None, 0.0)\n"
SIDE_BY_SIDE = AT_ONCE + textwrap.dedent("""
    from flatlab.study.engines import carry_out_all
    from flatlab.study.jobs import Job
    from flatlab.training.train import Recipe

    jobs = [Job("mlp", "digits", seed, Recipe(batch_size=10, epochs=100000)) for seed in range(2)]
    carry_out_all(jobs, Store(), workers=2, progress=False)
""")
OF_THE_BOOK = f"{AT_ONCE}import runpy\nrunpy.run_path({str(ROOT / 'book' / 'runs.py')!r}, run_name='__main__')\n"


@pytest.mark.parametrize("program", [SIDE_BY_SIDE, OF_THE_BOOK], ids=["a plan", "the book's runs"])
def test_a_killed_sweep_leaves_no_process_behind(program, tmp_path):
    sweep = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "FLATLAB_STORE": str(tmp_path)})
    while len(list(tmp_path.glob("*.partial"))) < min(2, os.cpu_count()):  # the workers are training
        assert sweep.poll() is None
        time.sleep(0.1)
    workers = psutil.Process(sweep.pid).children(recursive=True)
    sweep.kill()
    sweep.wait()
    try:
        psutil.wait_procs(workers)  # for ever, where one stays
    finally:
        for process in workers:
            if process.is_running():
                process.kill()


UNGUARDED = """
import flatlab
from flatlab.study import engines, jobs
print("the script runs")
plan = [jobs.Job("plain-mlp", "digits", seed, flatlab.Recipe(batch_size=500, epochs=1)) for seed in range(2)]
engines.carry_out_all(plan, flatlab.Store(), workers=2, progress=False)
"""


@pytest.mark.parametrize("piped", [False, True])
def test_a_script_of_a_few_lines_needs_no_guard_for_its_workers(tmp_path, piped):
    """As `flatlab.reproduce("table2")` in one: a worker of another start method than fork would run the script again,
    or look for a script that was piped into Python."""
    (tmp_path / "script.py").write_text(UNGUARDED)
    environment = {**os.environ, "FLATLAB_STORE": str(tmp_path / "runs")}
    given = {"input": UNGUARDED} if piped else {}
    done = subprocess.run(
        [sys.executable, "-" if piped else tmp_path / "script.py"],
        env=environment,
        capture_output=True,
        text=True,
        **given,
    )
    assert done.returncode == 0, done.stderr[-1000:]
    assert done.stdout == "the script runs\n" and done.stderr == ""
    assert len(list((tmp_path / "runs").glob("*.safetensors"))) == 2


COMMAND = [sys.executable, "-m", "flatlab", "train", "plain-mlp", "mnist1d", "--batch-size", "2000", "--epochs", "3"]


def test_two_sweeps_at_once_on_one_store_agree(tmp_path):
    both = [
        subprocess.Popen(
            [*COMMAND, "--store", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert said[0][0] == said[1][0]
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


def test_a_store_that_cannot_be_written_is_one_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main([*COMMAND[3:], "--store", str(tmp_path / "file" / "store")]) == 2
    error = capsys.readouterr().err
    assert "could not be written" in error and error.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"something else"])
def test_a_damaged_file_is_named_and_its_run_trained_again(tmp_path, capsys, content):
    assert cli.main([*COMMAND[3:], "--store", str(tmp_path)]) == 0
    (path,) = tmp_path.iterdir()
    whole, said = path.read_bytes(), capsys.readouterr().out
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=rf"{path.name} is damaged .*: what it held is computed again"):
        assert cli.main([*COMMAND[3:], "--store", str(tmp_path)]) == 0
    assert capsys.readouterr().out == said and len(path.read_bytes()) > 0.9 * len(whole)
