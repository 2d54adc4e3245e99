"""The command as a user types it: answers, JSON, refusals in one sentence with exit status 2, Ctrl-C with 130."""

import dataclasses
import json
import re
import subprocess
import sys

import pytest

import flatlab
from flatlab import cli
from flatlab.study import experiments
from flatlab.study.design import Setting
from flatlab.study.recorded import Result

RUN = ["mlp", "mnist1d", "--batch-size", "0.5", "--epochs", "1"]


def answer(capsys, *arguments):
    status = cli.main([*arguments, "--json"])
    assert status == 0
    return json.loads(capsys.readouterr().out)


def test_train_then_sharpness_then_line_share_one_run(capsys, tmp_path):
    store = ["--store", str(tmp_path)]
    run = answer(capsys, "train", *RUN, *store)
    assert run["facts"]["rows"] == 2000 and len(run["history"]["epoch"]) == 1
    found = answer(capsys, "sharpness", *RUN, *store, "--eps", "5e-4", "--subspace", "20", "--steps", "3")
    assert found["percent"] > 0 and found["subspace"] == 20 and found["maximum"]["evaluations"] <= 4
    assert len(list(tmp_path.iterdir())) == 1
    path = answer(capsys, "line", *RUN, *store, "--large", "2000")
    assert len(path["loss"]) == 25 and len(list(tmp_path.iterdir())) == 2  # 0.5 and 2000 are two recipes
    assert path["loss"][8] == pytest.approx(path["loss"][16])  # of the same run


def test_who_reads_may_stop_before_the_end():
    """As `flatlab verdicts | head -1` does: not a word on stderr, and no other status."""
    command = [sys.executable, "-m", "flatlab", "verdicts"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (0, b"")


def test_runs_list_show_prune(capsys, tmp_path):
    store = ["--store", str(tmp_path)]
    assert cli.main(["runs", "list", *store]) == 0 and "no runs" in capsys.readouterr().out
    cli.main(["train", *RUN, *store])
    capsys.readouterr()
    listed = answer(capsys, "runs", "list", *store)["runs"]
    assert len(listed) == 1 and not listed[0]["partial"]
    assert answer(capsys, "runs", "show", listed[0]["key"][:6], *store) == listed[0]
    (tmp_path / "torn.partial").write_bytes(b"x")
    assert len(answer(capsys, "runs", "prune", *store)["removed"]) == 1
    assert cli.main(["runs", "list", *store]) == 0 and "1 epochs, finished" in capsys.readouterr().out


def test_data(capsys):
    assert "mnist1d" in answer(capsys, "data")["names"]
    assert answer(capsys, "data", "digits")["digits"]["classes"] == 10


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["data", "mnist2d"], "did you mean 'mnist1d'"),
        (["train", "f1", "mnist1d"], "nearest: F1"),
        (["train", "mlp", "mnist1d", "--lr", "0"], "lr must be above 0"),
        (["train", "C1", "mnist1d"], "needs images"),
        (["reproduce", "table22"], "nearest: table2"),
        (["reproduce", "table2", "--tier", "huge"], "choose one of smoke"),
        (["reproduce", "table2", "--nets", "mlp", "F9"], "none of the nets F9: it has mlp"),
        (["plan", "fig99"], "there is no 'fig99'"),
        (["plan", "--tier", "smok"], "there is no 'smok': choose one of smoke"),
        (["plan", "table2", "table22"], "nearest: table2"),
        (["verdicts", "table22"], "nearest: table2"),
        (["verdicts", "--tier", "smok"], "there is no 'smok': choose one of smoke"),
        (["verdicts", "--store", "runs"], "give them with --again"),
        (["verdicts", "--again", "table2", "--tier", "huge"], "there is no 'huge'"),
        (["verdicts", "--again", "--nets", "C1"], "no claim is judged by what is recorded of that at the smoke tier"),
        (["verdicts", "--again", "--nets", "mlp", "F9"], "there is no 'F9': choose one of mlp"),
        (["verdicts", "--nets", "mlp half"], "nearest: mlp, half"),
        (["verdicts", "--again", "edge", "--tier", "paper"], "edge is not recorded at the paper tier"),
        (["runs", "show", "zz"], "0 runs"),
        (["runs", "show"], "say which run"),
    ],
)
def test_refusals_are_one_sentence_and_exit_2(capsys, arguments, sentence):
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.startswith("flatlab: ") and error.count("\n") == 1


