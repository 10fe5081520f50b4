"""The files of a second copy: segments that are only ever appended to, synced before they count, and removed whole.

What survives a pulled stick best: no file is written in its middle, and none but the last line of one can be torn. What the lines are
stands in `copy_lines`, when a segment goes, in `second_copy`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from schemas.errors import UnavailableError

ENDING = ".copy"
SEGMENT_BYTES = 4 * 1024 * 1024  # a segment goes when everything in it is settled: small ones go soon


def copy_directory(second_copy: Path, unit: str) -> Path:
    """Where the copy of one unit's outbox lies: several posts may share a stick."""
    return second_copy / unit


def prepare(directory: Path, apart_from: Path | None) -> None:
    """Make the directory; UnavailableError `copy-same-disk` where it lies on the disk that it is to be a second one to."""
    nearest = next(path for path in (directory, *directory.parents) if path.exists())
    if apart_from is not None and os.stat(nearest).st_dev == os.stat(apart_from).st_dev:
        text = f"{directory} lies on the same disk as the outbox: is the stick mounted?"
        raise UnavailableError("copy-same-disk", text)
    directory.mkdir(parents=True, exist_ok=True)


def segments(directory: Path) -> list[Path]:
    """The segments that are there, oldest first."""
    try:
        return sorted(directory / name for name in os.listdir(directory) if name.endswith(ENDING))
    except FileNotFoundError:
        return []


class Segment:
    """The segment that this process appends to. While it is open no other process removes it."""

    def __init__(self, directory: Path) -> None:
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(3)}{ENDING}"
        self.path = directory / name
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        sync_directory(directory)
        self.size = 0

    def append(self, lines: Sequence[bytes]) -> None:
        """Append lines and wait until they are on the disk; OSError otherwise: what was written of them is taken back, if it can be."""
        content = b"".join(lines)
        view = memoryview(content)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
            os.fsync(self._descriptor)
        except OSError:
            with suppress(OSError):  # a full stick must not be filled with halves
                os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(content)

    def close(self) -> None:
        """Let it go; one in which nothing is goes altogether."""
        if not self.size:
            with suppress(OSError):  # on a stick that is gone
                self.path.unlink(missing_ok=True)
        with suppress(OSError):
            os.close(self._descriptor)


def remove(path: Path) -> bool:
    """Remove a segment, unless another process appends to it; False then."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        path.unlink(missing_ok=True)
        return True
    finally:
        os.close(descriptor)


def sizes_of(directory: Path) -> dict[Path, int]:
    """The segments that are there and their sizes, oldest first."""
    sizes = {}
    for path in segments(directory):
        try:
            sizes[path] = path.stat().st_size
        except FileNotFoundError:  # another process has just removed it
            continue
    return sizes


def sync_directory(directory: Path) -> None:
    """Wait until a new name in it is on the disk, where its filesystem can."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some filesystems of sticks have nothing to sync in a directory
            raise
    finally:
        os.close(descriptor)
