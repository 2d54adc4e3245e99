"""Where files lie and how one is written: whole or not at all."""

import os
import secrets
import sys
from pathlib import Path


def cache_directory():
    """Where flatlab keeps data and runs: $FLATLAB_DATA, else the platform's cache directory."""
    if os.environ.get("FLATLAB_DATA"):
        return Path(os.environ["FLATLAB_DATA"]).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "flatlab"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "flatlab"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flatlab"


def write_whole(path, content):
    """Write bytes to a path so that it holds all of them or is left as it was.

    Raises OSError with one sentence when it cannot.
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(
            f"{path} could not be written ({error.strerror or error}): free some space or choose another "
            "directory; nothing was changed."
        ) from error
    finally:
        if temporary.exists():
            temporary.unlink()
