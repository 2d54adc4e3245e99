"""`flatlab verdicts`: the ledger's words, and the words of a second run beside those of the first."""

import dataclasses
import json
import sys

import pytest
import torch

import flatlab
from flatlab import cli
from flatlab.study import again, experiments, recorded
from flatlab.study.design import Setting
from flatlab.study.ledger import agreement, judgements, ledger
from flatlab.study.recorded import Result

SETTING = ("mlp", "mnist1d", 400, 0.5, 1, (0, 1, 2, 3, 4))
SMALL = dataclasses.replace(experiments.EXPERIMENTS["table2"], settings={"smoke": (Setting(*SETTING),)})
PATCHED = f"""
import dataclasses, sys
from flatlab import cli
from flatlab.study import experiments
from flatlab.study.design import Setting
small = dataclasses.replace(experiments.EXPERIMENTS["table2"], settings={{"smoke": (Setting{SETTING},)}})
experiments.EXPERIMENTS["table2"] = small
sys.exit(cli.main(sys.argv[1:]))
"""
STEADY, FALLING, WIDE = [2, 2.1, 1.9, 2, 2], [-2, -2.1, -1.9, -2, -2], [9, -9, 5, 0, -3]


def accuracies(gaps, experiment="table2"):
    """A result with this gap in test accuracy for each net, and none in training accuracy."""
    columns = {
        net: {"train SB": [99.0] * 5, "train LB": [99.0] * 5, "test SB": [70 + one for one in gap], "test LB": [70] * 5}
        for net, gap in gaps.items()
    }
    return Result(
        experiment, "smoke", dict.fromkeys(gaps, "mnist1d"), dict.fromkeys(gaps, tuple(range(5))), {}, columns, {}
    )


def test_the_words_of_two_results_are_compared_claim_by_claim_and_net_by_net():
    before = accuracies({"mlp": STEADY, "F1": WIDE, "C1": STEADY, "C3": STEADY})
    after = accuracies({"mlp": FALLING, "F1": WIDE, "C1": WIDE})
    found = agreement([before], [after])
    words = {(one.claim, one.net): (one.word, other.word) for one, other in found.pairs}
    alike = {("trained alike", net): ("holds", "holds") for net in ("mlp", "F1", "C1")}
    gap = {"mlp": ("holds", "fails"), "F1": ("undecided", "undecided"), "C1": ("holds", "undecided")}
    assert words == alike | {("gap", net): pair for net, pair in gap.items()}
    assert found.equal == 4 / 6 and found.decided == (5 / 6, 4 / 6)
    assert judgements([before])["gap", "C3"].word == "holds"


