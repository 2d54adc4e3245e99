"""One run over several processes, and many runs over a cluster: the results are those of one process."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
import torch

import flatlab

WORKER = textwrap.dedent("""
    import sys, torch, torch.distributed as distributed, flatlab
    out, store, *problems = sys.argv[1:]
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    found = {}
    for problem, rows in zip(problems[::2], problems[1::2]):
        net, _, update = problem.partition(" ")
        data = flatlab.load("mnist1d").subset(int(rows))
        parts = (flatlab.Split(part.x.double(), part.y) for part in (data.train, data.test))
        data = flatlab.Data(data.name, 10, *parts)
        run = flatlab.train(flatlab.build(net, data).double(), data, batch_size=64, epochs=3,
                            update=update or "plain", store=flatlab.Store(store, every=0), progress=False)
        found[problem] = {"x": run.x, "history": run.history}
    if distributed.get_rank() == 0:
        torch.save(found, out)
""")
NOISY = ("noisy_gradient", "noisy_iterate")  # noise of as many numbers as the point
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def launch(tmp_path, problems, store=None):
    """{problem: what two workers end with} of nets, each perhaps with the name of an update, and their numbers of
    rows."""
    script, out = tmp_path / "worker.py", tmp_path / "found.pt"
    script.write_text(WORKER)
    named = [str(one) for problem in problems.items() for one in problem]
    arguments = [str(script), str(out), str(store or tmp_path / "store"), *named]
    subprocess.run([*TORCHRUN, *arguments], check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return torch.load(out)


def alone(net, rows, **options):
    """The same run in this process."""
    data = flatlab.load("mnist1d", device="cpu").subset(rows)
    data = flatlab.Data(data.name, 10, *(flatlab.Split(part.x.double(), part.y) for part in (data.train, data.test)))
    return flatlab.train(flatlab.build(net, data).double(), data, batch_size=64, epochs=3, progress=False, **options)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What two workers end with when nothing stops them. In one launch, because it is the start that takes long."""
    return launch(
        tmp_path_factory.mktemp("undisturbed"),
        {"plain-mlp": 330, "mlp": 320} | {f"plain-mlp {noisy}": 330 for noisy in NOISY},
    )


def test_two_workers_end_where_one_process_does(undisturbed):
    """In float64, without BatchNorm. The sums are taken in another order, and Adam divides small gradients: 1e-5 is
    allowed."""
    one, two = alone("plain-mlp", 330), undisturbed["plain-mlp"]
    torch.testing.assert_close(two["x"], one.x, rtol=0, atol=1e-5)
    assert two["history"]["train_accuracy"] == one.history["train_accuracy"]
    assert two["history"]["train_loss"] == pytest.approx(one.history["train_loss"], rel=1e-9)
    assert two["history"]["updates"] == one.history["updates"]


@pytest.mark.parametrize("update", NOISY)
def test_workers_take_one_noise_for_all(update, undisturbed):
    """Each with a noise of its own, they would walk apart, and the gradients that are summed would be of two points."""
    one, two = alone("plain-mlp", 330, update=update), undisturbed[f"plain-mlp {update}"]
    torch.testing.assert_close(two["x"], one.x, rtol=0, atol=1e-5)


def test_with_batch_norm_the_workers_shares_are_ghost_batches(undisturbed):
    """Two workers of 32 rows each take the steps of one process with ghost batches of 32, and not those of batches of
    64."""
    two = undisturbed["mlp"]
    ghost = alone("mlp", 320, update="ghost", strength=32)
    torch.testing.assert_close(two["x"], ghost.x, rtol=0, atol=1e-5)
    assert (two["x"] - alone("mlp", 320).x).abs().max() > 1e-3


