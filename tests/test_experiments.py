"""Every experiment at a size of seconds: it runs, it resumes, it writes what it measured; engines change nothing."""

import dataclasses
import io
import json
import math
import runpy
import subprocess
import types

import numpy as np
import pytest
import torch
import tqdm.auto

import flatlab
from flatlab.plots import results as figures
from flatlab.plots import tables
from flatlab.study import (
    controls,
    correlations,
    cures,
    curvature,
    engines,
    essays,
    experiments,
    gradient_noise,
    jobs,
    paper,
    parallel,
    rates,
    recorded,
    splits,
)
from flatlab.study.claims import CLAIMS
from flatlab.study.cost import cost
from flatlab.study.design import Case, Experiment, Runs, Setting
from flatlab.study.engines import carry_out_all
from flatlab.study.experiments import EXPERIMENTS
from flatlab.study.jobs import Job, carry_out, count_updates
from flatlab.study.ledger import judge
from flatlab.study.regression import PROBLEMS, STEPS_TRIED, descend, made
from flatlab.study.reproductions import evidence_of_a_threshold, threshold
from flatlab.training.train import Recipe

TINY = Setting("mlp", "mnist1d", 40, 0.5, 2, (0, 1))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def few_rows(request, monkeypatch):
    """Every data set shrunk to 200 rows, or to what the experiment of a test needs. Returns the names of those of which
    the validation split is asked for."""
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    rows = ROWS.get(parameters.get("name"), 200)
    small = {
        name: splits.loaded(name).subset(rows)
        for name in ("mnist1d", "1000 rows of mnist1d", "2000 rows of mnist1d", "digits")
    }
    monkeypatch.setattr(splits, "loaded", small.__getitem__)
    chosen_on = []
    monkeypatch.setattr(splits, "validation", lambda name: chosen_on.append(name) or small[name].test)
    return chosen_on


# A sixteenth of the rows holds the larger batch of a claim.
ROWS = {"data-growth": 32 * 16}

# Sizes and arguments of seconds where an experiment's own are of minutes.
SIZES = {
    "regression": {"small": 20, "large": 2000},
    "lenet-sweep": {"small": 10},
    "many-starts": {"epochs": 1},
    "critical-batch": {"epochs": 4},
}
OPTIONS = {
    "edge": {"steps": 8, "points": 4, "rows": 50},
    "edge-by-batch": {"steps": 6, "rows": 50, "sizes": (8, 50), "samples": 2, "points": 2},
    "adam-edge": {"steps": 8, "points": 4, "rows": 50},
    "spectrum": {"steps": 4, "probes": 1, "count": 2},
    "connect": {"steps": 5},
    "measures": {"samples": 4},
    "noise-along": {"samples": 3},
    "shift": {"points": 5},
}
GRIDS = {
    rates: {"RATIO_SIZES": (8, 16, 32, 64, 100, 200), "SAME_RATE_SIZES": (8, 32, 100, 200), "FACTORS": (1, 4, 16)},
    essays: {"FACTORS": (1, 4, 16), "TRIED": {name: (0.01,) for name in essays.TRIED}},
    correlations: {"FITTED": 0.0, "AXES": {**correlations.AXES, "batch": (50, 100), "rate": (2, 8), "decay": (0.0,)}},
    gradient_noise: {"TARGET": 100.0, "NOISE_SIZES": (4, 8, 16, 32), "FEWER_FACTORS": (1, 4)},
    controls: {"seconds_per_update": lambda *which: 0.001},
}


def tiny(name, monkeypatch, **changes):
    """The experiment at a size of seconds, on its first net."""
    experiment = EXPERIMENTS[name]
    first = experiment.settings["smoke"][0]
    setting = dataclasses.replace(TINY, net=first.net, data=first.data, **SIZES.get(name, {}), **changes)
    options = {**experiment.options, **OPTIONS.get(name, {})}
    small = dataclasses.replace(experiment, settings={"smoke": (setting,)}, options=options)
    monkeypatch.setitem(EXPERIMENTS, name, small)
    for module, constants in GRIDS.items():
        for constant, value in constants.items():
            monkeypatch.setattr(module, constant, value)


