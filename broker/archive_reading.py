"""Archived blocks read again: what a file holds of the events that are asked for, and the lines of its whole block. Nothing is believed.

A file is checked against its checksum, its own head, and the names of what it holds; its lines, by who asks, against the closing that
both sides signed (`agreed_lines`). However large a file is, only what is asked for is kept.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TypeVar

from pydantic import TypeAdapter, ValidationError

from broker.archive import Block, checksum_of, path_of
from broker.trust.signing import unb64url
from schemas import strict_json
from schemas.archive import BlockHead, BlockLine, BlockPart, EventLine
from schemas.closing import Line, block_digest, digest_text
from schemas.control import ManifestBlock
from schemas.errors import ConflictError, ContentError, SettingsError, UnavailableError, UsageError
from schemas.event import digest_of
from schemas.limits import ARCHIVE_LINE_BYTES, ARCHIVE_LINES, EVIDENCE_EVENTS
from schemas.names import Party

_AT_ONCE = 1024 * 1024
_CHECKSUM_CHARACTERS = 200
Kind = TypeVar("Kind", bound=BlockPart)
_LINE: TypeAdapter[BlockLine] = TypeAdapter(BlockLine)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Of a block's file: a line for each event in it, and what it holds of the events that were asked for and of what proves them."""

    path: Path
    lines: tuple[Line, ...] = field(repr=False)
    kept: tuple[BlockLine, ...] = field(repr=False)

    def named(self, name: str, kind: type[Kind]) -> Kind:
        """What another line rests on; ConflictError `archive-file-altered` where it is not there."""
        for line in self.kept:
            if isinstance(line, kind) and name in line.names:
                return line
        raise _altered(self.path, "what an event in it rests on is missing", name)

    def bytes_of(self, line: EventLine) -> bytes:
        """An event's exact bytes; ConflictError `archive-file-altered` where they are not those of its digest."""
        raw = line.event.encode()
        if digest_text(digest_of(raw)) != line.digest:
            raise _altered(self.path, "the bytes of an event in it are not those of its digest", line.id)
        return raw


def read_blocks(directory: Path | None, unit: Party, wanted: Mapping[Block, Collection[str]]) -> Iterator[tuple[Block, Excerpt]]:
    """Read what the files of archived blocks hold of the events with these ids, file by file.

    UsageError `evidence-too-large` where more is wanted than one evidence file may hold: nothing is read then. SettingsError
    `archive-missing` where exchange.toml names no archive. UnavailableError `archive-file-missing` where a file or its checksum cannot be
    read; ConflictError `archive-file-altered` where it is not as it was written, saying what does not fit.
    """
    if not wanted:
        return
    if directory is None:
        text = "the event is in the archive, and exchange.toml names none: set retention.archive to its directory"
        raise SettingsError("archive-missing", text, field="retention.archive")
    if (count := sum(map(len, wanted.values()))) > EVIDENCE_EVENTS:
        text = f"more than {EVIDENCE_EVENTS} events of this number are in the archive: name one by its reference or its id"
        raise UsageError("evidence-too-large", text, value=count)
    for block, event_ids in wanted.items():
        yield block, _read_block(path_of(directory, unit, block), block, event_ids)


def _read_block(path: Path, block: Block, event_ids: Collection[str]) -> Excerpt:
    try:
        with path.open("rb") as file:
            if _digest_of(file) != _stated(checksum_of(path)):
                raise _altered(path, "its SHA-256 is not the one in the file beside it")
            file.seek(0)
            return _excerpt(path, block, _unpacked(path, file), event_ids)
    except OSError as error:
        text = (
            f"the archive's file cannot be read ({error.strerror}): mount the archive (retention.archive), or put it back from its backup"
        )
        raise UnavailableError("archive-file-missing", text, field=str(error.filename or path)[-200:]) from None


def agreed_lines(excerpt: Excerpt, agreed: ManifestBlock) -> Sequence[Line]:
    """The lines of a block as both sides agreed to it; ConflictError `archive-file-altered` where the file's are others."""
    absent = {sequence for first, last in agreed.absent for sequence in range(first, last + 1)}
    lines = [line for line in excerpt.lines if agreed.first <= line.sequence <= agreed.last and line.sequence not in absent]
    if digest_text(block_digest(lines)) != agreed.digest:
        raise _altered(excerpt.path, f"its events {agreed.first} to {agreed.last} are not those of the closing that both sides signed")
    return lines


def _excerpt(path: Path, block: Block, raws: Iterator[bytes], event_ids: Collection[str]) -> Excerpt:
    head = _head(path, next(raws, b""), block)
    wanted, lines, kept = set(event_ids), list[Line](), list[BlockLine]()
    for number, raw in enumerate(raws, start=2):  # events first, then what they rest on: what is wanted is known when its line comes
        line = _line(path, number, raw)
        if isinstance(line, EventLine):
            lines.append(Line(line.sequence, line.id, unb64url(line.digest) or b""))
        if wanted.isdisjoint(line.names):
            continue
        if not line.fits:
            raise _altered(path, f"line {number} is not what it is named by", line.names[0])
        wanted.update(line.rests_on)
        kept.append(line)
    if digest_text(block_digest(lines)) != head.digest:
        raise _altered(path, "its events are not those that its first line states")
    found = {line.id for line in kept if isinstance(line, EventLine)}
    if lacking := sorted(set(event_ids) - found):
        raise _altered(path, "an event is not in it that should be", lacking[0])
    return Excerpt(path, tuple(lines), tuple(kept))


def _head(path: Path, raw: bytes, block: Block) -> BlockHead:
    try:
        head = BlockHead.model_validate(strict_json.parse(raw))
    except (ContentError, ValidationError):
        raise _altered(path, "its first line is not that of an archived block") from None
    for name in ("source", "destination", "type", "epoch", "first", "last"):
        if getattr(head, name) != getattr(block, name):
            raise _altered(path, f"it is of another block than its place says: {name}", getattr(head, name))
    return head


def _line(path: Path, number: int, raw: bytes) -> BlockLine:
    try:
        return _LINE.validate_python(strict_json.parse(raw, ARCHIVE_LINE_BYTES))
    except (ContentError, ValidationError):
        raise _altered(path, f"line {number} is none of an archived block") from None


def _unpacked(path: Path, file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file, each as long and all as many as a block's may be."""
    try:
        with gzip.GzipFile(fileobj=file) as unpacked:
            for _ in range(ARCHIVE_LINES):
                raw = unpacked.readline(ARCHIVE_LINE_BYTES + 1)
                if not raw:
                    return
                if len(raw) > ARCHIVE_LINE_BYTES:
                    break
                yield raw
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise _altered(path, "it cannot be unpacked") from None
    raise _altered(path, "it is larger than a block's file can be")


def _digest_of(file: IO[bytes]) -> str:
    gathered = hashlib.sha256()
    while piece := file.read(_AT_ONCE):
        gathered.update(piece)
    return gathered.hexdigest()


def _stated(path: Path) -> str:
    with path.open("rb") as file:
        words = file.read(_CHECKSUM_CHARACTERS).split()
    return words[0].decode("ascii", "replace") if words else ""


def _altered(path: Path, what: str, value: object = None) -> ConflictError:
    text = f"the archive's file is not as it was written: {what}; put it back from its backup"
    return ConflictError("archive-file-altered", text, field=str(path)[-200:], value=value)
