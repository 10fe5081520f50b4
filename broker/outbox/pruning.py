"""Pruning: whole blocks that both sides agreed to, longer ago than the house's backup horizon, leave the outbox for the archive.

Never while anything needs them: a reconciliation, a difference, an event that is not settled; and never a stream's last block, which
tells how far its numbers were given. A block at a time, the file on disk before the rows go.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, delete, exists, func, select, update

from broker.archive import Archived, Block, alone, write_block
from broker.outbox import archived
from broker.outbox.closing_tables import account, closing_difference, closing_stream
from broker.outbox.engine import reading, writing
from broker.outbox.tables import outbox, receipt, stream
from schemas.archive import SentEvent
from schemas.closing import Line, block_digest, digest_text
from schemas.limits import BLOCK_EVENTS
from schemas.names import Party


class Pruning:
    """What of one outbox may go, and its going. `source` is the outbox's own unit."""

    def __init__(self, engine: Engine, source: Party, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._source = source
        self._clock = clock

    def blocks(self, settled_days: int) -> list[Block]:
        """The blocks that may go now, at most one of each stream: the next ones after what went before."""
        now = self._clock()
        with reading(self._engine) as connection:
            found = [_next_block(connection, self._source, row, settled_days, now) for row in connection.execute(select(stream)).all()]
        return [block for block in found if block is not None]

    def archive(self, block: Block, directory: Path) -> Archived | None:
        """Write a block's file, then remove its rows; None where another process did so since it was found.

        UnavailableError `archive-unwritable`: nothing is removed then.
        """
        with alone(directory, self._source):
            with reading(self._engine) as connection:
                if _digest_of(connection, block) != block.digest:
                    return None
                lines = list(archived.lines(connection, block))
            path = write_block(directory, self._source, block, lines, self._clock())
            with writing(self._engine) as connection:
                _remove(connection, block)
        return Archived(self._source.unit, block, sum(isinstance(line, SentEvent) for line in lines), path)


def _next_block(connection: Connection, source: Party, row: Any, settled_days: int, now: datetime) -> Block | None:
    first, last = row.pruned_to + 1, row.pruned_to + BLOCK_EVENTS
    if last >= row.last_sequence or _needed(connection, row.destination):
        return None
    horizon = connection.execute(select(account.c.horizon_seconds).where(account.c.destination == row.destination)).scalar()
    if horizon is None:
        return None  # the house has not said how far back it may be set
    before = now - max(timedelta(days=settled_days), timedelta(seconds=horizon))
    here = (closing_stream.c.destination == row.destination, closing_stream.c.type == row.type, closing_stream.c.epoch == row.epoch)
    agreed = select(func.max(closing_stream.c.holds_to)).where(*here, closing_stream.c.agreed_at_utc <= before)
    if (connection.execute(agreed).scalar() or 0) < last:
        return None
    block = Block(source.urn, row.destination, row.type, row.epoch, first, last)
    unfinished = select(outbox.c.position).where(*archived.rows_of(block), outbox.c.settled_at_utc.is_(None)).limit(1)
    newest = select(outbox.c.position).where(*archived.rows_of(block), outbox.c.settled_at_utc > before).limit(1)
    # The highest position tells what this outbox has seen, and the clock's last word: it stays.
    highest = select(outbox.c.position).where(
        *archived.rows_of(block), outbox.c.position == select(func.max(outbox.c.position)).scalar_subquery()
    )
    if any(connection.execute(query).first() is not None for query in (unfinished, newest, highest)):
        return None
    return replace(block, digest=_digest_of(connection, block))


def _digest_of(connection: Connection, block: Block) -> str:
    query = select(outbox.c.sequence, outbox.c.event_id, outbox.c.digest).where(*archived.rows_of(block)).order_by(outbox.c.sequence)
    return digest_text(block_digest(Line(sequence, event_id, bytes(digest)) for sequence, event_id, digest in connection.execute(query)))


def _needed(connection: Connection, destination: str) -> bool:
    """Whether a reconciliation with this house is under way or wanted, or differences with it stand."""
    busy = (account.c.begun_at_utc.is_not(None) & account.c.finished_at_utc.is_(None)) | account.c.asked_at_utc.is_not(None)
    asked = exists().where(account.c.destination == destination, busy)
    differs = exists().where(closing_difference.c.destination == destination, closing_difference.c.ended_at_utc.is_(None))
    return bool(connection.execute(select(asked | differs)).scalar())


def _answers_what_is_kept(connection: Connection, raw: bytes) -> bool:
    """Whether a receipt names an event that is still here: asked by its ids, for no index leads from receipts to rows."""
    said = json.loads(raw)["data"]  # a recovery's answer names its events as `entries`
    ids = [answer["id"] for answer in said.get("answers", said.get("entries", ()))]
    return connection.execute(select(outbox.c.position).where(outbox.c.event_id.in_(ids)).limit(1)).first() is not None


def _remove(connection: Connection, block: Block) -> None:
    settled_by = select(outbox.c.receipt_digest).where(*archived.rows_of(block), outbox.c.receipt_digest.is_not(None)).distinct()
    receipts = [bytes(digest) for digest in connection.execute(settled_by).scalars()]
    archived.note(connection, block)
    connection.execute(delete(outbox).where(*archived.rows_of(block), outbox.c.settled_at_utc.is_not(None)))
    for digest in receipts:
        raw = connection.execute(select(receipt.c.raw).where(receipt.c.digest == digest)).scalar()
        if raw is not None and not _answers_what_is_kept(connection, bytes(raw)):
            connection.execute(delete(receipt).where(receipt.c.digest == digest))
    here = (stream.c.destination == block.destination) & (stream.c.type == block.type) & (stream.c.epoch == block.epoch)
    connection.execute(update(stream).where(here, stream.c.pruned_to < block.last).values(pruned_to=block.last))
