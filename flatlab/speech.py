"""Spoken digits as frames of 360 numbers: an open stand-in for TIMIT, which is licensed. It is not TIMIT.

The Free Spoken Digit Dataset v1.0.10 (Jackson et al., CC BY-SA 4.0): 3,000 recordings at 8 kHz, six speakers
saying ten digits fifty times; recordings with index < 5 are the test split, as its authors have it.
"""

import functools
import hashlib
import io
import shutil
import tarfile
import urllib.request
import wave
from pathlib import Path

import numpy as np

ARCHIVE = "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz"
# Over the names and samples of all recordings in order, so it does not depend on how the files were packed.
SHA256 = "0900e6ac05fd34e012bd7b8202598df703a011d3ce8c085ceab03284183b9a4a"


def spoken_digits(folder: Path, work: Path) -> list[np.ndarray]:
    """Make the data set from the recordings.

    Parameters
    ----------
    folder : Path
        Where the recordings are; where it is no folder they are downloaded.
    work : Path
        A folder for the download.

    Returns
    -------
    list of array
        train_x (N x 360), train_y, test_x and test_y, in uint8.

    Raises
    ------
    OSError
        When the recordings are not the released ones, or cannot be had.

    Notes
    -----
    A row is one frame: log-mel energies of it and of its four neighbours on either side, 9 x 40 = 360 numbers (the ends
    of a recording are repeated). Its class is 30 speaker + 3 digit + third of the word, with the speakers in
    alphabetical order.
    """
    if folder.is_dir():
        files = {path.name: path.read_bytes() for path in folder.glob("*.wav")}
        origin = f"{folder} (remove it to have them downloaded)"
    else:
        files, origin = _download(work / "archive.tar.gz"), ARCHIVE
    recordings = {name: _samples(files[name]) for name in sorted(files)}
    content = hashlib.sha256()
    for name, samples in recordings.items():
        content.update(f"{name} {len(samples)} ".encode() + samples.tobytes())
    if content.hexdigest() != SHA256:
        raise OSError(f"the recordings of {origin} are not those of release v1.0.10")
    speakers = sorted({name.split("_")[1] for name in recordings})
    rows = {"train": ([], []), "test": ([], [])}  # type: ignore[var-annotated]
    for name, samples in recordings.items():
        digit, speaker, index = Path(name).stem.split("_")
        frames = log_mel(samples)
        third = 3 * np.arange(len(frames)) // len(frames)
        x, y = rows["test" if int(index) < 5 else "train"]
        x.append(with_context(frames))
        y.append((30 * speakers.index(speaker) + 3 * int(digit) + third).astype(np.uint8))
    return [np.concatenate(part) for split in rows.values() for part in split]


def _download(archive):
    with urllib.request.urlopen(ARCHIVE, timeout=60) as source, open(archive, "wb") as file:
        shutil.copyfileobj(source, file)
    with tarfile.open(archive) as tar:  # in memory: no path that the archive names is written
        return {
            Path(member.name).name: tar.extractfile(member).read()
            for member in tar
            if member.isfile() and "/recordings/" in member.name and member.name.endswith(".wav")
        }


def _samples(content):
    with wave.open(io.BytesIO(content)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


@functools.cache
def mel_filters() -> np.ndarray:
    """40 triangles over 257 frequencies, equally spaced in mel, 2595 log10(1 + f/700), from 20 to 4,000 Hz."""
    mel = np.linspace(*2595 * np.log10(1 + np.array([20, 4000]) / 700), 42)  # type: ignore[call-overload]
    edges = 700 * (10 ** (mel / 2595) - 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    frequency = np.arange(257) * 8000 / 512
    rising, falling = (frequency - low) / (middle - low), (high - frequency) / (high - middle)
    return np.maximum(0, np.minimum(rising, falling))


def log_mel(samples: np.ndarray) -> np.ndarray:
    """The log-mel energies of 25 ms Hann windows, one every 10 ms.

    Parameters
    ----------
    samples : array
        int16, at 8 kHz.

    Returns
    -------
    array
        frames x 40 in uint8.

    Notes
    -----
    With samples in [-1, 1], a natural log energy e is kept as round(255 (e + 16) / 22), clipped: the same map for all
    recordings. Nothing is normalised by recording or speaker, because who speaks is part of the class.
    """
    windows = np.lib.stride_tricks.sliding_window_view(samples / 32768, 200)[::80]
    power = np.abs(np.fft.rfft(windows * np.hanning(202)[1:-1], 512)) ** 2
    energy = np.log(power @ mel_filters().T + 1e-10)
    return np.clip(np.round(255 * (energy + 16) / 22), 0, 255).astype(np.uint8)


def with_context(frames: np.ndarray) -> np.ndarray:
    """frames x 40 -> frames x 360: each frame between the four before it and the four after it."""
    neighbours = np.clip(np.arange(len(frames))[:, None] + np.arange(-4, 5), 0, len(frames) - 1)
    return frames[neighbours].reshape(len(frames), -1)
