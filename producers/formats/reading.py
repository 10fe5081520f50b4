"""The seam of formats: what a file is read into, and what a format must offer. Which formats there are stands in `registry`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from schemas.errors import Problem

HEAD_BYTES = 4096  # what `recognises` is shown of a file


@dataclass(frozen=True, slots=True)
class ReadDeclaration:
    """One declaration or crossing event as a file says it: its type, and its data in the shape of that type's model, not yet validated.

    `line` is where it begins in its file, from 1, where a file may hold several and the format knows it.
    """

    type: str
    data: dict[str, Any]
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Unread:
    """A part of a file that could not be read as a declaration, and why; the parts after it may be good."""

    problems: tuple[Problem, ...]
    line: int | None = None


Part = ReadDeclaration | Unread


@dataclass(frozen=True, slots=True)
class Reading:
    """A file being read. `parts` come one by one, so that a long file costs no more memory than a short one.

    `tells_its_end`: the content itself shows whether it is whole (one JSON object, one XML document). Where it does not (one object a
    line, rows of CSV), a file may be taken only when nobody is writing it any more.
    """

    parts: Iterator[Part]
    tells_its_end: bool


class Format(Protocol):
    """A file format: one module and one entry point of the group "panj.formats" that names an object like this."""

    @property
    def name(self) -> str:
        """How settings, commands and reasons call it, such as `canonical-json`."""

    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins with `head` (its first 4,096 bytes at most) is of this format, broken or not."""

    def read(self, stream: BinaryIO) -> Reading:
        """Read a file from its beginning. What is wrong with it comes as `Unread`; only the stream's own OSError is raised."""
