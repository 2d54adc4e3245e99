"""Data sets as tensors that live on the device: load(name) -> Data(train, test).

Images are N x C x H x W in [0, 1], that is uint8/255 and nothing else, as in the code of Keskar et al. 2017.
A downloaded set is kept as one file, <root>/<name>.npz, with train_x, train_y, test_x, test_y in uint8 and in
the original order; it is written whole or not at all.
"""

import difflib
import errno
import hashlib
import importlib
import io
import numbers
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from flatlab import speech
from flatlab.files import abandoned, cache_directory, whole
from flatlab.measure import door, memory

#: The data sets that `load` knows by name.
DataName = Literal["mnist1d", "digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "spoken-digits", "timit"]
DATA_SETS: tuple[DataName, ...] = get_args(DataName)

# What <name>.npz must hold: training rows, test rows, the shape of one row, classes.
_KEPT = {
    "mnist": (60_000, 10_000, (28, 28), 10),
    "fashion-mnist": (60_000, 10_000, (28, 28), 10),
    "cifar10": (50_000, 10_000, (32, 32, 3), 10),
    "cifar100": (50_000, 10_000, (32, 32, 3), 100),
    "spoken-digits": (112_911, 12_326, (360,), 180),
}
_TORCHVISION = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
_KEYS = ("train_x", "train_y", "test_x", "test_y")


@dataclass(frozen=True, eq=False)
class Split:
    """Inputs and their targets, row by row, as constants: what they were computed from gets no gradient.

    Attributes
    ----------
    x : Tensor
        The inputs, N x ..., in float32 as `load` gives them.
    y : Tensor
        The targets, N, in int64 as `load` gives them.

    Raises
    ------
    ValueError
        When there are not as many targets as rows.
    """

    x: Tensor
    y: Tensor

    def __post_init__(self) -> None:
        for name, part in (("x", self.x), ("y", self.y)):
            door.instance(part, Tensor, f"a split's {name} is a tensor, as torch.as_tensor makes one of an array")
            if part.layout != torch.strided or not part.dim():
                raise ValueError(
                    f"a split's {name} has rows, and this is {part.layout} of shape {tuple(part.shape)}: pass a dense "
                    "tensor of them."
                )
            if part.requires_grad:  # features that another network has made, for instance
                object.__setattr__(self, name, part.detach())
        if len(self.x) != len(self.y):
            raise ValueError(
                f"a split needs a target for each row, and this one has {len(self.x)} rows and {len(self.y)} targets: "
                "pass as many of both."
            )

    def __len__(self) -> int:
        return len(self.y)

    def __repr__(self) -> str:
        return f"Split({len(self)} rows of {tuple(self.x.shape[1:])} on {self.x.device})"

    def to(self, device: torch.device | str) -> "Split":
        """The same rows on a device. Raises ValueError where there is no such device."""
        place = _device(device)
        return memory.within(
            lambda: Split(self.x.to(place), self.y.to(place)),
            lambda reason: (
                f"the memory of {device} does not suffice for {len(self)} rows ({reason}): take fewer, as "
                f"subset({max(1, len(self) // 2)}) does, or leave them on another device."
            ),
        )

    def subset(self, n: int, seed: int = 0) -> "Split":
        """Some rows, drawn without replacement; a smaller n with the same seed gives the first rows of a larger one.

        Parameters
        ----------
        n : int
            How many rows, from 1 to all of them.
        seed : int
            Decides which rows.

        Returns
        -------
        Split
            Of n rows.

        Raises
        ------
        ValueError
            When n is no such number.
        """
        if not isinstance(n, numbers.Integral) or isinstance(n, bool) or not 1 <= n <= len(self):
            raise ValueError(f"a subset needs a whole number of rows between 1 and {len(self)}, not {n!r}.")
        generator = torch.Generator("cpu").manual_seed(door.seed(seed))
        rows = torch.randperm(len(self), generator=generator, device="cpu")[:n].to(self.y.device)
        return Split(self.x[rows], self.y[rows])


@dataclass(frozen=True, eq=False)
class Data:
    """A data set.

    Attributes
    ----------
    name : str
        What it is called.
    classes : int
        How many classes there are; 0 where the targets are no classes.
    train, test : Split
        The two splits.

    Raises
    ------
    ValueError
        When the name is no text, a split has no rows, the splits lie on two devices, or the number of classes is none.
    """

    name: str
    classes: int
    train: Split
    test: Split

    def __post_init__(self) -> None:
        door.instance(self.name, str, "a Data has a name, a text such as 'mine'")
        for name, split in (("train", self.train), ("test", self.test)):
            door.instance(split, Split, f"the {name} split of a Data is a flatlab.Split(inputs, targets)")
            if not len(split):
                raise ValueError(f"the {name} split of a Data has no rows: give it at least one.")
        object.__setattr__(self, "classes", door.count("classes", self.classes, 0, what="how many classes there are"))
        places = {str(part.device) for split in (self.train, self.test) for part in (split.x, split.y)}
        if len(places) > 1:
            raise ValueError(f"the splits lie on {' and '.join(sorted(places))}: move them to one, as split.to('cpu').")

    def subset(self, n: int, seed: int = 0) -> "Data":
        """The same data with n training rows, as `Split.subset` draws them; the test split is kept whole."""
        return replace(self, name=f"{self.name}[{n},{seed}]", train=self.train.subset(n, seed))

    def to(self, device: torch.device | str) -> "Data":
        """The same data on a device. Raises ValueError where there is no such device."""
        return replace(self, train=self.train.to(device), test=self.test.to(device))

    @property
    def digest(self) -> str:
        """A hexadecimal name for the shapes, types and bytes of all tensors, the same on any device.

        It is kept until torch changes one of them where it lies.
        """
        tensors = (self.train.x, self.train.y, self.test.x, self.test.y)
        versions = None if any(map(torch.is_inference, tensors)) else [tensor._version for tensor in tensors]
        known = vars(self).get("_digest")
        if versions is None or known is None or known[0] != versions:
            known = versions, _digest(tensors)
            object.__setattr__(self, "_digest", known)
        return known[1]

    def __getstate__(self) -> dict:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # a copy counts its changes anew


def load(
    name: DataName, *, device: torch.device | str | None = None, root: str | os.PathLike[str] | None = None
) -> Data:
    """Load a data set by name, downloading and keeping it at first use where that is needed.

    Parameters
    ----------
    name : {"mnist1d", "digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "spoken-digits", "timit"}
        "mnist1d" comes with flatlab (Greydanus 2020): 4,000 + 1,000 signals of 40 samples, 10 classes.
        "digits" is scikit-learn's: 1,437 + 360 images 1 x 8 x 8, 10 classes; the split is ours and fixed.
        "mnist", "fashion-mnist", "cifar10" and "cifar100" are torchvision's downloads, with its checksums.
        "spoken-digits" is an open stand-in for data that is licensed, made from the Free Spoken Digit Dataset
        (CC BY-SA 4.0): 112,911 + 12,326 frames of 360 numbers, 180 classes; see `flatlab.speech`.
        "timit" reads <root>/timit.npz, which a holder of the licence makes with Kaldi.
    device : torch.device or str, optional
        Where the tensors go; left out, CUDA if there is one, else the CPU.
    root : path, optional
        The folder of the kept files; left out, $FLATLAB_DATA, else the platform's cache directory.

    Returns
    -------
    Data
        With images as N x C x H x W in [0, 1].

    Raises
    ------
    ValueError
        For an unknown name or device, or a wrong timit.npz.
    FileNotFoundError
        For an absent timit.npz.
    ImportError
        For a missing optional package.
    OSError
        When a download or a kept file fails.
    """
    if name not in DATA_SETS:
        nearest = difflib.get_close_matches(str(name).lower(), DATA_SETS, n=1, cutoff=0)[0]
        raise ValueError(f"there is no data set {name!r}: did you mean {nearest!r}, of {', '.join(DATA_SETS)}?")
    device = _device(device)
    root = Path(root).expanduser() if root else cache_directory()
    if name == "mnist1d":
        arrays, classes = _mnist1d(), 10
    elif name == "digits":
        arrays, classes = _digits(), 10
    elif name == "timit":
        arrays, classes = _timit(root / "timit.npz")
    else:
        arrays, classes = _kept(name, root), _KEPT[name][3]
    train_x, train_y, test_x, test_y = arrays
    return Data(name, classes, _split(train_x, train_y, device), _split(test_x, test_y, device))


def _device(device):
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:  # torch's own sentences run over many lines
        raise ValueError(f"there is no device {str(device)!r} here: leave it out, or say 'cpu'") from error
    return torch.device(device)


def _digest(tensors):
    content = hashlib.blake2b(digest_size=32)
    for tensor in tensors:
        tensor = tensor.cpu().resolve_conj().resolve_neg()
        try:
            array = np.ascontiguousarray(tensor.numpy())
            kind = array.dtype.str
        except TypeError:  # numpy has no such type: bfloat16, for instance
            array, kind = tensor.contiguous().view(torch.uint8).numpy(), str(tensor.dtype)
        content.update(f"{array.shape} {kind} ".encode())
        content.update(array)
    return content.hexdigest()


def _split(x, y, device):
    x, y = torch.tensor(x, device="cpu"), torch.tensor(y, device="cpu")
    if x.dtype == torch.uint8:
        if x.dim() == 3:
            x = x.unsqueeze(1)  # grey images: n x h x w
        elif x.dim() == 4:
            x = x.permute(0, 3, 1, 2).contiguous()  # colour images: n x h x w x 3
        # Divided on the CPU: CUDA multiplies by 1/255 instead, and the last bit and the digest would differ.
        x = x.float() / 255
    return Split(x.float(), y.long()).to(device)


# Generated and packaged data


def _need(module, name):
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{name} needs a package that is not there ({error}); run: pip install 'flatlab[book]'"
        ) from error


