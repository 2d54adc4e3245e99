"""A pretend CUDA device for a torch that was built without CUDA: `device="cuda"` works, the numbers are the CPU's, the
rules are CUDA's.

    import pretend_cuda
    pretend_cuda.install()                  # once, before the code under test makes a tensor; never beside a real GPU
    x = torch.zeros(3, device="cuda")       # x.is_cuda, x.device.type == "cuda"; autograd, torch.func, optimizers work

What it enforces, as CUDA does:
  - two devices in one operation are an error, but for CPU numbers (0-dim) in pointwise operations and CPU indices in an
    index;
  - a generator must be of the tensor's device, and the CPU's and the device's global generators are two streams;
  - a CUDA tensor has no .numpy();
  - while a graph is captured: no copy between host and device, no .item(), .tolist(), bool(), torch.equal, nonzero,
    boolean masks, synchronize() or linear algebra that checks its result; no random numbers from a generator of one's
    own. Nothing is executed while capturing. A replay runs the recorded operations again, on the same memory, with the
    same numbers from the host (a learning rate is baked in), and draws new random numbers.
It counts what would wait for the device or copy (`pretend_cuda.events`), so that a test can say how often a loop may.

How: a CUDA tensor is made by DLPack from memory of the host, so it has the CUDA dispatch key, a storage, views and
autograd of its own. No kernel has that key in a CPU build: one fallback, in Python, runs the CPU's on the same memory.
The autograd engine wants a device guard: it gets the one that torch has for backends written in Python, which says that
it is CUDA's.

Not pretended: speed, the order of streams, other numerics (TF32, sums in no fixed order, Philox), cuDNN's own layers
and workspaces, sparse tensors, several devices. Written for torch 2.13 on Linux; what it touches of torch's inside is
in `install`.
"""

import collections
import contextlib
import ctypes
import os
import weakref

import torch
from torch._C._autograd import DeviceType
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._pytree import tree_flatten, tree_map_only

NAME = "Pretend CUDA"
CUDA = torch.device("cuda", 0)
events = collections.Counter()  # "item", "to host", "to device", "equal" ...: what waits, by name
_capturing = None  # the Graph that is being captured
_failed = False  # a capture has failed: see `graph`
_sync_debug = "default"  # torch.cuda.set_sync_debug_mode
_installed = []  # torch.library objects, which live as long as the module

# What CUDA refuses while a graph is captured, since the host waits for the device in it.
WAITS = {
    "aten::_local_scalar_dense",
    "aten::equal",
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::unique_consecutive",
    "aten::repeat_interleave.Tensor",
    "aten::bincount",
    "aten::histc",
    "aten::_linalg_eigh.eigenvalues",
    "aten::_linalg_check_errors",
    "aten::linalg_lstsq.out",
    "aten::_linalg_svd.U",
    "aten::is_nonzero",
}
CPU_INDICES = {
    "aten::index.Tensor",
    "aten::index.Tensor_out",
    "aten::index_put_",
    "aten::_index_put_impl_",
    "aten::index_put",
}
CPU_NUMBER = {
    "aten::fill_.Tensor",
    "aten::masked_fill_.Tensor",
    "aten::_foreach_add_.Tensor",
    "aten::_foreach_mul_.Tensor",
}
DRAWS = {"aten::native_dropout", "aten::rrelu_with_noise"}  # random, without a generator among the arguments


# Memory: a CUDA storage lies in a block of malloc's, behind the structure that describes it.


class _Device(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("index", ctypes.c_int)]


class _Type(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class _DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int),
        ("dtype", _Type),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    ]


_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Managed(ctypes.Structure):
    _fields_ = [("tensor", _DLTensor), ("context", ctypes.c_void_p), ("deleter", _Deleter)]


_CODES = {torch.bool: 6, torch.uint8: 1, torch.bfloat16: 4, torch.complex64: 5, torch.complex128: 5}
_HEADER = 256  # bytes before the numbers, for the structure above and its one size
_capsule = ctypes.pythonapi.PyCapsule_New
_capsule.restype, _capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_malloc, _free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
_malloc.restype, _malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
_free_it = ctypes.cast(
    _free, _Deleter
)  # C's own: Python must not run where a tensor dies, an exception may be under way


