"""What the outboxes of this administration's posts keep of a declaration, for evidence: the post's own word, and the houses' receipts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from broker.archive_reading import agreed_lines
from broker.audit import Act
from broker.evidence.export import Holding, KeptClosing, KeptEvent, KeptStatement
from broker.operations.contributions import database_exists
from broker.outbox.closing_values import StreamName
from broker.outbox.store import Outbox
from broker.outbox.values import KeptRow
from broker.settings.model import Settings
from schemas import strict_json
from schemas.closing import Line, block_with
from schemas.content import validate
from schemas.control import Manifest, ManifestBlock
from schemas.names import EventType, Party

Lines = Callable[[ManifestBlock], Sequence[Line]]


def holdings(settings: Settings, number: str) -> Iterator[Holding]:
    """What each post whose outbox is here keeps of a declaration, by its reference or its registration number alone."""
    for name, post in sorted(settings.posts.items()):
        if not database_exists(post.outbox):
            continue
        party = settings.post_party(name)
        outbox = Outbox.open(post.outbox, party, settings.environment)
        try:
            events = tuple(_events(party, outbox, number, settings.retention.archive))
        finally:
            outbox.close()
        yield Holding(party, post, events, partial(_note, post.outbox, party, settings.environment))


def _events(party: Party, outbox: Outbox, number: str, archive: Path | None) -> Iterator[KeptEvent]:
    """What is in the archive, then what is not; asked the other way round, for a block may be pruned in between."""
    kept = outbox.kept(number)
    archived = [each for each in outbox.archive.kept(number, archive) if each.row.event_id not in {row.event_id for row in kept}]
    for each in archived:
        yield _event(party, each.row, outbox, partial(agreed_lines, each.excerpt))
    for row in kept:
        yield _event(party, row, outbox, partial(_lines, outbox, row))


def _event(party: Party, row: KeptRow, outbox: Outbox, lines: Lines) -> KeptEvent:
    receipt = None
    if row.receipt_raw is not None:
        receipt = KeptStatement(row.receipt_raw, row.receipt_jws, row.received_at_utc)
    return KeptEvent(
        event_id=row.event_id,
        reference=row.reference,
        version=row.version,
        type=row.type,
        source=party.urn,
        destination=row.destination,
        event=KeptStatement(row.raw),
        withdrawal=None if row.withdrawal is None else KeptStatement(row.withdrawal),
        receipt=receipt,
        closing=_closing(outbox, row, lines),
    )


def _closing(outbox: Outbox, row: KeptRow, lines: Lines) -> KeptClosing | None:
    """The closing that covers the event: our manifest as we signed it then, and the house's answer as it came."""
    found = outbox.closings.covering(row.destination, StreamName(row.type, row.epoch), row.sequence)
    if found is None:
        return None
    manifest = bytes(found.manifest)
    stated: Manifest = validate(EventType.MANIFEST, strict_json.parse(manifest)["data"])
    block = block_with(stated, row.type, row.epoch, row.sequence)
    stands = lines(block) if block else ()
    if not stands:
        return None
    answer = KeptStatement(bytes(found.answer), found.answer_jws, found.answered_at_utc)
    return KeptClosing(KeptStatement(manifest, found.manifest_jws), answer, stands)


def _lines(outbox: Outbox, row: KeptRow, block: ManifestBlock) -> Sequence[Line]:
    return outbox.closings.block(row.destination, StreamName(row.type, row.epoch), block.first, block.last)


def _note(url: str, party: Party, environment: str, act: Act) -> None:
    outbox = Outbox.open(url, party, environment)
    try:
        outbox.note(act)
    finally:
        outbox.close()
