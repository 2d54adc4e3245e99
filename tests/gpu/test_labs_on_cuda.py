"""The part of Lab 3 that a student with a GPU runs, made small: it runs on a CUDA device, or on the pretended one, and
prints a line that the lab takes."""

import json
import runpy
from pathlib import Path

import torch

import flatlab
from flatlab.checks.lab3 import gpu_line
from flatlab.data import Data, Split

MASTER = Path(__file__).parents[2] / "labs" / "source" / "lab3" / "lab3.ipynb"
HEAD = (
    "import hashlib, inspect, json, os, time\nimport numpy as np\nimport torch\nimport flatlab\n"
    "from torch.nn.functional import one_hot\nfrom flatlab import checks\n"
    "gpu, tier, device = True, 'colab', 'a device'\n"
)


def images(name, **options):
    """Noise in CIFAR-10's shape, on the device; other data as they are."""
    if name != "cifar10":
        return load(name, **options)
    x = torch.rand(24, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    split = Split(x, torch.arange(24) % 10)
    return Data(name, 10, split, split).to("cuda")


load = flatlab.load


def test_the_gpu_part_of_lab3_prints_a_line_that_is_taken_and_goes_on_after_a_cut(tmp_path, monkeypatch, capsys):
    cells = {cell["id"]: "".join(cell["source"]) for cell in json.loads(MASTER.read_text(encoding="utf8"))["cells"]}
    small = cells["gpu-run"]
    for whole, part in (("subset(5000)", "subset(20)"), ("40 / lr", "0.04 / lr"), ("steps // 20", "steps // 2")):
        assert small.count(whole) == 1
        small = small.replace(whole, part)
    file = tmp_path / "lab.py"
    names = ("settings", "hvp", "power", "track", "arrival")
    file.write_text("\n\n".join([HEAD, *(cells[name] for name in names), small]), encoding="utf8")
    monkeypatch.setattr(flatlab, "load", images)
    runpy.run_path(str(file))
    found = gpu_line(capsys.readouterr().out.strip().splitlines()[-1])
    assert [rows[-1][0] for rows in found["tracks"]] == [2, 4, 8]
    kept = tmp_path / "store" / "edge.json"
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"tracks": found["tracks"][:2]}))  # cut off in the third
    runpy.run_path(str(file))
    said = capsys.readouterr().out
    assert "(2 of 3 rates read.)" in said and gpu_line(said.strip().splitlines()[-1])["tracks"] == found["tracks"]