def _allocate(count, dtype):
    """A CUDA tensor of `count` numbers, not initialised, with a storage of its own."""
    size = dtype.itemsize
    block = _malloc(_HEADER + 64 + count * size)
    managed = _Managed.from_address(block)
    shape = (ctypes.c_int64 * 1).from_address(block + ctypes.sizeof(_Managed))
    shape[0] = count
    code = _CODES.get(dtype, 2 if dtype.is_floating_point else 0)
    managed.tensor = _DLTensor((block + _HEADER + 63) & -64, _Device(2, 0), 1, _Type(code, 8 * size, 1), shape, None, 0)
    managed.deleter = _free_it
    cuda = torch._C._from_dlpack(_capsule(block, b"dltensor", None))
    if _tracked is not None:
        _note(cuda.untyped_storage(), count * size)
    return cuda


def to_cuda(cpu):
    """A CUDA tensor with the numbers, sizes and strides of a CPU tensor."""
    if not cpu.numel():
        return _view(_allocate(1, cpu.dtype), cpu.size(), cpu.stride(), 0)
    extent = 1 + sum((size - 1) * stride for size, stride in zip(cpu.size(), cpu.stride()))
    cuda = _allocate(extent, cpu.dtype)
    to_cpu(cuda).copy_(torch.as_strided(cpu, (extent,), (1,), cpu.storage_offset()))
    return _view(cuda, cpu.size(), cpu.stride(), 0)


def to_cpu(cuda):
    """A CPU tensor on the memory of a CUDA tensor, for as long as that lives."""
    if not cuda.numel():  # of its own, since an operation may resize it
        return torch.empty(cuda.size(), dtype=cuda.dtype, device=_CPU)
    storage = cuda.untyped_storage()
    storage = torch._C._construct_storage_from_data_pointer(storage.data_ptr(), _CPU, storage.nbytes())
    cpu = torch.empty(0, dtype=cuda.dtype, device=_CPU).set_(storage, cuda.storage_offset(), cuda.size(), cuda.stride())
    return torch._neg_view(cpu) if cuda.is_neg() else cpu


_CPU = torch.device("cpu")
_tracked = None  # (weak reference to a storage, its bytes) of all that may be alive, or None
memory = {"now": 0, "peak": 0}  # bytes of the tensors that are alive, in CUDA's blocks of 512: see `track_memory`


