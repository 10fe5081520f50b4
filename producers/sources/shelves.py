"""Where files of a watched directory go: `taken/<day>/` once accepted, `rejected/` with the reason beside it. Nothing is overwritten."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from schemas.errors import SettingsError

NAME_BYTES = 255  # NAME_MAX of the usual filesystems
REASON = ".reason.json"
TAKEN, REJECTED = "taken", "rejected"


class Shelves:
    """The two directories beside the files, on the same filesystem, so that a move is one rename."""

    def __init__(self, watched: Path) -> None:
        self._taken = watched / TAKEN
        self._rejected = watched / REJECTED
        for directory in (watched, self._taken, self._rejected):
            _real_directory(directory, may_be_link=directory == watched)

    def take(self, path: Path) -> Path:
        """Move an accepted file to `taken/<UTC day>/` and give its new place.

        Not synced: should the power fail before the rename is on disk, the file is read again and is a duplicate.
        """
        day = self._taken / f"{datetime.now(UTC):%Y-%m-%d}"
        _real_directory(day)
        place = _free(day, path.name)
        os.rename(path, place)
        return place

    def give_back(self, place: Path, path: Path) -> None:
        """Undo `take` for a file that was written to meanwhile, unless its name is in use again."""
        if not os.path.lexists(path):
            os.rename(place, path)

    def reject(self, path: Path, reason: bytes) -> Path:
        """Move a bad file to `rejected/`, its reason first: nobody ever finds a rejected file without one."""
        place = _free(self._rejected, path.name, room=len(REASON))
        _write(place.with_name(place.name + REASON), reason)
        os.rename(path, place)
        _sync(self._rejected)
        return place

    def set_aside(self, name: str, content: bytes, reason: bytes) -> None:
        """Keep what was no file of its own as a rejected one, its reason first; what is there under this name already is the same."""
        place = self._rejected / name
        if os.path.lexists(place):
            return
        _write(place.with_name(place.name + REASON), reason)
        part = place.with_name(f".{name}.part")
        _write(part, content)
        os.rename(part, place)
        _sync(self._rejected)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)


def _free(directory: Path, name: str, room: int = 0) -> Path:
    """Find a name that is free: its own, or with the time before its ending. `room`: bytes that something is yet to add to it."""
    stem, dot, ending = name.rpartition(".") if "." in name[1:] else (name, "", "")
    candidate = directory / _short(stem, dot + ending, room)
    while os.path.lexists(candidate) or (room and os.path.lexists(candidate.with_name(candidate.name + REASON))):
        candidate = directory / _short(stem, f".{datetime.now(UTC):%H%M%S-%f}{dot}{ending}", room)
    return candidate


def _short(stem: str, ending: str, room: int) -> str:
    begun, end = os.fsencode(stem), os.fsencode(ending)
    if len(begun) + len(end) + room <= NAME_BYTES:
        return stem + ending
    if len(end) > 60:  # not an ending anybody would miss
        begun, end = begun + end, b""
    return begun[: NAME_BYTES - room - len(end)].decode("utf-8", "ignore") + os.fsdecode(end)


def _real_directory(path: Path, *, may_be_link: bool = False) -> None:
    """Make the directory where it is missing; SettingsError where something else has its name (a link would lead files elsewhere)."""
    try:
        path.mkdir(parents=may_be_link, exist_ok=True)
    except OSError as error:
        raise SettingsError("watch-directory", f"cannot make the directory: {error.strerror}", field="watch", value=path) from error
    if path.is_symlink() and not may_be_link:
        raise SettingsError("watch-directory", "it is a link: replace it by a directory", field="watch", value=path)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
