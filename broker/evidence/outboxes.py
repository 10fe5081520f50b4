"""What the outboxes of this administration's posts keep of a declaration, for evidence: the post's own word, and the houses' receipts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from broker.audit import Act
from broker.evidence.export import Holding, KeptEvent, KeptStatement
from broker.operations.contributions import database_exists
from broker.outbox.store import Outbox
from broker.outbox.values import KeptRow
from broker.settings.model import Settings
from schemas.names import Party


def holdings(settings: Settings, number: str) -> Iterator[Holding]:
    """What each post whose outbox is here keeps of a declaration, by its reference or its registration number alone."""
    for name, post in sorted(settings.posts.items()):
        if not database_exists(post.outbox):
            continue
        party = settings.post_party(name)
        outbox = Outbox.open(post.outbox, party, settings.environment)
        try:
            events = tuple(_event(party, row) for row in outbox.kept(number))
        finally:
            outbox.close()
        yield Holding(party, post, events, partial(_note, post.outbox, party, settings.environment))


def _event(party: Party, row: KeptRow) -> KeptEvent:
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
    )


def _note(url: str, party: Party, environment: str, act: Act) -> None:
    outbox = Outbox.open(url, party, environment)
    try:
        outbox.note(act)
    finally:
        outbox.close()
