"""What of an outbox is in the archive: a block's lines as they are written, the index of its events, and their reading for evidence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, insert, select

from broker.archive import Block
from broker.archive_reading import Excerpt, read_blocks
from broker.outbox.engine import reading
from broker.outbox.reading import named
from broker.outbox.tables import archived_event, outbox, receipt
from broker.outbox.values import KeptRow
from schemas.archive import BlockPart, ReceiptLine, SentEvent
from schemas.closing import digest_text
from schemas.names import Party

_INDEXED = ("event_id", "reference", "destination", "type", "epoch", "sequence")


class ArchivedRow(NamedTuple):
    """An event whose row is gone, as it was, and the block that it was read from."""

    row: KeptRow
    excerpt: Excerpt


class OutboxArchive:
    """What of one outbox was pruned. `source` is the outbox's own unit."""

    def __init__(self, engine: Engine, source: Party) -> None:
        self._engine = engine
        self._source = source

    def kept(self, reference: str, directory: Path | None) -> list[ArchivedRow]:
        """All archived versions of one declaration with what proves them, found as in the outbox; by stream and sequence.

        Errors of `read_blocks` where a file is missing or altered.
        """
        with reading(self._engine) as connection:
            query = select(archived_event).where(named(archived_event, reference))
            blocks = defaultdict[Block, list[str]](list)
            for row in connection.execute(query.order_by(archived_event.c.epoch, archived_event.c.sequence)):
                place = (row.destination, row.type, row.epoch, row.sequence)
                blocks[Block.holding(self._source.urn, *place)].append(row.event_id)
        found = read_blocks(directory, self._source, blocks)
        return [ArchivedRow(row, excerpt) for block, excerpt in found for row in _rows(block, excerpt)]


def rows_of(block: Block) -> tuple[Any, ...]:
    """The conditions by which a block's rows are found."""
    places = outbox.c.sequence.between(block.first, block.last)
    return (outbox.c.destination == block.destination, outbox.c.type == block.type, outbox.c.epoch == block.epoch, places)


def lines(connection: Connection, block: Block) -> Iterator[BlockPart]:
    """The lines of a block: events, each with its exact bytes, then the houses' receipts that settled them."""
    receipts: dict[bytes, None] = {}
    for row in connection.execute(select(outbox).where(*rows_of(block)).order_by(outbox.c.sequence)):
        if row.receipt_digest is not None:
            receipts[bytes(row.receipt_digest)] = None
        yield SentEvent(
            event=bytes(row.raw).decode(),
            sequence=row.sequence,
            id=row.event_id,
            digest=digest_text(bytes(row.digest)),
            reference=row.reference,
            version=row.version,
            accepted_at=row.accepted_at_utc,
            settled_at=row.settled_at_utc,
            fate=row.fate,
            problems=row.problems,
            withdrawal=None if row.withdrawal is None else bytes(row.withdrawal),
            receipt=None if row.receipt_digest is None else digest_text(bytes(row.receipt_digest)),
        )
    for digest in receipts:
        found = connection.execute(select(receipt).where(receipt.c.digest == digest)).first()
        if found is not None:
            yield ReceiptLine(
                receipt=digest_text(digest), house=found.house, received_at=found.received_at_utc, jws=found.jws, raw=bytes(found.raw)
            )


def note(connection: Connection, block: Block) -> None:
    """Note which events of a block are found in the archive from now on; not those that were learned, of which we never had the bytes."""
    going = select(*(outbox.c[name] for name in _INDEXED)).where(*rows_of(block), outbox.c.learned == 0)
    connection.execute(insert(archived_event).from_select(_INDEXED, going))


def _rows(block: Block, excerpt: Excerpt) -> Iterator[KeptRow]:
    for line in excerpt.kept:
        if isinstance(line, SentEvent):
            yield _row(block, line, excerpt)


def _row(block: Block, line: SentEvent, excerpt: Excerpt) -> KeptRow:
    answer = None if line.receipt is None else excerpt.named(line.receipt, ReceiptLine)
    return KeptRow(
        event_id=line.id,
        destination=block.destination,
        type=block.type,
        epoch=block.epoch,
        sequence=line.sequence,
        reference=line.reference,
        version=line.version or 0,
        raw=excerpt.bytes_of(line),
        withdrawal=line.withdrawal,
        received_at_utc=None if answer is None else answer.received_at,
        receipt_jws=None if answer is None else answer.jws,
        receipt_raw=None if answer is None else answer.raw,
    )