def sizes_only(monkeypatch):
    """Every data set is MNIST-1D's: a plan needs the data's size alone."""
    data = flatlab.load("mnist1d")
    monkeypatch.setattr(splits, "loaded", lambda name: data)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_runs_and_writes_what_it_measured(name, few_rows, monkeypatch, shared, tmp_path):
    settings = [setting for tier in EXPERIMENTS[name].settings.values() for setting in tier]
    tiny(name, monkeypatch, seeds=(0,))
    result = flatlab.reproduce(name, store=shared, workers=1, progress=False)
    if few_rows:  # the measure chooses: hours of training at a larger tier may not end without a split to choose on
        assert all(rows or whole == "mnist1d" for rows, whole in (splits.part_of(s.data) for s in settings))
    result.save(tmp_path / "r.json")
    if name in figures.DRAWINGS:
        assert figures.draw(result).table
    else:
        assert tables.table(name, [result])
    assert json.loads((tmp_path / "r.json").read_text())["values"] == result.values
    for columns in result.values.values():
        for column, values in columns.items():
            assert len(values) == 1
            flat = np.array([v for v in np.ravel(values[0]) if v is not None], float)
            assert np.isfinite(flat).all() or "growth" in column, column
    for claim in (claim for claim in CLAIMS if claim.experiment == name):
        for verdict in judge(claim, result):
            assert verdict.seeds == math.isfinite(verdict.effect), (
                claim.name
            )  # one, or none where a target is not reached
    again = flatlab.reproduce(name, store=shared, workers=1, progress=False)
    assert again.values == result.values  # from the store, also times


def test_every_tier_of_every_experiment_has_a_plan_without_training(monkeypatch):
    sizes_only(monkeypatch)
    for name in EXPERIMENTS:
        for tier in EXPERIMENTS[name].settings:
            for job in experiments.jobs_of(name, tier):
                assert job.recipe.epochs >= 0 and (job.start is None or job.start[1] in job.start[0].keep), (name, tier)


def test_an_experiments_name_behind_nets_is_refused(monkeypatch, capsys, root):
    """Or the recorder would take it for a network, and record every experiment."""
    monkeypatch.setattr("sys.argv", ["record.py", "--tier", "reduced", "--nets", "mlp", "shift"])
    with pytest.raises(SystemExit):
        runpy.run_path(root / "results" / "record.py", run_name="__main__")
    assert "no experiment of the reduced tier has the nets shift." in capsys.readouterr().err


@pytest.mark.parametrize("tier", recorded.TIERS)
def test_recording_a_tier_misses_no_experiment_and_no_network(tier, root):
    stages = runpy.run_path(root / "results" / "record.py")["stages"]
    recorded = {}
    for name, nets in stages(tier, []):
        recorded.setdefault(name, []).extend(nets)
    for name, experiment in EXPERIMENTS.items():
        nets = [setting.name for setting in experiment.settings.get(tier, ())]
        assert sorted(recorded.get(name, [])) == sorted(nets), name
        assert len(set(nets)) == len(nets), name  # a result is known by its net's name


def test_some_networks_of_a_tier_are_recorded_alone(root):
    stages = runpy.run_path(root / "results" / "record.py")["stages"]
    found = {}
    for name, nets in stages("reduced", [], ["mlp", "plain-mlp"]):
        found.setdefault(name, []).extend(nets)
    assert {"table2": ["mlp"], "ratio": ["plain-mlp"], "spectrum": ["mlp", "plain-mlp"]}.items() <= found.items()
    assert "regression" not in found and dict(stages("reduced", ["ratio", "fig4"], ["mlp"])) == {}


def test_part_of_a_data_set_goes_by_the_name_it_is_marked_with():
    part, whole = splits.loaded("50 rows of digits"), flatlab.load("digits")
    for rows, of in ((part.train, whole.train), (part.test, whole.test)):
        assert len(rows) == 50 and (torch.cdist(rows.x.flatten(1), of.x.flatten(1)).min(1).values == 0).all()
    assert part.classes == whole.classes and tables.named("50 rows of cifar10") == "50 rows of CIFAR-10"
    assert len(splits.loaded("400 rows of digits").test) == len(whole.test)
    job = Job("mlp", "50 rows of digits", 0, Recipe(batch_size=25, epochs=2))
    assert jobs.count_updates(job) == 4 and "50 rows of digits" in str(job)


