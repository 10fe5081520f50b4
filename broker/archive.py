"""Archived blocks: up to 1,000 events of one stream in one file of packed JSON lines, on disk for good before their rows are removed.

    <directory>/<unit>/<other unit>/<type>/<epoch>/<first>-<last>.jsonl.gz        and beside it <the same>.sha256, as sha256sum reads it

The first line says what the file holds; then one line an event, in the order of the sequences, with its exact bytes as text; then what
proves them: receipts at a post, signatures at a house. What is archived and when stands with the tables.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from schemas.errors import UnavailableError
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
    digest: str


@dataclass(frozen=True, slots=True)
class Archived:
    """A block that is archived, or, in a dry run, would be (`file` None)."""

    unit: str
    block: Block
    events: int
    file: Path | None


def write_block(directory: Path, unit: Party, block: Block, lines: Iterable[Mapping[str, Any]], now_utc: datetime) -> Path:
    """Write a block's file and its checksum, both on disk when this returns; again with the same content is harmless.

    UnavailableError `archive-unwritable` where the directory cannot be written: nothing may be removed then.
    """
    other = Party.of_urn(block.destination if unit.urn == block.source else block.source)
    place = directory / unit.unit / other.unit / block.type / block.epoch
    path = place / f"{block.first:012}-{block.last:012}.jsonl.gz"
    head = {"panj": "archived-block", "archived_at": now_utc.isoformat(), **{name: getattr(block, name) for name in Block.__slots__}}
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in (head, *lines))
    packed = gzip.compress(text.encode(), mtime=0)
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(path, packed)
        _write(path.with_name(path.name + ".sha256"), f"{hashlib.sha256(packed).hexdigest()}  {path.name}\n".encode())
    except OSError as error:
        raise UnavailableError("archive-unwritable", f"the archive cannot be written: {error.strerror}", value=path) from None
    return path


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