def _mnist1d():
    """What mnist1d.data.make_dataset() returns, as float32 and uint8: it lies beside this file, because to generate it
    takes seconds in every process, and its last bits would be those of the machine's numpy."""
    return _read(Path(__file__).with_name("mnist1d.npz"))


def _digits():
    digits = _need("sklearn.datasets", "digits").load_digits()
    x = (digits.images / 16).astype(np.float32)[:, None]
    order = np.random.RandomState(0).permutation(len(x))  # RandomState's stream never changes
    train, test = order[:1437], order[1437:]
    return x[train], digits.target[train], x[test], digits.target[test]


def _timit(path):
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is not there: TIMIT is licensed (https://catalog.ldc.upenn.edu/LDC93S1), so prepare it "
            "with Kaldi and save train_x (N x 360), train_y, test_x and test_y there with numpy.savez, "
            "or use spoken-digits, an open stand-in"
        )
    try:
        arrays = _read(path)
        for x, y in (arrays[:2], arrays[2:]):
            if x.shape != (len(y), 360) or y.ndim != 1 or y.dtype.kind not in "iu" or y.min() < 0:
                raise ValueError(f"inputs {x.dtype} {x.shape}, targets {y.dtype} {y.shape}")
    except ValueError as error:
        raise ValueError(
            f"{path} should hold train_x (N x 360), train_y (N class numbers from 0), test_x and test_y, "
            f"but does not ({error}); it was left as it is"
        ) from error
    return arrays, int(max(arrays[1].max(), arrays[3].max())) + 1


