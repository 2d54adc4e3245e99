"""A result file: each net in it has its own seeds and provenance, and is kept when another is recorded beside it."""

import json
import subprocess

import pytest

from flatlab.plots.style import stamp, stamp_of_all
from flatlab.study.recorded import SETTINGS, Result, recorded

ARGUMENTS = {"rows": 2000}


def recorded_as(net, seeds, seconds=1.0, data="mnist1d", effect=1.0, arguments=ARGUMENTS, **changes):
    """A result of one net, as `reproduce` gives it."""
    fields = {
        "experiment": "spectrum",
        "tier": "reduced",
        "data": {net: data},
        "seeds": {net: list(range(seeds))},
        "recipes": {net: {"SB": {"batch_size": 32}}},
        "values": {net: {"a": [effect] * seeds}},
        "provenance": {net: {"commit": f"of {net}", "seconds": seconds}},
        "options": {"settings": {net: {"seeds": list(range(seeds)), "data": data}}, **arguments},
    }
    return Result(**(fields | changes))


@pytest.mark.parametrize("tier", ["big", None, 3])
def test_a_tier_that_does_not_exist_is_refused_by_name(tier):
    with pytest.raises(ValueError, match=f"^tier is {tier!r}: choose one of smoke, reduced, colab, paper.$"):
        recorded("table2", tier)


def test_a_net_is_recorded_beside_one_of_other_seeds(tmp_path):
    first, second = recorded_as("C3", 3, data="cifar100"), recorded_as("mlp", 10)
    first.save(tmp_path / "r.json")
    second.save(tmp_path / "r.json")
    both = Result.read(tmp_path / "r.json")
    assert list(both.values) == ["mlp", "C3"]
    for net, own in (("C3", first), ("mlp", second)):
        for field in ("data", "seeds", "recipes", "values", "provenance"):
            assert getattr(both, field)[net] == getattr(own, field)[net]
        assert both.options["settings"][net] == own.options["settings"][net]
    assert both.options["rows"] == 2000 and set(both.options) == {"rows", "settings"}


def test_a_net_that_is_recorded_again_takes_its_own_place(tmp_path):
    for result in (recorded_as("C3", 3), recorded_as("mlp", 3), recorded_as("C3", 5, effect=2.0)):
        result.save(tmp_path / "r.json")
    both = Result.read(tmp_path / "r.json")
    assert list(both.values) == ["mlp", "C3"] and both.values["C3"] == {"a": [2.0] * 5}
    assert {net: len(seeds) for net, seeds in both.seeds.items()} == {"mlp": 3, "C3": 5}


def test_a_setting_of_a_network_stands_behind_the_networks_own(tmp_path):
    for net in ("mlp", "C3", "mlp, half", "C1"):
        recorded_as(net, 3).save(tmp_path / "r.json")
    assert list(Result.read(tmp_path / "r.json").values) == ["C1", "mlp", "mlp, half", "C3"]
    recorded_as("F1, half", 3).save(tmp_path / "of.json")
    recorded_as("F1", 3).save(tmp_path / "of.json")
    assert list(Result.read(tmp_path / "of.json").values) == ["F1", "F1, half"]


@pytest.mark.parametrize(
    "changes", ({"arguments": {"rows": 500}}, {"arguments": {}}, {"tier": "smoke"}, {"experiment": "edge"})
)
def test_what_was_measured_otherwise_is_not_kept(changes, tmp_path):
    recorded_as("C3", 3, **changes).save(tmp_path / "r.json")
    recorded_as("mlp", 10).save(tmp_path / "r.json")
    assert list(Result.read(tmp_path / "r.json").values) == ["mlp"]


@pytest.mark.parametrize("text", ("my notes", "{}", json.dumps({**vars(recorded_as("mlp", 3)), "seeds": [0, 1, 2]})))
def test_a_file_that_is_no_result_is_left_as_it_is(text, tmp_path):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(OSError, match="is not a flatlab result"):
        recorded_as("mlp", 3).save(tmp_path / "r.json")
    assert (tmp_path / "r.json").read_text() == text and len(list(tmp_path.iterdir())) == 1


def test_a_call_for_two_nets_costs_its_seconds_once():
    one = {"commit": "a", "seconds": 60.0}
    result = recorded_as("mlp", 3, provenance={"mlp": one, "plain-mlp": one, "C3": {"commit": "b", "seconds": 40.0}})
    result.seeds.update({"plain-mlp": [0, 1, 2], "C3": [0, 1]})
    assert result.seconds_per_seed == 60 / 3 + 40 / 2


def test_a_stamp_tells_the_seeds_of_networks_that_have_their_own():
    assert stamp("mnist1d", [10, 3], "reduced") == "reduced tier · MNIST-1D · 3 to 10 seeds, 95 % intervals"
    assert stamp("mnist1d", [3, 3], "reduced") == stamp("mnist1d", 3, "reduced")
    both = recorded_as("mlp", 10).with_other_nets(recorded_as("C3", 3, data="cifar100"))
    assert stamp_of_all(both) == "reduced tier · each network its own data · 3 to 10 seeds, 95 % intervals"
    assert stamp_of_all(recorded_as("mlp", 1), "nets") == "reduced tier · nets · 1 seed, no interval"


def test_every_recorded_result_names_a_commit_of_the_history(root):
    """So that what recorded it can be checked out."""
    said = subprocess.run(["git", "-C", str(root), "rev-list", "HEAD"], capture_output=True, text=True)
    history = set(said.stdout.split())
    named = {
        (path.name, net): facts["commit"].rstrip("+")
        for path in sorted((root / "results").glob("*-*.json"))
        for net, facts in Result.read(path).provenance.items()
    }
    if not history & set(named.values()):
        pytest.skip("the history is not here")
    assert [where for where, commit in named.items() if commit not in history] == []


def test_every_recorded_result_names_its_processor(root):
    """Because a run on another processor differs as much as another seed does."""
    silent = [
        (path.name, net)
        for path in sorted((root / "results").glob("*-*.json"))
        for net, facts in Result.read(path).provenance.items()
        if not facts.get("processor")
    ]
    assert silent == []


def test_every_recorded_result_says_at_what_each_of_its_nets_was_run(root):
    """Its settings, and of no other net; their data and seeds are those that stand beside."""
    other = []
    for path in sorted((root / "results").glob("*-*.json")):
        found = Result.read(path)
        settings = found.options.get(SETTINGS, {})
        said = {net: (setting["data"], tuple(setting["seeds"])) for net, setting in settings.items()}
        measured = {net: (data, tuple(found.seeds[net])) for net, data in found.data.items()}
        if said != measured:
            other.append(path.name)
    assert other == []