def _note(storage, size):
    global _tracked
    _tracked = [(reference, size) for reference, size in _tracked if not reference.expired()]
    _tracked.append((StorageWeakRef(storage), -(-size // 512) * 512))
    memory["now"] = sum(size for _, size in _tracked)
    memory["peak"] = max(memory["peak"], memory["now"])


def memory_now():
    """The bytes of the CUDA tensors that were made since `track_memory` began and are alive."""
    return sum(size for reference, size in _tracked if not reference.expired())


def track_memory(on=True):
    """Count the bytes of CUDA tensors from now on, in `memory`; without what libraries take for themselves, such as
    cuDNN's workspace."""
    global _tracked
    _tracked = [] if on else None
    memory.update(now=0, peak=0)


def _view(cuda, size, stride, offset):
    return torch.ops.aten.as_strided.default.redispatch(_CPU_KEY, cuda, list(size), list(stride), offset)


_CPU_KEY = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)


def _become(cuda, cpu):
    """Let a CUDA tensor, resized by an operation, have the sizes of a CPU tensor and its memory."""
    new = to_cuda(cpu)
    torch.ops.aten.set_.source_Storage_storage_offset.redispatch(
        _CPU_KEY, cuda, new.untyped_storage(), new.storage_offset(), list(new.size()), list(new.stride())
    )


# Random numbers: a device generator is a CPU generator that says it is of the device.


class Generator(torch._C.Generator):
    """torch.Generator("cuda") as well as torch.Generator()."""

    def __new__(cls, device="cpu"):
        device = torch.device(device)
        generator = super().__new__(cls, "cpu")
        generator.place = CUDA if device.type == "cuda" else device
        _places[generator._cdata] = generator.place
        weakref.finalize(generator, _places.pop, generator._cdata)
        return generator

    @property
    def device(self):
        return self.place


_places = {}  # address of a generator -> its device
_default = None  # the device's global generator


def _place(generator):
    return _places.get(generator._cdata, torch.device("cpu"))


def _check_global_generator():
    if _failed and not _capturing:
        raise RuntimeError(
            "Offset increment outside graph capture encountered unexpectedly. (pretend: an earlier capture failed)"
        )


@contextlib.contextmanager
def _global_generator():
    """The CPU's global generator has the state of the device's meanwhile."""
    _check_global_generator()
    before = torch.default_generator.get_state()
    torch.default_generator.set_state(_default.get_state())
    try:
        yield
    finally:
        _default.set_state(torch.default_generator.get_state())
        torch.default_generator.set_state(before)


# Operations


class NotCopied(RuntimeError):
    """torch looks before it copies between host and device: the capture ends without harm."""


def _refuse(what):
    raise RuntimeError(f"CUDA error: operation not permitted when stream is capturing (pretend: {what})")


def _waits(event, what):
    """Count an operation for which the host waits, and refuse it where that is not allowed."""
    events[event] += 1
    if _capturing:
        _refuse(what)
    if _sync_debug == "error":
        raise RuntimeError(f"called a synchronizing CUDA operation (pretend: {what})")


def _set_sync_debug_mode(mode):
    global _sync_debug
    _sync_debug = {0: "default", 1: "warn", 2: "error"}.get(mode, mode)


def _check_devices(op, name, tensors):
    """Refuse tensors on two devices, but for those that CUDA's kernels take from the host."""
    host = [t for t in tensors if t.device.type == "cpu"]
    if not host or name in CPU_INDICES:
        return
    pointwise = torch.Tag.pointwise in op.tags or name in CPU_NUMBER
    if any(t.dim() for t in host) or not pointwise:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! "
            f"(pretend: {name})"
        )


def _fallback(op, *args, **kwargs):
    """Any operation with a CUDA tensor, or that makes one: the CPU's, on the same memory."""
    schema, name = op._schema, op._schema.name + (f".{op._schema.overload_name}" if op._schema.overload_name else "")
    named = {argument.name: value for argument, value in zip(schema.arguments, args)} | kwargs
    tensors = [t for t in tree_flatten(named)[0] if torch.is_tensor(t)]
    _check_devices(op, name, tensors)
    if name in WAITS:
        _waits(name.removeprefix("aten::"), name)
    if name in CPU_INDICES:
        indices, values = [i for i in named["indices"] if torch.is_tensor(i)], named.get("values")
        fills = (
            values is not None and values.numel() == 1 and values.device.type == "cpu" and not named.get("accumulate")
        )
        if any(i.dtype in (torch.bool, torch.uint8) for i in indices) and not (fills and len(indices) == 1):
            _waits("boolean mask", "a boolean mask, whose size is not known")
        if any(i.device.type == "cpu" for i in indices):
            _waits("to device", "indices on the host")
    if "generator" in named or any(argument.name == "generator" for argument in schema.arguments):
        generator = named.get("generator")
        if generator is not None and _place(generator).type != "cuda":
            raise RuntimeError(f"Expected a 'cuda' device type for generator but found '{_place(generator).type}'")
        if generator is not None and _capturing:
            _refuse("a generator that was not registered with the graph")
        if generator is None:
            _check_global_generator()
            named["generator"] = _default
    if any(argument.name == "device" for argument in schema.arguments):
        if (named.get("device") or CUDA).index not in (None, 0):
            raise RuntimeError("CUDA error: invalid device ordinal")
        named["device"] = _CPU
    if "pin_memory" in named:
        named["pin_memory"] = None

    written = {argument.name for argument in schema.arguments if argument.alias_info and argument.alias_info.is_write}
    if _capturing:
        return _capturing.record(op, name, schema, named, written)
    return _wrapped(schema, named, _run(op, name, schema, named), written)


def _run(op, name, schema, named):
    """The CPU's answer."""
    inputs = tree_map_only(torch.Tensor, lambda t: to_cpu(t) if t.is_cuda else t, named)
    for a in schema.arguments:  # a whole number in the place of a tensor arrives as a number; a float would be rounded
        if str(a.type) == "Tensor" and type(inputs.get(a.name)) is int:
            inputs[a.name] = torch.tensor(inputs[a.name])
    outs = [a.name for a in schema.arguments if a.is_out and a.name in named and torch.is_tensor(named[a.name])]
    for out in outs:  # an operation may resize it, up and down again: it gets one of its own
        inputs[out] = torch.empty(0, dtype=named[out].dtype, device=_CPU)
    positional = [inputs[a.name] for a in schema.arguments if a.name in inputs and not a.kwarg_only]
    keywords = {a.name: inputs[a.name] for a in schema.arguments if a.name in inputs and a.kwarg_only}
    if any(
        not a.kwarg_only and a.name not in inputs for a in schema.arguments
    ):  # a default in the middle: name what comes after
        positional, keywords = [], {a.name: inputs[a.name] for a in schema.arguments if a.name in inputs}
    with torch._C._AutoDispatchBelowAutograd(), _global_generator() if name in DRAWS else contextlib.nullcontext():
        answer = op(*positional, **keywords)
    for out in outs:
        if named[out].size() == inputs[out].size():
            to_cpu(named[out]).copy_(inputs[out])
        else:
            _become(named[out], inputs[out])
    return answer


def _wrapped(schema, named, answer, written):
    """The CPU's answer as CUDA tensors: new ones, the arguments that were written, or views of an argument."""
    answers = answer if isinstance(answer, tuple) and len(schema.returns) > 1 else (answer,)
    made = []
    for returned, value in zip(schema.returns, answers):
        source = None
        if returned.alias_info:
            source = next(
                named[a.name]
                for a in schema.arguments
                if a.alias_info and a.alias_info.before_set & returned.alias_info.before_set
            )
        if source is not None and returned.alias_info.is_write:
            made.append(source)
        elif source is not None and torch.is_tensor(value) and source.is_cuda:
            made.append(_view(source, value.size(), value.stride(), value.storage_offset()))
        else:
            made.append(tree_map_only(torch.Tensor, lambda t: to_cuda(t.clone() if t._is_zerotensor() else t), value))
    return None if not schema.returns else made[0] if len(schema.returns) == 1 else tuple(made)


def _copy(self, source, non_blocking=False):
    """self <- source, between any two devices."""
    if self.device != source.device:
        what = f"a copy of {tuple(source.shape)} from {source.device} to {self.device}"
        if _capturing:
            raise NotCopied(
                "Cannot copy between CPU and CUDA tensors during CUDA graph capture unless the CPU tensor is "
                f"pinned. (pretend: {what})"
            )
        _waits("to device" if self.is_cuda else "to host", what)
    elif _capturing:
        schema = torch.ops.aten.copy_.default._schema
        return _capturing.record(
            torch.ops.aten.copy_.default,
            "aten::copy_",
            schema,
            {"self": self, "src": source, "non_blocking": non_blocking},
            {"self"},
        )
    one, other = (to_cpu(t) if t.is_cuda else t for t in (self, source))
    with torch._C._AutoDispatchBelowAutograd():
        one.copy_(other)
    return self


def _by_cpu_kernel(op):
    """A kernel that looks at sizes and strides alone is right for any memory."""

    def kernel(*args, **kwargs):
        return op.redispatch(_CPU_KEY, *args, **kwargs)

    return kernel


# Recurrent cells: CUDA's are fused and no CPU build has them. Their gates, for the backward pass, are kept in the
# workspace.


def _lstm_cell(inputs, hidden, c, input_bias=None, hidden_bias=None):
    gates = inputs + hidden if input_bias is None else inputs + hidden + input_bias + hidden_bias
    i, f, g, o = (part.tanh() if k == 2 else part.sigmoid() for k, part in enumerate(gates.chunk(4, 1)))
    new = f * c + i * g
    return o * new.tanh(), new, torch.cat([i, f, g, o], 1)


def _lstm_cell_backward(grad_h, grad_c, c, new, workspace, has_bias):
    i, f, g, o = workspace.chunk(4, 1)
    bent = new.tanh()
    inner = torch.zeros_like(new)
    if grad_h is not None:
        inner = inner + grad_h * o * (1 - bent * bent)
    if grad_c is not None:
        inner = inner + grad_c
    out = torch.zeros_like(new) if grad_h is None else grad_h * bent * o * (1 - o)
    gates = torch.cat([inner * g * i * (1 - i), inner * c * f * (1 - f), inner * i * (1 - g * g), out], 1)
    return gates, inner * f, gates.sum(0) if has_bias else None


def _gru_cell(inputs, hidden, h, input_bias=None, hidden_bias=None):
    if input_bias is not None:
        inputs, hidden = inputs + input_bias, hidden + hidden_bias
    (ir, iz, i), (hr, hz, hn) = inputs.chunk(3, 1), hidden.chunk(3, 1)
    r, z = (ir + hr).sigmoid(), (iz + hz).sigmoid()
    n = (i + r * hn).tanh()
    return n + z * (h - n), torch.cat([r, z, n, h, hn], 1)


def _gru_cell_backward(grad, workspace, has_bias):
    r, z, n, h, hn = workspace.chunk(5, 1)
    at_n = grad * (1 - z) * (1 - n * n)
    at_r, at_z = at_n * hn * r * (1 - r), grad * (h - n) * z * (1 - z)
    inputs, hidden = torch.cat([at_r, at_z, at_n], 1), torch.cat([at_r, at_z, at_n * r], 1)
    return inputs, hidden, grad * z, *((inputs.sum(0), hidden.sum(0)) if has_bias else (None, None))


# Graphs


def _unknown(cuda):
    """What a tensor holds that no kernel has written yet: nan, or a number that is at least a row's."""
    to_cpu(cuda).fill_(float("nan") if cuda.is_floating_point() else 0)


def _as_it_is(t):
    """Another tensor on the same memory, which keeps its sizes when an operation such as unsqueeze_ changes those of
    t."""
    return _view(t, t.size(), t.stride(), t.storage_offset()) if t.is_cuda else t


class Graph:
    """torch.cuda.CUDAGraph: what was captured, and a replay of it."""

    def __init__(self, keep_graph=False):
        self.tape = []

    def record(self, op, name, schema, named, written):
        """Note an operation. It is not executed: what it would write is put back, what it makes is nan, or 0."""
        kept = {key: to_cpu(named[key]).clone() for key in written if torch.is_tensor(named[key])}
        lists = {
            key: [to_cpu(t).clone() for t in named[key]] for key in written if isinstance(named[key], (list, tuple))
        }
        answer = _run(op, name, schema, named)
        for key, before in kept.items():
            if named[key].size() == before.size():
                to_cpu(named[key]).copy_(before)
            else:  # an out= of no size yet
                _unknown(named[key])
        for key, before in lists.items():
            for t, b in zip(named[key], before):
                to_cpu(t).copy_(b)
        made = _wrapped(schema, named, answer, written)
        fresh = (
            []
            if any(r.alias_info for r in schema.returns)
            else [t for t in tree_flatten(made)[0] if torch.is_tensor(t)]
        )
        for t in fresh:
            _unknown(t)
        self.tape.append((op, name, schema, tree_map_only(torch.Tensor, _as_it_is, named), list(map(_as_it_is, fresh))))
        return made

    def replay(self):
        events["replay"] += 1
        for op, name, schema, named, fresh in self.tape:
            answer = _run(op, name, schema, named)
            for old, new in (
                zip(fresh, [t for t in tree_flatten(answer)[0] if torch.is_tensor(t)], strict=True) if fresh else ()
            ):
                to_cpu(old).copy_(new)

    def reset(self):
        self.tape = []


class graph:
    """torch.cuda.graph: what runs within is recorded and not executed.

    A capture that the host waited in leaves the device's global generator in the state of capturing, as torch 2.11 does
    (CUDAGraph::capture_end raises before it puts the generator's state back): no random numbers on the device until the
    process ends.
    """

    def __init__(self, cuda_graph, pool=None, stream=None, capture_error_mode="global", **_):
        self.graph = cuda_graph

    def __enter__(self):
        global _capturing
        if _capturing:
            raise RuntimeError("a capture is under way")
        self.state, _capturing = _default.get_state(), self.graph

    def __exit__(self, kind, error, trace):
        global _capturing, _failed
        _capturing = None
        _default.set_state(self.state)  # capturing draws nothing
        if isinstance(error, Exception) and not isinstance(error, NotCopied):
            _failed = True
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")  # noqa: TRY004 - as CUDA does


def recover():
    """Forget that a capture failed, as a new process does."""
    global _failed
    _failed = False


class _Stream:
    def __init__(self, *_, **__):
        pass

    def wait_stream(self, other):
        pass

    wait_event = record_event = wait_stream

    def synchronize(self):
        _synchronize()

    def is_capturing(self):
        return _capturing is not None


class _Event:
    def __init__(self, *_, **__):
        pass

    def record(self, *_):
        pass

    wait = record

    def synchronize(self):
        _synchronize()

    def query(self):
        return True

    def elapsed_time(self, _):
        return 0.0


def _synchronize(*_):
    events["synchronize"] += 1
    if _capturing:
        _refuse("synchronize")


# torch


class _Guard(torch._C._acc.DeviceGuard):
    """Keeps no device and no stream: every stream is the default one of cuda:0."""

    def type_(self):
        return DeviceType.CUDA


def _library(name):
    return ctypes.CDLL(os.path.join(os.path.dirname(torch.__file__), "lib", name))


@ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p)
def _true(_):
    return True