def test_a_worker_that_dies_stops_the_run_with_its_checkpoint_whole(tmp_path, undisturbed):
    """The second worker kills itself in its third epoch, once the first has kept the second; the next launch goes on
    from there and ends as an undisturbed one. A worker that waits for nobody may die while the first still writes."""
    script = tmp_path / "dying.py"
    script.write_text(
        WORKER.replace(
            "found = {}",
            textwrap.dedent("""\
        from flatlab.training.trainer import Trainer
        real, epochs = Trainer.epoch, []
        def epoch(self, *arguments):
            epochs.append(1)
            if len(epochs) == 3 and distributed.get_rank() == 1:
                import os, signal, time
                while not any(len(facts["history"]["epoch"]) == 2 for _, _, facts in flatlab.Store(store).runs()):
                    time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGKILL)
            return real(self, *arguments)
        Trainer.epoch = epoch
        found = {}"""),
            1,
        )
    )
    store = tmp_path / "dying"
    died = subprocess.run(
        [*TORCHRUN, str(script), str(tmp_path / "none.pt"), str(store), "plain-mlp", "330"],
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert died.returncode != 0 and not (tmp_path / "none.pt").exists()
    ((_key, partial, facts),) = flatlab.Store(store).runs()
    assert partial and len(facts["history"]["epoch"]) == 2
    assert torch.equal(launch(tmp_path, {"plain-mlp": 330}, store)["plain-mlp"]["x"], undisturbed["plain-mlp"]["x"])


def test_the_command_under_torchrun_answers_once_and_finds_its_own_run(tmp_path):
    """Both ends of the line are the same run: the second worker must not ask for it before the first has written it."""
    command = ["-m", "flatlab", "line", "plain-mlp", "digits", "--batch-size", "64", "--large", "64", "--epochs", "1"]
    done = subprocess.run(
        [*TORCHRUN, *command, "--store", str(tmp_path), "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(json.loads(done.stdout)["loss"]) == 25 and len(list(tmp_path.iterdir())) == 1


def test_sync_batch_norm_on_a_processor_is_refused():
    with pytest.raises(ValueError, match="needs CUDA devices"):
        flatlab.train("mlp", flatlab.load("digits", device="cpu"), sync_batch_norm=True)


CLUSTER = textwrap.dedent("""
    import sys, time, torch
    from concurrent.futures import ThreadPoolExecutor
    import ray
    from ray.cluster_utils import Cluster
    from flatlab.study.engines import carry_out_all
    from flatlab.study.jobs import Job, carry_out
    from flatlab.training.store import Store
    from flatlab.training.train import Recipe

    root = sys.argv[1]
    jobs = [Job("plain-mlp", "digits", seed, Recipe(batch_size=50, epochs=30)) for seed in range(4)]
    cluster = Cluster(initialize_head=True, head_node_args={
        "num_cpus": 0, "include_dashboard": False,               # it runs nothing, and notices a dead node in 10 s
        "_system_config": {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500,
                           "health_check_failure_threshold": 20}})
    other = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    store = Store(root + "/ray", every=0)

    with ThreadPoolExecutor(1) as pool:  # Ray adds a node from the main thread alone
        sweep = pool.submit(carry_out_all, jobs, store, engine="ray", progress=False)
        while not list(store.root.glob("*.*")) and not sweep.done():
            time.sleep(0.01)
        finished = len(list(store.root.glob("*.safetensors")))
        cluster.remove_node(other, allow_graceful=False)  # the only one that computes; another takes its place
        cluster.add_node(num_cpus=1)
        sweep.result()
    assert finished < len(jobs), "no node was killed"
    ray.shutdown()
    cluster.shutdown()
    torch.set_num_threads(1)
    for job in jobs:
        assert torch.equal(carry_out(job, store).x, carry_out(job, Store(root + "/local")).x)
    print("same bits")
""")


def test_a_node_killed_in_the_middle_of_a_sweep_changes_no_result(tmp_path):
    pytest.importorskip("ray")
    done = subprocess.run(
        [sys.executable, "-c", CLUSTER, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert "same bits" in done.stdout, done.stderr[-3000:]