# Kept files: made once, read ever after


def _read(path):
    """The four arrays of an .npz. Raises ValueError if it is damaged, OSError only if it cannot be read."""
    content = path.read_bytes()  # all of them first, so that an OSError is the disk's
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return tuple(file[key] for key in _KEYS)
    except MemoryError:
        raise
    except Exception as error:  # a damaged zip raises almost anything
        raise ValueError(_reason(error)) from error


def _check(name, arrays):
    train, test, shape, classes = _KEPT[name]
    for array, wanted in zip(arrays, ((train, *shape), (train,), (test, *shape), (test,))):
        if array.dtype != np.uint8 or array.shape != wanted:
            raise ValueError(f"{array.dtype} {array.shape} stands where uint8 {wanted} should")
    if max(arrays[1].max(), arrays[3].max()) >= classes:
        raise ValueError(f"a label is not below {classes}")


def _kept(name, root):
    path = root / f"{name}.npz"
    if not path.exists():
        _make(name, path)
    try:
        arrays = _read(path)
        _check(name, arrays)
    except ValueError as error:
        path.unlink(missing_ok=True)
        raise OSError(f"{path} was damaged ({error}) and is now removed: call again to remake it") from error
    return arrays


def _make(name, path):
    """Download into a folder beside <name>.npz, and write the file whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{name}.*/"):  # by a killed process; a younger one may be in use
            if time.time() - left.stat().st_mtime > 86_400:
                shutil.rmtree(left, ignore_errors=True)
        for left in abandoned(path.parent):
            left.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{name}.") as work:
            arrays = _download(name, Path(work))
        _check(name, arrays)
        with whole(path) as file:
            np.savez(file, **dict(zip(_KEYS, arrays)))
    except ImportError:
        raise
    except Exception as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            advice = "make room there or point FLATLAB_DATA at another folder"
        else:
            advice = "check the network and call again"
        raise OSError(f"could not make {path} ({_reason(error)}); nothing half-written was kept: {advice}") from error


def _reason(error):
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(" :")


def _download(name, work):
    if name == "spoken-digits":
        return speech.spoken_digits(work.parent / "fsdd" / "recordings", work)
    datasets = import_torchvision(name).datasets
    arrays = []
    for train in (True, False):
        part = getattr(datasets, _TORCHVISION[name])(work, train=train, download=True)
        arrays += [np.asarray(part.data), np.asarray(part.targets, dtype=np.uint8)]
    return arrays


_declared: list = []  # keeps the declaration below alive


def import_torchvision(purpose: str = "this") -> ModuleType:
    """Import torchvision, also beside a CPU-only torch.

    Parameters
    ----------
    purpose : str
        What needs it, for the sentence that says that it is missing.

    Returns
    -------
    module
        torchvision.

    Raises
    ------
    ImportError
        When it is not installed.

    Notes
    -----
    The common wheel is linked against CUDA. Beside a CPU-only torch its extension does not load, and the import dies on
    two operators that nobody declared. With them declared, data sets, transforms and models work.
    """
    try:
        return _need("torchvision", purpose)
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
    return _need("torchvision", purpose)
