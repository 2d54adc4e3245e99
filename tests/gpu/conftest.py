"""Everything in this folder runs on a CUDA device, else on the pretended one, so in a pytest of its own: `make gpu`."""

import os
import sys
from pathlib import Path

import pytest
import torch

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

if torch.version.cuda is not None:
    collect_ignore = ["test_pretend.py"]  # there the real thing is tested
    recover = events = None
else:
    import pretend_cuda

    pretend_cuda.install()
    torch.backends.mkldnn.enabled = False  # so that a convolution is the same kernel on both devices, and bits agree
    torch.backends.nnpack.set_flags(False)
    recover, events = pretend_cuda.recover, pretend_cuda.events


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    """No store of a user's, no count and no failed capture from the test before."""
    monkeypatch.setenv("FLATLAB_STORE", str(tmp_path / "store"))
    if events is not None:
        events.clear()
    yield
    if recover is not None:
        recover()
