"""The pretended device keeps CUDA's rules."""

import copy

import pretend_cuda
import pytest
import torch
from torch import nn
from torch.func import grad, hessian, jvp, vmap


def cuda(*shape):
    return torch.arange(float(torch.Size(shape).numel()), device="cuda").reshape(shape)


def test_a_tensor_is_on_the_device_and_has_the_numbers_of_the_cpu():
    x = cuda(2, 3)
    assert x.is_cuda and x.device == torch.device("cuda:0") and (x + 1).is_cuda and not x.cpu().is_cuda
    assert torch.equal((x @ x.T).cpu(), x.cpu() @ x.cpu().T)
    assert x.sum().item() == 15 and repr(x[0]).endswith("device='cuda:0')")


def test_views_share_memory_and_a_deepcopy_does_not():
    x = cuda(2, 3)
    row, twin = x[0], copy.deepcopy(x)
    row += 10
    assert x[0, 0] == 10 and twin[0, 0] == 0
    parameter = nn.Parameter(torch.zeros(3, device="cuda"))
    parameter.data = row
    parameter.data.zero_()
    assert x[0].abs().sum() == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: x + torch.ones(3),
        lambda x: x @ torch.ones(3),
        lambda x: torch.cat([x[0], torch.ones(3)]),
        lambda x: torch.mm(x, torch.ones(3, 1)),
        lambda x: torch.randn(3, generator=torch.Generator("cuda")),
        lambda x: torch.randn(3, device="cuda", generator=torch.Generator()),
        lambda x: x.numpy(),
        lambda x: torch.zeros(2, device="cuda:1"),
        lambda x: x.index_select(0, torch.tensor([0])),
    ],
)
def test_what_cuda_refuses_is_refused(wrong):
    with pytest.raises((RuntimeError, TypeError)):
        wrong(cuda(2, 3))


@pytest.mark.parametrize(
    "right",
    [
        lambda x: x * torch.tensor(2.0),
        lambda x: x[torch.tensor([1])],
        lambda x: x[[0, 1]],
        lambda x: x[x > 1],
        lambda x: torch.where(x > 1, x, 0.0),
        lambda x: x.clamp_min(torch.tensor(1.0)),
        lambda x: x.index_add(0, torch.tensor([0], device="cuda"), x[:1]),
    ],
)
def test_what_cuda_allows_is_allowed(right):
    assert right(cuda(2, 3)).is_cuda


def test_the_two_global_generators_are_two():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, other = torch.randn(3, device="cuda"), nn.functional.dropout(torch.ones(9, device="cuda"))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(3)
    assert torch.equal(one, torch.randn(3, device="cuda")) and torch.equal(
        other, nn.functional.dropout(torch.ones(9, device="cuda"))
    )


def test_autograd_and_functional_transforms():
    x = cuda(3).requires_grad_()
    (x.exp() * x).sum().backward()
    assert torch.allclose(x.grad.cpu(), (x.cpu().exp() * (1 + x.cpu())).detach())

    def f(v):
        return (v.sin() * v).sum()

    v = x.detach()
    assert torch.allclose(jvp(grad(f), (v,), (torch.ones_like(v),))[1], hessian(f)(v).sum(1))
    assert vmap(lambda row: row.sum())(cuda(4, 2)).shape == (4,)


def capture(step):
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        made = step()
    return graph, made


def test_a_graph_is_not_run_while_it_is_captured_and_reads_the_same_memory_when_replayed():
    x, total, rate = cuda(3), torch.zeros((), device="cuda"), [1.0]
    graph, _ = capture(lambda: total.add_(x.sum(), alpha=rate[0]))
    assert total == 0
    rate[0] = 100.0  # too late: it is baked in
    graph.replay()
    assert total == 3
    x.fill_(1)
    graph.replay()
    assert total == 6


def test_a_replay_draws_new_numbers_and_those_of_an_eager_run():
    noise = torch.zeros(3, device="cuda")
    graph, _ = capture(lambda: noise.copy_(torch.randn(3, device="cuda")))
    torch.manual_seed(1)
    graph.replay()
    one = noise.clone()
    graph.replay()
    assert not torch.equal(one, noise)
    torch.manual_seed(1)
    assert torch.equal(one, torch.randn(3, device="cuda"))


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.sum() > 0),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: torch.tensor([1.0], device="cuda"),
        lambda x: x[x > 1],
        lambda x: x.nonzero(),
        lambda x: torch.equal(x, x),
        lambda x: x[torch.tensor([0])],
        lambda x: torch.cuda.synchronize(),
        lambda x: torch.randn(3, device="cuda", generator=torch.Generator("cuda")),
    ],
)
def test_what_waits_is_refused_in_a_capture(wait):
    with pytest.raises(RuntimeError):
        capture(lambda: wait(cuda(3)))


@pytest.mark.parametrize(
    "fine",
    [
        lambda x: x[torch.arange(1, device="cuda")],
        lambda x: torch.full((2,), 3.0, device="cuda"),
        lambda x: torch.randperm(5, device="cuda"),
        lambda x: torch.where(x > 1, -1.0, 1.0),
        lambda x: x.masked_fill_(x > 1, 0),
        lambda x: nn.functional.dropout(x),
        lambda x: x.sort(),
    ],
)
def test_what_does_not_wait_is_captured(fine):
    capture(lambda: fine(cuda(3)))[0].replay()


def test_a_wait_in_a_capture_spoils_the_devices_generator():
    with pytest.raises(RuntimeError):
        capture(lambda: cuda(3).sum().item())
    with pytest.raises(RuntimeError, match="Offset increment outside graph capture"):
        torch.randn(3, device="cuda")


def test_waits_are_counted_and_can_be_refused():
    x = cuda(3)
    x.sum().item()
    x.cpu()
    assert pretend_cuda.events["_local_scalar_dense"] == 1 and pretend_cuda.events["to host"] == 1
    torch.cuda.set_sync_debug_mode("error")
    with pytest.raises(RuntimeError, match="synchronizing"):
        x.sum().item()
    torch.cuda.set_sync_debug_mode("default")


def test_memory_is_counted():
    pretend_cuda.track_memory()
    x = torch.zeros(1000, device="cuda")
    y = x + 1
    assert torch.cuda.memory_allocated() == 2 * 4096
    del y
    assert torch.cuda.memory_allocated() == 4096 and torch.cuda.max_memory_allocated() >= 2 * 4096
    pretend_cuda.track_memory(False)