def test_a_bar_counts_the_epochs_of_a_plan_and_another_what_is_measured(few_rows, tmp_path, monkeypatch):
    tiny("table2", monkeypatch)
    bars = []

    class Bar(tqdm.auto.tqdm):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **{**options, "disable": False, "file": io.StringIO()})
            bars.append(self)

    monkeypatch.setattr("tqdm.auto.tqdm", Bar)
    flatlab.reproduce("table2", store=tmp_path, workers=1)
    shown = [(bar.desc.strip(": "), bar.n, bar.total, bar.unit) for bar in bars if "batch" not in bar.desc]
    assert shown == [("4 runs", 8, 8, "epoch"), ("measuring table2", 2, 2, "seed")]


def test_two_engines_give_the_same_bits(few_rows, tmp_path, monkeypatch):
    jobs = [Job("plain-mlp", "digits", seed, Recipe(batch_size=300, epochs=1)) for seed in (0, 1)]
    monkeypatch.undo()  # other processes see the whole data
    for engine, workers in (("one", 1), ("two", 2)):
        carry_out_all(jobs, flatlab.Store(tmp_path / engine), workers=workers, progress=False)
    for job in jobs:
        torch.set_num_threads(1)
        assert torch.equal(*(carry_out(job, flatlab.Store(tmp_path / engine)).x for engine in ("one", "two")))


def a_cure_by_rate(doses, monkeypatch):
    """The large batch by plain descent at some rates, as an experiment of seconds."""
    cure = cures.Cure("", doses, lambda dose: {"optimizer": "sgd", "lr": dose})
    setting = dataclasses.replace(TINY, net="plain-mlp")
    experiment = Experiment("", {"smoke": (setting,)}, cures.doses(cure), cures.strength, {"doses": doses})
    monkeypatch.setitem(EXPERIMENTS, "sam", experiment)


def test_a_dose_that_diverges_has_failed_and_the_others_are_measured(few_rows, monkeypatch, tmp_path):
    a_cure_by_rate((0.1, 1e30), monkeypatch)
    with pytest.warns(UserWarning, match="the training loss is nan in epoch .: lower lr, which is 1e[+]30"):
        result = flatlab.reproduce("sam", "smoke", store=tmp_path, workers=1, progress=False)
    (values,) = result.values.values()
    for column in ("cure_test", "cure_1e-3", "cure_train"):
        assert [np.isfinite(row).tolist() for row in values[column]] == [[True, False]] * len(values[column])
    assert set(values["cure dose"]) == {0.1}
    result.save(tmp_path / "kept.json")
    assert np.isnan(flatlab.Result.read(tmp_path / "kept.json").values["plain-mlp"]["cure_test"][0][1])


def test_a_run_that_is_not_on_a_grid_may_not_diverge(few_rows, monkeypatch, tmp_path):
    a_cure_by_rate((0.1,), monkeypatch)
    plain = Setting.pair
    monkeypatch.setattr(Setting, "pair", lambda self, seed: plain(self, seed, optimizer="sgd", lr=1e30))
    with (
        pytest.warns(UserWarning, match="not finite|is nan"),
        pytest.raises(FloatingPointError, match="the run 'SB' cannot be measured, because its training loss was not"),
    ):
        flatlab.reproduce("sam", "smoke", store=tmp_path, workers=1, progress=False)


def test_a_divergence_comes_back_from_another_process(tmp_path):
    jobs = [Job("plain-mlp", "digits", 0, Recipe(300, 1, optimizer="sgd", lr=rate)) for rate in (0.1, 1e30)]
    with pytest.warns(UserWarning, match="plain-mlp on digits, batch 300, 1 epochs, seed 0: the training loss is"):
        carry_out_all(jobs, flatlab.Store(tmp_path), workers=2, progress=False)
    assert len(list(flatlab.Store(tmp_path).runs())) == 1


