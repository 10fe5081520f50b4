"""What of the inbox is in the archive: the lines of a block as they are written, the index of its events, and how they are read again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, or_, select

from broker.archive import Block
from broker.archive_reading import Excerpt, read_blocks
from broker.trust.signing import unb64url
from consumers.closing_tables import archived_event
from consumers.loaders.record.tables import declaration
from consumers.tables import crl, evidence, inbox, withdrawal
from schemas.archive import BlockPart, CrlLine, SignatureLine, TakenEvent, WithdrawalLine
from schemas.closing import digest_text
from schemas.names import Party, is_event_id

_INDEXED = ("event_id", "reference", "source", "type", "epoch", "sequence")


def read_archived(connection: Connection, house: Party, number: str, directory: Path | None) -> Iterator[tuple[Block, Excerpt]]:
    """What the archive holds of a declaration, by its reference, its registration number alone or an event's id.

    Errors of `read_blocks` where a file is missing or altered.
    """
    blocks = defaultdict[Block, list[str]](list)
    for row in connection.execute(_indexed(number)):
        blocks[Block.holding(row.source, house.urn, row.type, row.epoch, row.sequence)].append(row.event_id)
    return read_blocks(directory, house, blocks)


def _indexed(number: str) -> Any:
    query = select(archived_event)
    if is_event_id(number):
        return query.where(archived_event.c.event_id == number)
    by_number = select(declaration.c.reference).where(declaration.c.registration_number == number)
    refused = archived_event.c.reference.endswith(f"/{number}", autoescape=True)
    alone = (archived_event.c.reference.in_(by_number), refused) if "/" not in number else ()
    found = query.where(or_(archived_event.c.reference == number, *alone))
    return found.order_by(archived_event.c.source, archived_event.c.epoch, archived_event.c.sequence)


def rows_of(block: Block) -> tuple[Any, ...]:
    """The conditions by which a block's rows are found: through the index of places."""
    return (
        inbox.c.epoch == block.epoch,
        inbox.c.sequence.between(block.first, block.last),
        inbox.c.source == block.source,
        inbox.c.type == block.type,
        inbox.c.destination == block.destination,
    )


def lines(connection: Connection, block: Block) -> Iterator[BlockPart]:
    """The lines of a block: events with their exact bytes, tombstones, the signatures that all of them came under, and their CRLs."""
    bundles: dict[bytes, None] = {}
    for row in connection.execute(select(inbox).where(*rows_of(block)).order_by(inbox.c.sequence)):
        bundles[bytes(row.bundle_digest)] = None
        yield _event(row)
    for row in connection.execute(select(withdrawal).join(inbox, inbox.c.event_id == withdrawal.c.event_id).where(*rows_of(block))):
        bundles[bytes(row.bundle_digest)] = None
        yield WithdrawalLine(
            withdrawal=row.event_id,
            reason=row.reason,
            filled_place=row.filled_place,
            raw=bytes(row.raw),
            bundle=digest_text(bytes(row.bundle_digest)),
        )
    crls: dict[str, None] = {}
    for digest in bundles:
        found = connection.execute(select(evidence).where(evidence.c.bundle_digest == digest)).first()
        if found is not None:
            crls.update(dict.fromkeys(found.crls or ()))
            yield _signature(found)
    for text in crls:
        kept = connection.execute(select(crl).where(crl.c.digest == unb64url(text))).first()
        if kept is not None:
            yield CrlLine(crl=text, country=kept.country, der=bytes(kept.der))


def note(connection: Connection, block: Block) -> None:
    """Note which events of a block are found in the archive from now on."""
    going = select(*(inbox.c[name] for name in _INDEXED)).where(*rows_of(block))
    connection.execute(insert(archived_event).from_select(_INDEXED, going))


def _event(row: Any) -> TakenEvent:
    return TakenEvent(
        event=bytes(row.raw).decode(),
        sequence=row.sequence,
        id=row.event_id,
        digest=digest_text(bytes(row.digest)),
        reference=row.reference,
        version=row.version,
        received_at=row.received_at_utc,
        decided_at=row.decided_at_utc,
        fate=row.fate,
        problems=row.problems,
        bundle=digest_text(bytes(row.bundle_digest)),
        reply_key=None if row.reply_key is None else digest_text(bytes(row.reply_key)),
    )


def _signature(row: Any) -> SignatureLine:
    return SignatureLine(
        bundle=digest_text(bytes(row.bundle_digest)),
        signatory=row.signatory,
        received_at=row.received_at_utc,
        crls=tuple(row.crls or ()),
        jws=row.jws,
    )
