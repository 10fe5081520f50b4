"""Accepting: drafts become numbered events with their exact bytes. Called within the transaction that the store has begun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, insert, select

from broker.bundle.sealed import seal
from broker.clocks import refuse_backwards
from broker.outbox.lives import refuse_unfit
from broker.outbox.numbering import Numbers
from broker.outbox.reading import newest
from broker.outbox.room import UNBOUNDED, Room, refuse_without_room
from broker.outbox.tables import outbox
from broker.outbox.values import Acceptance, Draft, Life
from broker.trust.sealing import Recipient
from schemas.content import content_digest, problems_of
from schemas.errors import ConflictError, ContentError, Problem
from schemas.event import Event, digest_of, event_bytes, new_id, new_salt, schema_of, utc_text
from schemas.limits import EVENT_BYTES
from schemas.sealed import SEALED_SCHEMA

_LOOK_UP = 1_000  # references looked up in one statement

_Version = tuple[str, str, str, int]  # destination, type, reference, version


@dataclass(slots=True)
class _Kept:
    """An event that is kept under a version, with the digest of its content.

    Of one that was learned from the house it is that of the released content, empty where the house could not tell.
    """

    event_id: str
    epoch: str
    sequence: int
    content_digest: bytes
    withdrawn: bool = False
    learned: bool = False

    def is_of(self, draft: Draft) -> bool:
        """Whether the draft says the same."""
        return self.content_digest == (content_digest(draft.data) if self.learned else draft.content_digest)


def accept(
    connection: Connection, life: Life, drafts: Sequence[Draft], now: datetime, recipients: Mapping[str, Recipient], room: Room = UNBOUNDED
) -> tuple[list[Acceptance], list[dict[str, Any]]]:
    """Number and keep these drafts; one that is kept already gives its first acceptance again. Data for `recipients` is encrypted.
    Gives the rows that are new, too.

    ConflictError `version-conflict` where another content is kept under the version, or `version-withdrawn` where the version was
    withdrawn; ContentError where a draft makes no event: their problems' `field` is `drafts.<index>`. UnavailableError `clock-behind`,
    `outbox-disk-low`, `outbox-unsettled`, `outbox-restored`, `outbox-recovering`. Nothing is kept then.
    """
    refuse_unfit(life)
    kept = _look_up(connection, drafts)
    at_utc = _instant(connection, life, now)
    numbers = Numbers(connection, life.epoch)
    rows: list[dict[str, Any]] = []
    acceptances: list[Acceptance] = []
    conflicts: list[Problem] = []
    for index, draft in enumerate(drafts):
        version: _Version = (draft.destination.urn, draft.type, draft.reference, draft.version)
        named = kept.setdefault(version, [])
        known = next((one for one in named if one.is_of(draft)), None)
        duplicate = known is not None
        withdrawn = any(one.withdrawn for one in named)
        if withdrawn or (known is None and any(one.content_digest for one in named)):
            conflicts.append(_conflict(index, draft, withdrawn=withdrawn))
            continue
        if known is None:
            number = numbers.next(version[0], draft.type)
            row = _row_of(draft, index, life, number, at_utc, recipients.get(version[0]))
            rows.append(row)
            known = _Kept(row["event_id"], life.epoch, row["sequence"], draft.content_digest)
            named.append(known)
        acceptances.append(
            Acceptance(
                known.event_id, draft.destination, draft.type, known.epoch, known.sequence, draft.reference, draft.version, duplicate
            )
        )
    if conflicts:
        raise ConflictError.of(conflicts)
    if rows:
        refuse_without_room(connection, room, len(rows), sum(row["bytes"] for row in rows))
        connection.execute(insert(outbox), rows)
        numbers.keep()
    return acceptances, rows


def _look_up(connection: Connection, drafts: Sequence[Draft]) -> dict[_Version, list[_Kept]]:
    references = sorted({draft.reference for draft in drafts})
    columns = (
        outbox.c.destination,
        outbox.c.type,
        outbox.c.reference,
        outbox.c.version,
        outbox.c.event_id,
        outbox.c.epoch,
        outbox.c.sequence,
        outbox.c.content_digest,
        outbox.c.withdrawal.is_not(None).label("withdrawn"),
        outbox.c.learned,
    )
    kept: dict[_Version, list[_Kept]] = {}
    for start in range(0, len(references), _LOOK_UP):
        query = select(*columns).where(outbox.c.reference.in_(references[start : start + _LOOK_UP]))
        for row in connection.execute(query):
            one = _Kept(row.event_id, row.epoch, row.sequence, row.content_digest, bool(row.withdrawn), row.learned > 0)
            kept.setdefault((row.destination, row.type, row.reference, row.version), []).append(one)
    return kept


def _instant(connection: Connection, life: Life, now: datetime) -> datetime:
    """The instant of acceptance: now, and never before the last row's of this life. `clock_behind` where that is more than a step."""
    last = newest(connection, life.epoch)
    if last is None or now >= last:
        return now
    refuse_backwards(now, last)
    return last  # the clock is being disciplined: events bear the last one's instant


def _conflict(index: int, draft: Draft, *, withdrawn: bool) -> Problem:
    field, value = f"drafts.{index}", f"{draft.reference} version {draft.version}"[:100]
    if withdrawn:
        text = f"this version was withdrawn from {draft.destination.unit}: what is to go after all is the next version"
        return Problem(code="version-withdrawn", text=text, field=field, value=value)
    text = "another content was accepted under this version: a correction is a new version"
    return Problem(code="version-conflict", text=text, field=field, value=value)


def _row_of(draft: Draft, index: int, life: Life, sequence: int, at_utc: datetime, recipient: Recipient | None) -> dict[str, Any]:
    attributes = _attributes(draft, life, sequence, at_utc)
    reply_key = None
    if recipient is not None:
        data, reply_key = seal(dict(draft.data), attributes["salt"], recipient)
        attributes |= {"subject": attributes["id"], "dataschema": SEALED_SCHEMA, "data": data}
    raw = _bytes_of(attributes, index)
    return {
        "event_id": attributes["id"],
        "destination": draft.destination.urn,
        "type": str(draft.type),
        "epoch": life.epoch,
        "sequence": sequence,
        "reference": draft.reference,
        "version": draft.version,
        "content_digest": draft.content_digest,
        "digest": digest_of(raw),
        "bytes": len(raw),
        "accepted_at_utc": at_utc,
        "reply_key": reply_key,
        "raw": raw,
    }


def _attributes(draft: Draft, life: Life, sequence: int, at_utc: datetime) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": new_id(),
        "source": life.source,
        "type": str(draft.type),
        "subject": draft.reference,
        "time": utc_text(at_utc),
        "datacontenttype": "application/json",
        "dataschema": schema_of(draft.type),
        "destination": draft.destination.urn,
        "environment": life.environment,
        "sequence": sequence,
        "epoch": life.epoch,
        "purpose": draft.purpose,
        "legalbasis": draft.legal_basis,
        "salt": new_salt(),
        "data": draft.data,
    }


def _bytes_of(attributes: dict[str, Any], index: int) -> bytes:
    try:
        Event.model_validate(attributes)  # what the receiver would refuse to read never gets a number
    except ValidationError as error:
        raise ContentError.of(problems_of(error, prefix=f"drafts.{index}.")) from None
    raw = event_bytes(attributes)
    if len(raw) > EVENT_BYTES:
        raise ContentError("event-too-large", f"an event has at most {EVENT_BYTES} bytes", field=f"drafts.{index}", value=len(raw))
    return raw