def _say_built():
    """Let isBuilt, isAvailable and hasPrimaryContext of at::CUDAHooksInterface be true, which they are not in a CPU
    build."""
    table = (ctypes.c_void_p * 7).in_dll(_library("libtorch_cpu.so"), "_ZTVN2at18CUDAHooksInterfaceE")
    page = ctypes.addressof(table) & -4096  # two words before the functions, of which two are destructors
    if ctypes.CDLL(None).mprotect(ctypes.c_void_p(page), ctypes.c_size_t(8192), 3):
        raise OSError("the table of CUDA's hooks cannot be written here")
    for place in (4, 5, 6):
        table[place] = ctypes.cast(_true, ctypes.c_void_p).value


def install():
    """Put the pretended device into torch. There is no way back within the process."""
    global _default
    if _installed:
        return
    if torch.backends.cuda.is_built():
        raise RuntimeError("this torch was built with CUDA: pretend on a CPU build only.")
    _default = Generator("cuda")
    _default.manual_seed(0)

    operators = torch.library.Library("_", "IMPL")
    operators.fallback(_fallback, "CUDA")
    kernels = torch.library.Library("aten", "IMPL")
    kernels.impl("copy_", _copy, "CUDA")
    for name in (
        "as_strided",
        "view",
        "_reshape_alias",
        "unfold",
        "view_as_real",
        "view_as_complex",
        "is_set_to",
        "set_.source_Storage_storage_offset",
        "set_.source_Tensor",
        "set_.source_Storage",
    ):
        packet, _, overload = name.partition(".")
        packet = getattr(torch.ops.aten, packet)
        kernels.impl(name, _by_cpu_kernel(getattr(packet, overload or "default")), "CUDA")
    kernels.impl("resize_", _resize, "CUDA")
    for name, kernel in (
        ("_thnn_fused_lstm_cell", _lstm_cell),
        ("_thnn_fused_lstm_cell_backward_impl", _lstm_cell_backward),
        ("_thnn_fused_gru_cell", _gru_cell),
        ("_thnn_fused_gru_cell_backward", _gru_cell_backward),
    ):
        kernels.impl(name, kernel, "CUDA")
    _installed.extend((operators, kernels))

    # The autograd engine takes streams from the device's guard, and asks CUDA's hooks whether CUDA is the accelerator.
    guard = _Guard()
    torch._C._acc.register_python_privateuseone_device_guard(guard)
    guards = (ctypes.c_void_p * 21).in_dll(_library("libc10.so"), "_ZN3c104impl26device_guard_impl_registryE")
    guards[DeviceType.CUDA.value] = guards[DeviceType.PrivateUse1.value]
    _say_built()
    _installed.append(guard)

    torch.Generator = Generator
    for name in ("randn", "rand", "randint", "randperm", "normal", "bernoulli", "multinomial"):
        setattr(torch, name, _with_checked_generator(getattr(torch, name)))
    torch.UntypedStorage.clone = _clone_storage
    torch.backends.cuda.is_built = lambda: True
    replacements = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda *_: None,
        "get_device_name": lambda *_: NAME,
        "get_device_capability": lambda *_: (7, 5),
        "is_bf16_supported": lambda including_emulation=True: including_emulation,
        "synchronize": _synchronize,
        "set_sync_debug_mode": _set_sync_debug_mode,
        "get_sync_debug_mode": lambda: _sync_debug,
        "empty_cache": lambda: None,
        "is_current_stream_capturing": lambda: _capturing is not None,
        "manual_seed": lambda seed: _default.manual_seed(seed),
        "manual_seed_all": lambda seed: _default.manual_seed(seed),
        "initial_seed": lambda: _default.initial_seed(),
        "get_rng_state": lambda device="cuda": _default.get_state(),
        "set_rng_state": lambda state, device="cuda": _default.set_state(state),
        "_is_in_bad_fork": lambda: False,
        "Stream": _Stream,
        "Event": _Event,
        "current_stream": lambda *_: _Stream(),
        "default_stream": lambda *_: _Stream(),
        "stream": lambda _: contextlib.nullcontext(),
        "CUDAGraph": Graph,
        "graph": graph,
        "max_memory_allocated": lambda *_: memory["peak"],
        "memory_allocated": lambda *_: memory_now(),
        "reset_peak_memory_stats": lambda *_: memory.update(peak=memory_now()),
    }
    for name, replacement in replacements.items():
        setattr(torch.cuda, name, replacement)
    torch.accelerator.current_accelerator = lambda check_available=False: CUDA
    torch.accelerator.is_available = lambda: True
    torch.accelerator.current_stream = lambda *_: _Stream()