def test_results_that_share_no_claim_have_no_shares():
    found = agreement([accuracies({"mlp": STEADY})], [])
    assert found.pairs == () and str(found.equal) == "nan" and str(found.decided) == "(nan, nan)"


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """table2 at a size of seconds, run once for all that is asked of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(experiments.EXPERIMENTS, "table2", SMALL)
        return flatlab.reproduce("table2", store=tmp_path_factory.mktemp("once"), workers=1, progress=False)


@pytest.fixture
def kept(once, monkeypatch, tmp_path):
    """That result, recorded in a folder of its own; a child knows the experiment as well."""
    monkeypatch.setitem(experiments.EXPERIMENTS, "table2", SMALL)
    monkeypatch.setattr(recorded, "results_directory", lambda: tmp_path)
    (tmp_path / "patched.py").write_text(PATCHED)
    monkeypatch.setattr(again, "PROGRAM", (sys.executable, str(tmp_path / "patched.py")))
    once.save(tmp_path / "table2-smoke.json")
    return once


def test_an_experiment_is_run_again_by_other_kernels_and_its_words_are_compared(kept, tmp_path, capsys):
    assert cli.main(["verdicts", "--again", "--workers", "1", "--store", str(tmp_path / "again"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    before = {(one.claim, one.net): one for one in judgements([kept]).values()}
    assert {(row["claim"], row["net"]): row["before"] for row in found["words"]} == {
        key: one.word for key, one in before.items()
    }
    assert found["results"] == 1
    if torch.backends.cpu.get_cpu_capability() not in ("DEFAULT", "NO AVX"):
        assert found["results of the same bits"] == 0
        for row in found["words"]:  # rounding, not another experiment
            assert row["effect after"] == pytest.approx(before[row["claim"], row["net"]].effect, abs=3)
    assert list((tmp_path / "again").glob("*.safetensors")), "the second run went to a store of its own"


def test_what_was_recorded_otherwise_than_it_would_run_now_is_left_out_and_named(kept, monkeypatch, tmp_path):
    """Else a word would change because the experiment did."""
    assert [list(one.values) for one in again.judged("smoke", ["table2"])] == [["mlp"]]
    longer = dataclasses.replace(Setting(*SETTING), epochs=2)
    other_size = dataclasses.replace(experiments.EXPERIMENTS["table2"], settings={"smoke": (longer,)})
    other_argument = dataclasses.replace(experiments.EXPERIMENTS["table2"], options={"rows": 5})
    for experiment in (other_size, other_argument):
        monkeypatch.setitem(experiments.EXPERIMENTS, "table2", experiment)
        with (
            pytest.warns(UserWarning, match=r"other sizes or with other arguments than now: table2 \(mlp\)\.$"),
            pytest.raises(ValueError, match="no claim is judged by what is recorded of that"),
        ):
            again.judged("smoke", ["table2"])


def test_the_second_run_has_the_plainest_kernels_and_another_number_of_threads(kept, monkeypatch, tmp_path):
    says = "import sys, torch; sys.exit(f'{torch.backends.cpu.get_cpu_capability()} {torch.get_num_threads()}')"
    monkeypatch.setattr(again, "PROGRAM", (sys.executable, "-c", says))
    with pytest.raises(ChildProcessError, match="again: DEFAULT ([12])$") as refused:
        again.reproduce_again(kept, tmp_path / "again")
    assert not str(refused.value).endswith(f" {torch.get_num_threads()}")


def test_a_child_that_fails_is_one_sentence(kept, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(again, "PROGRAM", (sys.executable, "-c", "import sys; sys.exit('flatlab: the disk is full.')"))
    assert cli.main(["verdicts", "--again", "--store", str(tmp_path / "again")]) == 2
    assert capsys.readouterr().err == "flatlab: table2 could not be run again: the disk is full.\n"


def test_the_same_bits_are_no_test(kept, monkeypatch, capsys):
    monkeypatch.setattr(again, "reproduce_again", lambda result, store, workers: result)
    assert cli.main(["verdicts", "--again"]) == 0
    said = capsys.readouterr().out
    assert "1 of 1 results are the same to the last bit" in said
    assert "2 words at the smoke tier, 100% the same" in said and "trained alike  mlp " in said


def test_words_that_decide_nothing_are_no_test(kept, monkeypatch, tmp_path, capsys):
    """The smoke tier has two seeds: all of its words are undecided, whatever the machine."""
    two = {net: {name: column[:2] for name, column in columns.items()} for net, columns in kept.values.items()}
    dataclasses.replace(kept, values=two).save(tmp_path / "table2-smoke.json")
    monkeypatch.setattr(again, "reproduce_again", lambda result, store, workers: result)
    assert cli.main(["verdicts", "--again"]) == 0
    said = capsys.readouterr().out
    assert "no word is decided, so none could change: run a tier of five seeds or more, as --tier reduced" in said


def test_the_ledgers_words_are_printed(capsys):
    assert cli.main(["verdicts", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["word"]) for one in found["claims"]] == [(e.claim.name, e.word) for e in ledger()]
    assert cli.main(["verdicts", "table2", "fig2", "--tier", "paper", "--nets", "F1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["experiment"] for one in found["claims"]} == {"table2", "fig2"}
    assert {(j["tier"], j["net"]) for one in found["claims"] for j in one["judgements"]} == {("paper", "F1")}
    assert cli.main(["verdicts", "table2", "--tier", "paper", "--nets", "F1"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "holds      gap: test accuracy of SB minus LB, above 0 points"
    assert said[1].startswith("           F1, paper tier, 5 seeds: holds, ") and said[-1].startswith("2 claims: ")