def test_what_is_stored_is_not_handed_out_again(few_rows, tmp_path, monkeypatch):
    store = flatlab.Store(tmp_path)
    plain = Job("plain-mlp", "digits", 0, Recipe(batch_size=50, epochs=2))
    keeping = dataclasses.replace(plain, keep=(1,))
    warm = dataclasses.replace(plain, start=(keeping, 1))
    handed_out = []
    monkeypatch.setattr(
        engines,
        "_one_by_one",
        lambda jobs, store: (handed_out.append(job) or carry_out(job, store) and (job, "") for job in jobs),
    )
    for wanted, expected in (
        ([plain], [plain]),
        ([plain], []),
        ([plain, keeping, warm], [keeping, warm]),
        ([warm, keeping, plain], []),
    ):
        carry_out_all(wanted, store, workers=1, progress=False)
        assert handed_out == expected
        handed_out.clear()
    assert not list(tmp_path.glob("*.partial"))


def test_a_warm_start_begins_where_the_other_run_was(few_rows, tmp_path):
    first = Job("mlp", "mnist1d", 0, Recipe(batch_size=50, epochs=3), keep=(1,))
    then = Job("mlp", "mnist1d", 0, Recipe(batch_size=100, epochs=1), start=(first, 1))
    carry_out_all([then], flatlab.Store(tmp_path), workers=1, progress=False)
    store = flatlab.Store(tmp_path)
    assert torch.equal(carry_out(then, store).x0, carry_out(first, store).points[1])
    one = carry_out(dataclasses.replace(first, recipe=Recipe(batch_size=50, epochs=1), keep=()), store)
    assert torch.equal(one.x, carry_out(first, store).points[1])  # an iterate is the end of a shorter run


def test_the_cost_of_a_plan_is_counted(monkeypatch):
    """The MLP's matrices have 40 x 256 + 3 x 256^2 + 256 x 10 entries; two operations each forward, three times that in
    all. Every batch size takes as many operations an epoch, also those beyond the rows that are timed."""
    data = flatlab.load("mnist1d", device="cpu").subset(1200)
    monkeypatch.setattr(splits, "loaded", lambda name: data)
    matrices = 40 * 256 + 3 * 256**2 + 256 * 10
    for batches in ([50], [300], [600, 50, 300]):
        wanted = [Job("mlp", "mnist1d", 0, Recipe(batch_size=batch, epochs=5)) for batch in batches]
        found = cost([*wanted, *wanted])
        assert found["runs"] == len(batches) and found["seconds"] > 0
        assert found["flops"] == 6 * matrices * 1200 * 5 * len(batches)
    assert count_updates(wanted[0]) == 10


def test_the_threshold_is_the_break_of_a_level_and_a_line():
    sizes = [16, 32, 64, 128, 256, 512, 1024]
    for place in range(1, 6):
        accuracy = [80 - 3 * max(0, math.log(size / sizes[place])) for size in sizes]
        assert threshold(sizes, accuracy) == sizes[place]
        assert evidence_of_a_threshold(sizes, accuracy) > (10 if place > 1 else 2)


def test_a_line_has_no_threshold():
    """With noise of a fixed size the gain of a break is a chance's: below 2 in most draws."""
    sizes, random = np.geomspace(32, 2500, 9), np.random.default_rng(0)
    gains = [evidence_of_a_threshold(sizes, 80 - np.log(sizes) + random.normal(0, 0.3, 9)) for _ in range(200)]
    assert np.mean(np.array(gains) > 2) < 0.1


def test_the_rule_on_the_papers_own_curves():
    """It does not find the thresholds that the paper reads by eye, 500 and 15,000, but where accuracy begins to fall,
    and the claim says so: at the paper's sizes 0.35 and 0.14 of the fall are over."""
    found, over = {}, {}
    for net, theirs in paper.THRESHOLDS.items():
        sizes, accuracy = paper.curve("fig4", net, "test_acc").values()
        found[net] = threshold(sizes, accuracy)
        level = accuracy[sizes <= found[net]].mean()
        over[net] = (level - np.interp(theirs, sizes, accuracy)) / (level - accuracy[-1])
    assert {net: round(value) for net, value in found.items()} == {"C1": 223, "F2": 8407}
    assert {net: round(share, 2) for net, share in over.items()} == {"C1": 0.35, "F2": 0.14}
    (claim,) = [claim for claim in CLAIMS if claim.name == "a threshold exists"]
    for number in (*found.values(), *paper.THRESHOLDS.values()):
        assert f"{number:,.0f}" in claim.rule


