"""Closings: how a stream is cut into blocks, the digest over a block's lines, and what a house says of blocks that it compares. Pure.

Both sides compute with the same functions; docs/protocol.md, section 8, says the same for readers of any language.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from schemas.control import Manifest, ManifestBlock, ManifestDifference, ManifestLine, ManifestStream
from schemas.limits import ANSWER_LINES, BLOCK_EVENTS


class Line(NamedTuple):
    """One event of a stream: its sequence, its id, and the SHA-256 of its exact bytes (32 bytes)."""

    sequence: int
    id: str
    digest: bytes


class Told(NamedTuple):
    """The differences that one answer names, and how many blocks more differ."""

    differences: tuple[ManifestDifference, ...]
    untold: int


def block_of(sequence: int) -> int:
    """The first sequence of the block that holds this one: 1, 1001, 2001, …"""
    return (sequence - 1) // BLOCK_EVENTS * BLOCK_EVENTS + 1


def spans(first: int, last: int) -> list[tuple[int, int]]:
    """The blocks from the one that holds `first` up to `last`, each as (first, last); only the last one may be partial."""
    return [(start, min(start + BLOCK_EVENTS - 1, last)) for start in range(block_of(first), last + 1, BLOCK_EVENTS)]


def block_with(manifest: Manifest, event_type: str, epoch: str, sequence: int) -> ManifestBlock | None:
    """The block of a manifest that holds this event of a stream; None where it compares none such."""
    streams = (stream for stream in manifest.streams if (stream.type, stream.epoch) == (event_type, epoch))
    return next((block for stream in streams for block in stream.blocks if block.first <= sequence <= block.last), None)


def digest_text(digest: bytes) -> str:
    """A digest as events write it: base64url without padding."""
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def block_digest(lines: Iterable[Line]) -> bytes:
    """SHA-256 over `<sequence> <id> <digest, base64url>` and a newline for each line, in the order of the sequences."""
    gathered = hashlib.sha256()
    for sequence, event_id, digest in lines:
        gathered.update(f"{sequence} {event_id} {digest_text(digest)}\n".encode())
    return gathered.digest()


def gaps(first: int, last: int, held: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """The sequences from `first` to `last` that are not among these (rising) ones, as ranges."""
    ranges: list[tuple[int, int]] = []
    expected = first
    for sequence in held:
        if sequence > expected:
            ranges.append((expected, sequence - 1))
        expected = sequence + 1
    if expected <= last:
        ranges.append((expected, last))
    return tuple(ranges)


def compare(stated: ManifestStream, held: Iterable[Line], archived: Mapping[int, tuple[int, str]]) -> Iterator[ManifestDifference]:
    """Give the stated blocks that differ from what is held: `held` are the lines of all their sequences, rising, read once.

    `archived`: blocks whose rows are in an archive, by first sequence: last sequence and digest as it was then.
    """
    rest = iter(held)
    waiting = next(rest, None)
    for block in stated.blocks:
        lines: list[Line] = []
        while waiting is not None and waiting.sequence <= block.last:
            if waiting.sequence >= block.first:
                lines.append(waiting)
            waiting = next(rest, None)
        difference = _compare_block(stated, block, lines, archived.get(block.first))
        if difference is not None:
            yield difference


def _compare_block(
    stated: ManifestStream, block: ManifestBlock, lines: Sequence[Line], archived: tuple[int, str] | None
) -> ManifestDifference | None:
    place = {"type": stated.type, "epoch": stated.epoch, "first": block.first, "last": block.last}
    if archived is not None:
        return None if archived == (block.last, block.digest) else ManifestDifference(**place, archived=True)
    absent = {sequence for first, last in block.absent for sequence in range(first, last + 1)}
    missing = gaps(block.first, block.last, sorted({*absent, *(line.sequence for line in lines)}))
    if missing:
        return ManifestDifference(**place, missing=missing)
    if digest_text(block_digest(line for line in lines if line.sequence not in absent)) == block.digest:
        return None
    held = tuple(ManifestLine(sequence=line.sequence, id=line.id, digest=digest_text(line.digest)) for line in lines)
    return ManifestDifference(**place, held=held)


def tell(differences: Iterable[ManifestDifference]) -> Told:
    """Choose what one answer names: what can be healed first, then lines, as much as an event has room for; the rest is counted."""
    told: list[ManifestDifference] = []
    room, untold = ANSWER_LINES, 0
    for difference in sorted(differences, key=lambda each: not each.missing):
        cost = 1 + len(difference.missing) + len(difference.held)
        if cost > room:
            untold += 1
            continue
        room -= cost
        told.append(difference)
    return Told(tuple(told), untold)


def unequal(ours: Iterable[Line], theirs: Iterable[ManifestLine]) -> list[tuple[int, Line | None, ManifestLine | None]]:
    """Put the lines of one block side by side and give what is not equal: the sequence, and each side's line where it has one."""
    here = {line.sequence: line for line in ours}
    there = {line.sequence: line for line in theirs}
    sides = [(sequence, here.get(sequence), there.get(sequence)) for sequence in sorted({*here, *there})]
    return [
        (sequence, mine, other)
        for sequence, mine, other in sides
        if mine is None or other is None or (mine.id, digest_text(mine.digest)) != (other.id, other.digest)
    ]
