"""A small disk of its own for tests of a full one: a tmpfs, where this user may mount it; the test is skipped elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    """A mounted tmpfs. `fill` leaves so much of it free, `clear` gives it all back."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def free_bytes(self) -> int:
        """What is free."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, leave_bytes: int = 0) -> None:
        """Let something else take the disk, all but so much."""
        with (self.path / "somebody-else").open("ab") as file:
            file.write(b"\0" * max(0, self.free_bytes - leave_bytes))

    def clear(self) -> None:
        """Remove what something else took."""
        (self.path / "somebody-else").unlink()


@contextmanager
def small_disk(path: Path, megabytes: int = 8) -> Iterator[SmallDisk]:
    """Mount a disk of so many megabytes at `path`, and unmount it at the end; skips where that is not allowed."""
    path.mkdir()
    command = [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "panj-test", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this user may not mount a tmpfs: {done.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run([shutil.which("umount") or "umount", "--lazy", str(path)], check=True)