@pytest.mark.parametrize(
    "losses, updates",
    [
        ([1.2, 0.9, 0.5], 20),  # half-way between the middles of the second epoch and the third, 15 and 25
        ([1.2, 0.7], 15),
        (
            [0.5, 0.2],
            5 * (math.log(10) - 0.7) / (math.log(10) - 0.5),
        ),  # within the first epoch, from a net that knows nothing
        ([1.2, 0.9, 0.8], None),
        ([1.2, 0.6, 0.9, 0.5], 5 + 10 * 5 / 6),  # the first time
    ],
)
def test_the_updates_to_a_target_are_told_within_an_epoch(losses, updates):
    history = {"updates": [10 * (k + 1) for k in range(len(losses))], "train_loss": losses}
    found = gradient_noise.updates_to_target(history, 10)
    assert found == (updates if updates is None else pytest.approx(updates))


def test_what_jitters_at_the_edge_is_the_mean_over_late_points(monkeypatch, few_rows):
    """lambda_max that counts its calls: 1, 2, 3, 4 at four points of each size, so the means are 2.5 and 6.5."""
    counted, steps = iter(range(1, 100)), []
    monkeypatch.setattr(curvature.Descent, "curvature", lambda self: next(counted))
    monkeypatch.setattr(curvature.Descent, "steps", lambda self, count, rate, rows=None: steps.append((count, rows)))
    case = Case(dataclasses.replace(TINY, net="plain-mlp"), 0, Runs({}))
    found = curvature.edge_by_batch(case, rows=50, steps=60, rate=2.0, sizes=(8, 50), samples=1, points=4)
    assert found["lambda"] == [2.5, 6.5]
    assert steps == [(40, 8), *[(5, 8)] * 4, (40, None), *[(5, None)] * 4]


def test_a_policy_is_measured_over_as_many_rows_as_the_setting_says(monkeypatch, few_rows):
    rows = []
    monkeypatch.setattr(controls, "sharpness", lambda f, x: rows.append(f.rows) or types.SimpleNamespace(percent=1.0))
    setting = dataclasses.replace(TINY, measured=40)
    start = types.SimpleNamespace(x=Case(setting, 0, Runs({})).whole.x)
    controls.batch_norm(Case(setting, 0, Runs({"SB": start})))
    assert rows == [40] * len(controls.POLICIES)


@pytest.mark.parametrize("away", [0.5, 2.0])
def test_a_shift_is_the_way_to_the_least_test_loss_along_its_gradient(away):
    """A bowl whose middle lies `away` from x: the ray meets it there, and the loss falls by half the square."""
    middle, x = torch.tensor([1.0, 2.0]), torch.tensor([1.0 + away, 2.0])

    def value(point):
        return float((point - middle).square().sum()) / 2

    test = types.SimpleNamespace(
        value=value, gradient=lambda point: (value(point), point - middle), hessian=lambda point: torch.eye(2)
    )
    f = types.SimpleNamespace(value=lambda point: 0.125)
    case = types.SimpleNamespace(runs={"SB": types.SimpleNamespace(x=x)}, test=test, f=f)
    found = curvature.shift(case, farthest=8.0, points=401)
    assert found["SB move to its least"] == pytest.approx(away, rel=0.02)
    assert found["SB fall of the test loss"] == pytest.approx(away**2 / 2, rel=1e-3)
    assert found["SB test less training loss"] == pytest.approx(away**2 / 2 - 0.125)
    assert found["SB test gradient"] == pytest.approx(away)
    assert found["SB test lambda_max"] == pytest.approx(1)


