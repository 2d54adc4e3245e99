"""Everything in this folder runs on a CUDA device, else on the pretended one, so in a pytest of its own: `make gpu`.

A torch that was built for a GPU has kernels of its own for it, and none can be pretended there. Where such a torch
finds no GPU, every test is skipped, for one reason.
"""

import os
import sys
from pathlib import Path

import pytest
import torch

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

NO_GPU = "this torch was built for a GPU and finds none here: take a CPU build of torch, which pretends one, or a GPU"
recover = events = None
if torch.backends.cuda.is_built():
    collect_ignore = ["test_pretend.py"]  # there the real thing is tested
else:
    import pretend_cuda

    pretend_cuda.install()
    torch.backends.mkldnn.enabled = False  # so that a convolution is the same kernel on both devices, and bits agree
    torch.backends.nnpack.set_flags(False)
    recover, events = pretend_cuda.recover, pretend_cuda.events


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=NO_GPU))


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    """No store of a user's, no count and no failed capture from the test before."""
    monkeypatch.setenv("FLATLAB_STORE", str(tmp_path / "store"))
    if events is not None:
        events.clear()
    yield
    if recover is not None:
        recover()
