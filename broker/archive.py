"""Archived blocks: up to 1,000 events of one stream in one file of packed JSON lines, on disk for good before their rows are removed.

    <directory>/<unit>/<other unit>/<type>/<epoch>/<first>-<last>.jsonl.gz        and beside it <the same>.sha256, as sha256sum reads it

The first line says what the file holds; then one line an event, in the order of the sequences, with its exact bytes as text; then what
proves them: receipts at a post, signatures at a house. The lines stand in `schemas.archive`, their reading in `archive_reading`; what is
archived and when stands with the tables.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from schemas.archive import BlockHead, BlockPart
from schemas.closing import block_of
from schemas.errors import UnavailableError
from schemas.limits import BLOCK_EVENTS
from schemas.names import Party


@dataclass(frozen=True, slots=True)
class Block:
    """Which events: of the stream of `source` to `destination` (URNs), sequences `first` to `last`; `digest` as in a manifest."""

    source: str
    destination: str
    type: str
    epoch: str
    first: int
    last: int
    digest: str = ""

    @classmethod
    def holding(cls, source: str, destination: str, event_type: str, epoch: str, sequence: int) -> Block:
        """The block that holds this place of a stream; its digest is not known."""
        first = block_of(sequence)
        return cls(source, destination, event_type, epoch, first, first + BLOCK_EVENTS - 1)


@dataclass(frozen=True, slots=True)
class Archived:
    """A block that is archived, or, in a dry run, would be (`file` None)."""

    unit: str
    block: Block
    events: int
    file: Path | None


def path_of(directory: Path, unit: Party, block: Block) -> Path:
    """Where the file of a block of `unit` stands below the archive's directory, wherever that was moved."""
    other = Party.of_urn(block.destination if unit.urn == block.source else block.source)
    return directory / unit.unit / other.unit / block.type / block.epoch / f"{block.first:012}-{block.last:012}.jsonl.gz"


def checksum_of(path: Path) -> Path:
    """Where the checksum of a block's file stands."""
    return path.with_name(path.name + ".sha256")


@contextmanager
def alone(directory: Path, unit: Party) -> Iterator[None]:
    """Let no other process archive this unit's blocks meanwhile: it would read rows that are half gone, and write them over a good file.

    Waits for the other one. UnavailableError `archive-unwritable` where the directory cannot be written.
    """
    place = directory / unit.unit
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(place / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unwritable(place, error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_block(directory: Path, unit: Party, block: Block, lines: Iterable[BlockPart], now_utc: datetime) -> Path:
    """Write a block's file and its checksum, both on disk when this returns; again with the same content is harmless.

    UnavailableError `archive-unwritable` where the directory cannot be written: nothing may be removed then.
    """
    path = path_of(directory, unit, block)
    head = BlockHead(panj="archived-block", archived_at=now_utc, **{name: getattr(block, name) for name in Block.__slots__})
    text = "".join((_text(head), *map(_text, lines)))
    packed = gzip.compress(text.encode(), mtime=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(path, packed)
        _write(checksum_of(path), f"{hashlib.sha256(packed).hexdigest()}  {path.name}\n".encode())
    except OSError as error:
        raise _unwritable(path, error) from None
    return path


def _unwritable(path: Path, error: OSError) -> UnavailableError:
    return UnavailableError("archive-unwritable", f"the archive cannot be written: {error.strerror}", value=path)


def _text(line: BlockHead | BlockPart) -> str:
    return json.dumps(line.model_dump(mode="json", exclude_none=True), ensure_ascii=False, separators=(",", ":")) + "\n"


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    with open(part, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
