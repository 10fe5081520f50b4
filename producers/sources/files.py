"""One file of a watched directory: what the directory says of it, and reading it through its format without following anything.

Nothing is moved or accepted here: see `shelves` and `directory`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from producers.formats.reading import Part, Unread
from producers.formats.registry import Reader
from producers.sources.guard import guarded
from schemas.errors import ContentError, shown

FILE_BYTES = 256 * 1024 * 1024  # read in parts, never at once: a bound on time more than on memory


@dataclass(frozen=True, slots=True)
class Mark:
    """What tells one state of a file from another. By its owner's clock; never compared with ours."""

    inode: int
    bytes: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> Mark:
        """Take the mark of a file from its status."""
        return cls(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def same_content(self, other: Mark) -> bool:
        """Whether nobody wrote in between; a rename changes the change time only."""
        return (self.bytes, self.modified_ns) == (other.bytes, other.modified_ns)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """An entry of the directory that is to be looked at: `regular` is false for links, pipes, sockets and devices."""

    path: Path
    mark: Mark
    regular: bool

    @property
    def order(self) -> tuple[int, str]:
        """Oldest first, then by name: corrections mostly come after what they correct."""
        return self.mark.modified_ns, self.path.name


def found_files(directory: Path) -> Iterator[FoundFile]:
    """Look through the directory: all but subdirectories, dot files, `*.part` and `*.tmp`, which belong to somebody still writing."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower().endswith((".part", ".tmp")):
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # it went away while we looked: whoever renamed it gives it another name
            if not stat.S_ISDIR(status.st_mode):
                yield FoundFile(directory / entry.name, Mark.of(status), stat.S_ISREG(status.st_mode))


class FileInHand:
    """A file being read. `parts` reads it; afterwards `whole` tells whether somebody may still be writing it."""

    def __init__(self, found: FoundFile, reader: Reader) -> None:
        self.found = found
        self.mark = found.mark
        self.tells_its_end = False
        self.unread = 0
        self.still_written = False
        self._reader = reader

    @property
    def name(self) -> str:
        """Its name in the directory."""
        return self.found.path.name

    def parts(self) -> Iterator[Part]:
        """Read the declarations of the file one by one; what is wrong with the file itself comes as one `Unread`."""
        problem = self._odd()
        if problem is not None:
            yield self._wrong(problem)
            return
        try:
            with _opened(self.found.path) as stream:
                self.mark = Mark.of(os.fstat(stream.fileno()))
                yield from self._read(stream)
                self.still_written = not self.mark.same_content(Mark.of(os.fstat(stream.fileno())))
        except PermissionError as error:
            yield self._wrong(ContentError("file-unreadable", f"the post's user may not read it: {error.strerror}"))

    def _odd(self) -> ContentError | None:
        if not self.found.regular:
            return ContentError("file-odd", "it is a link, a pipe, a socket or a device, and not a file; it was not followed or opened")
        if self.found.mark.bytes > FILE_BYTES:
            return ContentError("file-too-large", f"a file is at most {FILE_BYTES:,} bytes", value=self.found.mark.bytes)
        return None

    def _read(self, stream: BinaryIO) -> Iterator[Part]:
        for part in guarded(lambda: self._begin(stream), source="file", document=shown(self.name)):
            self.unread += isinstance(part, Unread)
            yield part

    def _begin(self, stream: BinaryIO) -> Iterator[Part]:
        reading = self._reader.read(stream)
        self.tells_its_end = reading.tells_its_end
        return reading.parts

    def _wrong(self, error: ContentError) -> Unread:
        self.unread += 1
        return Unread.of(error.problems)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open for reading without following a link or waiting for a pipe, should the name have become one since we looked."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path.name} is not a regular file any more")
        yield stream