def test_points_are_averaged_over_the_window_that_validation_prefers(monkeypatch):
    """Points 5 to 8 of eight epochs: the last two, the least that make a mean, average to 7.5, the last four to 6.5."""
    monkeypatch.setattr(cures, "outcome", lambda case: {})
    monkeypatch.setattr(cures, "phi", lambda case, x: 100 * x.item())
    points = {epoch: torch.tensor([float(epoch)]) for epoch in (5, 6, 7, 8)}
    case = types.SimpleNamespace(
        setting=dataclasses.replace(TINY, epochs=8),
        runs={"SB": types.SimpleNamespace(points=points)},
        validation=types.SimpleNamespace(accuracy=lambda x: -x.item()),
        test=types.SimpleNamespace(accuracy=lambda x: 10 * x.item()),
    )
    found = cures.averages(case, (0.05, 0.5))
    assert (found["SB averaged_test"], found["SB averaged_1e-3"]) == ([75, 65], [750, 650])
    assert (found["test SB averaged"], found["SB averaged 1e-3"], found["SB averaged dose"]) == (65, 650, 0.5)


def test_a_growing_batch_is_the_large_one_after_its_share_of_the_epochs(few_rows):
    setting = dataclasses.replace(TINY, epochs=20)
    jobs = rates.growing(setting, 0)
    for share in rates.GROWN_OVER:
        recipe = jobs[f"{share:g}"].recipe
        reached = round(share * setting.epochs)
        assert recipe.rows(setting.rows) == jobs["SB"].recipe.rows(setting.rows)
        large = jobs["LB"].recipe.rows(setting.rows)
        assert recipe.rows(setting.rows, reached // 2) < large == recipe.rows(setting.rows, reached + 1)


def test_an_update_is_timed_on_workers_of_torchrun():
    assert 0 < parallel.seconds_per_update("plain-mlp", "digits", 64, workers=2, updates=2) < 60


def test_workers_that_fail_are_one_sentence_with_what_they_said(monkeypatch):
    """In the words of torchrun, whose start takes seconds."""
    said = "[rank0]: Traceback (most recent call last):\n[rank0]: ValueError: there is no net 'no-net'\nother lines"
    failed = subprocess.CompletedProcess([], returncode=1, stdout="", stderr=said)
    monkeypatch.setattr(subprocess, "run", lambda *command, **options: failed)
    with pytest.raises(RuntimeError, match="^1 workers could not be timed: .*ValueError: there is no net 'no-net'$"):
        parallel.seconds_per_update("no-net", "digits", 64, workers=1)


@pytest.mark.parametrize("rate", STEPS_TRIED)
def test_descent_on_all_rows_has_its_closed_form(rate):
    """Each full step takes w - w* to (I - 2 rate M)(w - w*); with so many rows M is the features' variances and w* the
    true weights. The excess loss is measured on ten thousand other rows, so to about two percent; what the noise
    leaves, n / N, is added."""
    kind, count = PROBLEMS["many uneven"], 100_000
    rows, truth = made(kind, count, seed=0)
    generator = torch.Generator().manual_seed(0)
    torch.randn(count + count // 10, 64, generator=generator)
    weights, variances = torch.randn(64, generator=generator).double(), torch.logspace(0, -2, 64, dtype=torch.float64)
    curve = descend(rows, truth, kind, count, rate, passes=3, seed=0)
    assert curve.updates.tolist() == [0, 1, 2, 3]
    for update, found in zip(curve.updates, curve.excess):
        left = (variances * (1 - 2 * rate * variances) ** (2 * update) * weights**2).sum().item()
        assert found == pytest.approx(left, rel=0.05, abs=2 * 64 / count)


@pytest.mark.parametrize(
    "arguments, sentence",
    [(("tabel2",), "there is no 'tabel2'.*nearest: table2"), (("table2", "huge"), "there is no 'huge'")],
)
def test_a_wrong_name_is_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        flatlab.reproduce(*arguments)
    with pytest.raises(ValueError, match="none of the nets F9: it has mlp"):
        flatlab.reproduce("table2", nets=["F9"])


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"nets": "F1"}, "nets is 'F1': pass a list of names, .* or None for all.$"),
        ({"nets": []}, "nets is .*: pass a list of names"),
        ({"workers": 0}, "workers is 0: choose 1 or more, or None for one per core"),
        ({"workers": "two"}, "workers is 'two': choose a whole number"),
    ],
)
def test_networks_are_a_list_and_workers_a_number(options, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        flatlab.reproduce("table2", store=tmp_path, **options)
    assert not list(tmp_path.iterdir())
