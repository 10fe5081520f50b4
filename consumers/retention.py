"""Retention in the customs house: whole blocks that both sides agreed to, decided long ago, leave the inbox for the archive.

The domain's own rows (declarations, items, crossings) stay: the record is its owner's business. What is removed leaves a watermark,
`stream.pruned_to`: an unknown event at or below it is a pruned one that comes again, and is parked. A block at a time, the file on disk
before the rows go; never an event that is held, and never the last block of a stream.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, delete, exists, insert, not_, select, update

from broker.archive import Archived, Block, alone, write_block
from consumers import archived
from consumers.clock import Clock
from consumers.closing_tables import archived_block, closing_stream
from consumers.tables import evidence, held, inbox, stream, withdrawal
from schemas.archive import TakenEvent
from schemas.closing import Line, block_digest, digest_text
from schemas.fates import Fate
from schemas.limits import BLOCK_EVENTS
from schemas.names import Party

_SIGNATURES_AT_ONCE = 5_000


def archived_in(connection: Connection, source: str, event_type: str, epoch: str, first: int, last: int) -> dict[int, tuple[int, str]]:
    """The archived blocks of a stream among these sequences, by their first one: the last one, and the digest as it was."""
    here = (archived_block.c.source == source, archived_block.c.type == event_type, archived_block.c.epoch == epoch)
    query = select(archived_block.c.first, archived_block.c.last, archived_block.c.digest)
    rows = connection.execute(query.where(*here, archived_block.c.first >= first, archived_block.c.last <= last))
    return {row.first: (row.last, digest_text(bytes(row.digest))) for row in rows}


class Retention:
    """What of a house's inbox may go, and its going."""

    def __init__(self, engine: Engine, house: Party, clock: Clock) -> None:
        self._engine = engine
        self._house = house
        self._clock = clock

    def blocks(self, inbox_days: int) -> list[Block]:
        """The blocks that may go now, at most one of each stream: the next ones after what went before."""
        before = self._clock() - timedelta(days=inbox_days)
        with self._engine.connect().execution_options(reads=True) as connection, connection.begin():
            found = [_next_block(connection, self._house, row, before) for row in connection.execute(select(stream)).all()]
        return [block for block in found if block is not None]

    def archive(self, block: Block, directory: Path) -> Archived | None:
        """Write a block's file, then remove its rows; None where another process did so since it was found.

        UnavailableError `archive-unwritable`: nothing is removed then.
        """
        with alone(directory, self._house):
            with self._engine.connect().execution_options(reads=True) as connection, connection.begin():
                if _digest_of(connection, block) != block.digest:
                    return None
                lines = list(archived.lines(connection, block))
            now = self._clock()
            path = write_block(directory, self._house, block, lines, now)
            with self._engine.begin() as connection:
                _remove(connection, block, path, now)
        return Archived(self._house.unit, block, sum(isinstance(line, TakenEvent) for line in lines), path)

    def sweep(self, inbox_days: int) -> int:
        """Remove signatures that nothing in the inbox refers to any more; they are in the archive, with their events. Gives how many."""
        before = self._clock() - timedelta(days=inbox_days)
        used = [exists().where(table.c.bundle_digest == evidence.c.bundle_digest) for table in (inbox, withdrawal)]
        unused = select(evidence.c.bundle_digest).where(evidence.c.received_at_utc < before, *map(not_, used))
        with self._engine.connect().execution_options(reads=True) as connection, connection.begin():
            digests = list(connection.execute(unused.limit(_SIGNATURES_AT_ONCE)).scalars())
        with self._engine.begin() as connection:
            for digest in digests:
                connection.execute(delete(evidence).where(evidence.c.bundle_digest == digest))
        return len(digests)


def _next_block(connection: Connection, house: Party, row: Any, before: datetime) -> Block | None:
    block = Block(row.source, house.urn, row.type, row.epoch, row.pruned_to + 1, row.pruned_to + BLOCK_EVENTS)
    here = (closing_stream.c.source == row.source, closing_stream.c.type == row.type, closing_stream.c.epoch == row.epoch)
    agreed = select(closing_stream.c.number).where(*here, closing_stream.c.first <= block.first, closing_stream.c.last >= block.last)
    if connection.execute(agreed.limit(1)).first() is None:
        return None
    places = (inbox.c.epoch == row.epoch, inbox.c.source == row.source, inbox.c.type == row.type)
    beyond = select(inbox.c.sequence).where(*places, inbox.c.sequence > block.last).limit(1)
    if connection.execute(beyond).first() is None:
        return None
    young = (inbox.c.fate == Fate.HELD.value) | (inbox.c.decided_at_utc > before)
    unfinished = select(held.c.event_id).join(inbox, inbox.c.event_id == held.c.event_id)
    needed = (
        select(inbox.c.event_id).where(*archived.rows_of(block), young).limit(1),
        unfinished.where(*archived.rows_of(block), held.c.finished_at_utc.is_(None)).limit(1),
    )
    if any(connection.execute(query).first() is not None for query in needed):
        return None
    return replace(block, digest=_digest_of(connection, block))


def _digest_of(connection: Connection, block: Block) -> str:
    query = select(inbox.c.sequence, inbox.c.event_id, inbox.c.digest).where(*archived.rows_of(block)).order_by(inbox.c.sequence)
    return digest_text(block_digest(Line(sequence, event_id, bytes(digest)) for sequence, event_id, digest in connection.execute(query)))


def _remove(connection: Connection, block: Block, path: Path, now_utc: datetime) -> None:
    events = select(inbox.c.event_id).where(*archived.rows_of(block))
    archived.note(connection, block)
    for table in (held, withdrawal):
        connection.execute(delete(table).where(table.c.event_id.in_(events)))
    connection.execute(delete(inbox).where(*archived.rows_of(block)))
    here = (stream.c.source == block.source) & (stream.c.type == block.type) & (stream.c.epoch == block.epoch)
    connection.execute(update(stream).where(here, stream.c.pruned_to < block.last).values(pruned_to=block.last))
    row = {
        "source": block.source,
        "type": block.type,
        "epoch": block.epoch,
        "first": block.first,
        "last": block.last,
        "digest": base64.urlsafe_b64decode(block.digest + "="),
        "file": str(path),
        "archived_at_utc": now_utc,
    }
    connection.execute(insert(archived_block), row)