def _resize(self, size, memory_format=None):
    if tuple(self.size()) != tuple(size):
        _become(self, torch.empty(size, dtype=self.dtype, device=_CPU))
    return self


def _clone_storage(self):
    """UntypedStorage.clone, which copy.deepcopy of a tensor calls."""
    if self.device.type != "cuda":
        return torch.UntypedStorage(self.nbytes(), device=self.device).copy_(self)
    events["deepcopy"] += 1
    storage = torch._C._construct_storage_from_data_pointer(self.data_ptr(), _CPU, self.nbytes())
    return to_cuda(torch.empty(0, dtype=torch.uint8, device=_CPU).set_(storage)).untyped_storage()


def _with_checked_generator(function):
    """A random function that refuses a device's generator for a tensor on the host; the other way round the fallback
    does."""

    def checked(*args, generator=None, **kwargs):
        if generator is None:
            return function(*args, **kwargs)
        device = torch.device(
            kwargs.get("device") or next((a.device for a in args if torch.is_tensor(a)), torch.get_default_device())
        )
        if _place(generator).type != device.type:
            raise RuntimeError(
                f"Expected a '{device.type}' device type for generator but found '{_place(generator).type}'"
            )
        return function(*args, generator=generator, **kwargs)

    checked.__name__ = function.__name__
    return checked
