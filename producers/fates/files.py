"""Fates as files: `<reference>.<number>.json`, written whole beside and renamed, so that nobody ever sees half of one."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from broker.outbox.telling import Telling
from producers.fates.message import bytes_of
from producers.fates.receiving import NotTaken, Reply, Taken
from schemas.errors import SettingsError

AT_ONCE = 500
_NAME_BYTES = 200
_UNFIT = re.compile(r"[^A-Za-z0-9._-]")


class FilesReceiver:
    """A directory, local or a mounted share, that the national system empties."""

    at_once = AT_ONCE

    def __init__(self, directory: Path, post: str) -> None:
        self._directory = directory
        self._post = post
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError("fates-directory", f"cannot make it: {error.strerror}", field="fates.directory", value=directory) from None

    def tell(self, tellings: Sequence[Telling]) -> list[Reply]:
        """Write a file each, and sync the directory once."""
        replies: list[Reply] = []
        for telling in tellings:
            try:
                self._write(telling)
                replies.append(Taken())
            except OSError as error:
                replies.append(NotTaken(f"{self._directory}: {error.strerror}", away=True))
                break
        try:
            _sync(self._directory)
        except OSError as error:
            return [NotTaken(f"{self._directory}: {error.strerror}", away=True)] * len(tellings)
        left = len(tellings) - len(replies)
        return replies + replies[-1:] * left

    def _write(self, telling: Telling) -> None:
        content = bytes_of(telling, self._post) + b"\n"
        place = self._directory / name_of(telling)
        if place.exists() and place.read_bytes() != content:  # another outbox's, begun anew: its numbers came before
            place = self._directory / name_of(telling, telling.event_id)
        part = place.with_name(f".{place.name}.part")  # nobody looks at names that begin with a dot
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        part.rename(place)

    def close(self) -> None:
        """Nothing is held."""


def name_of(telling: Telling, more: str = "") -> str:
    """The name of its file: numbers rise in the order of telling, so that the files of a reference sort by them."""
    reference = _UNFIT.sub("_", telling.reference.replace("/", "-"))[:_NAME_BYTES] or "_"
    return f"{reference}.{telling.number:09}{f'.{more}' if more else ''}.json"


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
