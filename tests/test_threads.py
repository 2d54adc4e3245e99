"""Threads that measure and train at once get what each gets alone, because one computes at a time."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

import flatlab
from flatlab.generators import have_drawn, host_states, seed_host, undisturbed

GENERATOR = torch.Generator().manual_seed(0)
X, Y = torch.randn(40, 6, generator=GENERATOR), torch.arange(40) % 3
DATA = flatlab.Data("rows", 3, flatlab.Split(X, Y), flatlab.Split(X, Y))


class Slow(nn.Linear):
    """Lets the other threads go on between what is given to it and what it makes of that."""

    def forward(self, x):
        time.sleep(0.003)
        return super().forward(x)


def net():
    torch.manual_seed(0)
    return nn.Sequential(Slow(6, 8), nn.Tanh(), nn.Dropout(0.5), Slow(8, 3))


NET = net()
F = flatlab.Objective(NET, (X, Y))
ASKED = {
    "value": lambda k: torch.tensor(F.value(k * F.x)),
    "gradient": lambda k: F.gradient(k * F.x)[1],
    "a product": lambda k: F.hessian(k * F.x, method="reverse") @ F.x,
    "a product, by torch.func": lambda k: F.gauss_newton(k * F.x) @ F.x,
    "sharpness": lambda k: torch.tensor(float(flatlab.sharpness(F, k * F.x, steps=2))),
    "an Objective": lambda k: flatlab.Objective(flatlab.build("plain-mlp", DATA, seed=k), (X, Y)).x,
    "train": lambda k: flatlab.train(NET, DATA, seed=k, batch_size=20, epochs=6, progress=False).x,
}


@pytest.mark.parametrize("what", ASKED)
def test_in_threads_each_answer_is_the_one_that_is_had_alone(what):
    asked, states = ASKED[what], host_states()
    alone = list(map(asked, range(6)))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")  # each thread sets it aside, and the last one must put it back
    try:
        with ThreadPoolExecutor(3) as threads:  # some begin while another is at work
            together = list(threads.map(asked, range(6)))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert all(map(torch.equal, together, alone))
    assert not have_drawn(states)


def test_what_threads_that_overlap_put_back_is_what_was_there_before_them():
    begun, states = threading.Event(), host_states()

    def seeds():
        with undisturbed(torch.device("cpu")):
            seed_host(1)
            begun.set()
            time.sleep(0.05)

    threads = [threading.Thread(target=seeds) for _ in range(2)]
    threads[0].start()
    begun.wait()
    threads[1].start()  # it must not take for the caller's what the first has set
    [thread.join() for thread in threads]
    assert not have_drawn(states)


def test_a_process_that_is_forked_while_a_thread_computes_can_compute_as_well():
    begun = threading.Event()

    def slow(outputs, targets):
        begun.set()
        time.sleep(0.3)
        return nn.functional.cross_entropy(outputs, targets)

    f = flatlab.Objective(NET, (X, Y))
    f.loss = slow
    thread = threading.Thread(target=f.value, args=(f.x,))
    thread.start()
    begun.wait()
    if not (child := os.fork()):
        signal.alarm(600)  # a child that waits for a thread that it does not have
        F.value(F.x)
        os._exit(0)
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
