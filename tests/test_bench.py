"""The benchmarks: the timer takes turns, every comparison runs at a toy size, a promise is judged by what was
measured."""

import functools
import json
import operator

import pytest
import torch

from benchmarks import gpu, run, timing
from benchmarks.workload import blobs, loss_and_gradient, network

TOY = {
    "sharpness": {"widths": (8,), "rows": 40, "epochs": 1},
    "products": {"widths": (8,), "rows": 40, "epochs": 1, "memory": (20,), "width": 4, "separate": False},
    "eigenvalue": {"widths": (8,), "rows": 40, "epochs": 1},
    "spectrum": {
        "widths": (8,),
        "small": {"widths": (4,), "inputs": 5},
        "rows": 40,
        "small_rows": 30,
        "steps": 4,
        "products": 6,
        "seeds": 2,
        "epochs": 1,
    },
    "plane": {"widths": (4,), "rows": 40, "inputs": 6, "points": 5, "epochs": 1},
    "epoch": {"nets": {"toy": ((8,), 16, 40)}, "workers": (0,), "epochs": 1},
    "growth": {
        "rows": (20, 40),
        "width": 4,
        "widths": (4, 8),
        "few": 20,
        "chunk": 20,
        "ways": ("loss",),
        "separate": False,
    },
}
PEERS = {"eigenvalue": ["hessian_eigenthings"], "plane": ["loss_landscapes"]}  # those that only `make bench` installs


def test_the_timer_takes_turns_and_leaves_out_the_first_round():
    calls = []
    ways = {name: lambda round, name=name: calls.append((name, round)) or (name, round) for name in "ab"}
    timed = timing.interleave(ways, 3)
    assert calls == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2), ("b", 3), ("a", 3)]
    assert timed["a"].results == [("a", 1), ("a", 2), ("a", 3)] and len(timed["a"].seconds) == 3


def test_a_ratio_is_taken_round_by_round():
    assert timing.ratio([2, 6, 12], [1, 2, 3]) == {"median": 3, "low": 2, "high": 4}
    with pytest.raises(ValueError):
        timing.ratio([1, 2], [1])


def test_the_bare_computation_is_what_the_objective_computes():
    import flatlab

    data, net = blobs(40), network((8,))
    value, gradient = flatlab.Objective(net, data.train).gradient(flatlab.Objective(net, data.train).x)
    assert loss_and_gradient(net, data.train) == pytest.approx(value, rel=1e-6)
    bare = [p.grad.flatten().tolist() for p in net.parameters()]
    assert functools.reduce(operator.iadd, bare, []) == pytest.approx(gradient.tolist(), abs=1e-6)


def test_the_net_has_the_size_of_the_papers():
    assert sum(p.numel() for p in network().parameters()) == 1_462_794


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", run.CASES)
def test_every_comparison_runs(name):
    for module in PEERS.get(name, []):
        pytest.importorskip(module, reason="installed by `make bench`")
    case = run.CASES[name].measure(rounds=1, **TOY[name])
    assert case["title"] and case["setting"] and case["found"]
    for value in case["ratios"].values():
        assert value["low"] <= value["median"] <= value["high"]
    results = {"cases": {name: case}, "promises": run.promises({name: case})}
    assert case["title"] in run.table(json.loads(json.dumps(results)))
    for promise in results["promises"]:
        assert promise["kept"] == (promise["measured"] <= promise["limit"])


@pytest.mark.parametrize(
    "error, said",
    [
        (RuntimeError("no such operator\non this device"), "RuntimeError: no such operator"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_a_comparison_that_fails_says_so_and_stops_no_other(error, said, monkeypatch, capsys):
    def broken(**options):
        raise error

    monkeypatch.setattr(run.plane, "measure", broken)
    results = run.run(["plane"])
    assert results["cases"]["plane"]["failed"] == said
    assert results["promises"] == [] and said in run.table(results)
    capsys.readouterr()


def test_without_a_gpu_there_is_nothing_to_measure_on_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="^there is no GPU here, [^\n]*$"):
        gpu.main()


def test_the_recorded_promises_follow_from_the_recorded_numbers():
    recorded = json.loads(run.RESULTS.read_text())
    assert recorded["promises"] == run.promises(recorded["cases"])
    assert set(recorded["cases"]) == set(run.CASES) and not any("failed" in case for case in recorded["cases"].values())
    for fact in (
        "flatlab",
        "torch",
        "device",
        "commit",
        "date",
        "processor",
        "cores",
        "threads",
        "load before",
        "peers",
    ):
        assert recorded["provenance"][fact], fact