def test_what_is_no_number_is_said_to_be_none(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "mlp", "mnist1d", "--batch-size", "many"])
    assert "argument --batch-size: invalid number value: 'many'" in capsys.readouterr().err


def test_a_second_run_is_not_read_from_the_first_ones_store(capsys):
    assert cli.main(["verdicts", "--again", "--store", str(flatlab.Store().root)]) == 2
    assert "choose another --store" in capsys.readouterr().err


def test_of_torchruns_workers_the_first_one_speaks(capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, spoken in (("0", 1), ("1", 0)):
        monkeypatch.setenv("RANK", rank)
        assert cli.main(["data", "--json"]) == 0
        assert capsys.readouterr().out.count("\n") == spoken
    assert cli.main(["reproduce", "table2"]) == 2 and "run it without torchrun" in capsys.readouterr().err


def test_torchrun_with_more_workers_than_gpus_is_one_sentence(capsys, monkeypatch):
    for name, value in {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cli.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(cli.torch.cuda, "device_count", lambda: 2)
    for command in ("train", "sharpness", "line"):
        assert cli.main([command, *RUN]) == 2
        error = capsys.readouterr().err
        assert "4 workers on this machine, which has GPUs for 2" in error and error.count("\n") == 1


def test_an_interrupt_is_130(capsys, monkeypatch):
    monkeypatch.setattr(flatlab, "load", lambda name: (_ for _ in ()).throw(KeyboardInterrupt))
    assert cli.main(["train", *RUN]) == 130 and "goes on from there" in capsys.readouterr().err


def test_help_of_every_command(capsys):
    for arguments in (
        [],
        ["data"],
        ["train"],
        ["sharpness"],
        ["line"],
        ["reproduce"],
        ["plan"],
        ["verdicts"],
        ["runs"],
    ):
        with pytest.raises(SystemExit) as stop:
            cli.main([*arguments, "--help"])
        assert stop.value.code == 0 and len(capsys.readouterr().out) > 200


@pytest.mark.parametrize("command", ["train", "sharpness", "line"])
def test_help_explains_every_field_of_a_recipe(capsys, monkeypatch, command):
    """With the sentence of the recipe's own documentation."""
    monkeypatch.setenv("COLUMNS", "10000")
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    said = " ".join(capsys.readouterr().out.partition("\noptions:")[2].split())
    for field in dataclasses.fields(flatlab.Recipe):
        (sentence,) = re.findall(rf"--{field.name.replace('_', '-')}(?: [A-Z0-9_]+)? (.+?\.)(?= \(default| --)", said)
        assert len(sentence) > 20 and sentence in " ".join(flatlab.Recipe.__doc__.split())


def test_every_field_of_a_recipe_can_be_set(capsys):
    wanted = flatlab.Recipe(
        batch_size=0.5,
        epochs=0,
        optimizer="sgd",
        lr=0.2,
        momentum=0.9,
        weight_decay=0.1,
        update="noisy_inputs",
        strength=0.3,
        growth=1.5,
        grow_to=0.75,
        decay=0.25,
        warm_up=2,
        l1=0.01,
        augmentation=0.5,
        precision="bf16",
    )
    options = []
    for name, value in dataclasses.asdict(wanted).items():
        if value != getattr(flatlab.Recipe(), name):
            options += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    run = answer(capsys, "train", "mlp", "mnist1d", *options)
    assert run["facts"]["recipe"] == dataclasses.asdict(wanted)
    assert cli.main(["train", "mlp", "mnist1d", "--epochs", "0", "--sync-batch-norm"]) == 2  # set, and refused
    assert "sync_batch_norm needs CUDA" in capsys.readouterr().err


PAPERS = ("table2", "table3", "table4", "fig2", "fig3", "fig7")


@pytest.fixture
def tiny(monkeypatch):
    settings = {"smoke": (Setting("mlp", "digits", 400, 0.5, 1, (0, 1)),)}
    for name in PAPERS:
        monkeypatch.setitem(
            experiments.EXPERIMENTS, name, dataclasses.replace(experiments.EXPERIMENTS[name], settings=settings)
        )


def test_reproduce_writes_a_result_with_its_provenance(capsys, tmp_path, tiny):
    out = tmp_path / "table3.json"
    assert (
        cli.main(["reproduce", "table3", "--workers", "1", "--store", str(tmp_path / "store"), "--out", str(out)]) == 0
    )
    said = capsys.readouterr().out
    assert "SB 1e-3" in said and f"written to {out} and {tmp_path / 'table3.md'}" in said
    assert "**mlp on digits**, smoke tier, 2 seeds" in (tmp_path / "table3.md").read_text()
    result = Result.read(out)
    assert result.seeds == {"mlp": [0, 1]} and set(result.values["mlp"]) == {"SB 1e-3", "LB 1e-3", "SB 5e-4", "LB 5e-4"}
    assert all(len(v) == 2 for v in result.values["mlp"].values())
    known = {"flatlab", "torch", "device", "processor", "commit", "seconds", "date", "semantics"}
    assert known <= set(result.provenance["mlp"])
    assert result.recipes["mlp"]["LB"]["batch_size"] == 0.5


@pytest.fixture
def done(monkeypatch):
    """`reproduce` has its answer at once."""
    result = Result(
        "throughput",
        "smoke",
        {"mlp": "mnist1d"},
        {"mlp": (0,)},
        {},
        {"mlp": {"batch_size": [[8, 32]], "rows per second": [[1.0, 2.0]]}},
        {},
    )
    monkeypatch.setattr(flatlab, "reproduce", lambda *arguments, **options: result)


def test_reproduce_writes_a_figure_beside_the_result(capsys, tmp_path, done):
    pytest.importorskip("matplotlib")
    for out, shown in (
        ("a.json", "a.svg"),
        ("b", "b.svg"),
        ("c.svg", "c.svg.svg"),
    ):  # no name makes one overwrite the other
        found = answer(capsys, "reproduce", "throughput", "--out", str(tmp_path / out))
        assert found["shown"] == str(tmp_path / shown) and (tmp_path / shown).read_text().startswith("<svg")
        assert Result.read(tmp_path / out).experiment == "throughput"


def test_a_result_that_could_not_be_written_is_refused_before_anything_is_trained(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(flatlab, "reproduce", lambda *args, **kwargs: pytest.fail("it was trained"))
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "a.json", "/proc/a.json"):
        assert cli.main(["reproduce", "throughput", "--out", str(out)]) in (1, 2)
        said = capsys.readouterr().err
        assert f"{out} could not be written" in said and said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_without_matplotlib_the_result_is_written_and_it_says_what_is_missing(capsys, tmp_path, done, monkeypatch):
    monkeypatch.delattr(flatlab.plots, "results", raising=False)
    monkeypatch.setitem(sys.modules, "flatlab.plots.results", None)
    assert cli.main(["reproduce", "throughput", "--out", str(tmp_path / "a.json")]) == 0
    assert "pip install 'flatlab[book]'" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.json"]


def test_experiments_share_their_runs_and_agree(tmp_path, tiny):
    results = {name: flatlab.reproduce(name, store=tmp_path, workers=1, progress=False) for name in PAPERS}
    files = [facts for _, _, facts in flatlab.Store(tmp_path).runs()]
    assert sum("history" in facts for facts in files) == 4  # two batch sizes, two seeds, trained once
    assert sum("values" in facts for facts in files) == 2 * len(PAPERS)
    accuracy, path = results["table2"].values["mlp"], results["fig3"].values["mlp"]
    for seed in (0, 1):
        assert (
            path["acc_test"][seed][8] == accuracy["test SB"][seed]
            and path["acc_test"][seed][16] == accuracy["test LB"][seed]
        )
        assert results["fig2"].values["mlp"]["SB_test"][seed][-1] == accuracy["test SB"][seed]


def test_plan_says_what_a_tier_takes(capsys, tiny):
    assert cli.main(["plan", "table2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"table2", "all"} and found["all"] == found["table2"] | {"seconds": found["all"]["seconds"]}
    assert found["table2"]["runs"] == 4 and found["table2"]["flops"] > 1e9


def test_the_list_of_runs_tells_measurements_from_runs(capsys, tmp_path, tiny):
    flatlab.reproduce("table2", store=tmp_path, workers=1, progress=False)
    assert cli.main(["runs", "list", "--store", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.count("measured: table2") == 2 and said.count("1 epochs, finished") == 4


def test_a_result_that_is_not_recorded_or_not_ours_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "table2-smoke.json").write_text("{}")
    monkeypatch.setattr("flatlab.study.recorded.results_directory", lambda: tmp_path)
    advice = "take smoke, or, if the experiment has this tier, run `flatlab reproduce table2 --tier paper`"
    with pytest.raises(FileNotFoundError, match=advice):
        flatlab.recorded("table2", "paper")
    (tmp_path / "r.json").write_text("{}")
    with pytest.raises(OSError, match="not a flatlab result"):
        Result.read(tmp_path / "r.json")
