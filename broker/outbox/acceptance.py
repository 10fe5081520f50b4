"""Accepting: drafts become numbered events with their exact bytes. Called within the transaction that the store has begun."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, insert

from broker.bundle.sealed import seal
from broker.clocks import refuse_backwards
from broker.outbox.lives import refuse_unfit
from broker.outbox.numbering import Numbers
from broker.outbox.reading import newest
from broker.outbox.room import UNBOUNDED, Room, refuse_without_room
from broker.outbox.tables import outbox
from broker.outbox.values import Acceptance, Draft, Life, UnnumberedDraft
from broker.outbox.versioning import Kept, KeptVersions, Version, archived_of, look_up, numbered
from broker.trust.sealing import Recipient
from schemas.content import problems_of
from schemas.errors import ConflictError, ContentError, Problem
from schemas.event import Event, digest_of, event_bytes, new_id, new_salt, schema_of, utc_text
from schemas.limits import EVENT_BYTES
from schemas.sealed import SEALED_SCHEMA


def accept(
    connection: Connection,
    life: Life,
    drafts: Sequence[Draft | UnnumberedDraft],
    now: datetime,
    recipients: Mapping[str, Recipient],
    room: Room = UNBOUNDED,
) -> tuple[list[Acceptance], list[dict[str, Any]]]:
    """Number and keep these drafts; one that is kept already gives its first acceptance again. Data for `recipients` is encrypted.
    Gives the rows that are new, too. One without a version gets its number here, after those before it.

    ConflictError `version-conflict` where another content is kept under the version, `version-withdrawn` where the version was
    withdrawn, or as `versioning.numbered`; ContentError where a draft makes no event: their problems' `field` is `drafts.<index>`.
    UnavailableError `clock-behind`, `outbox-disk-low`, `outbox-unsettled`, `outbox-restored`, `outbox-recovering`. Nothing is kept then.
    """
    refuse_unfit(life)
    references = sorted({draft.reference for draft in drafts})
    kept = look_up(connection, references)
    unnumbered = sorted({draft.reference for draft in drafts if isinstance(draft, UnnumberedDraft)})
    archived = archived_of(connection, unnumbered)
    at_utc = _instant(connection, life, now)
    numbers = Numbers(connection, life.epoch)
    rows: list[dict[str, Any]] = []
    acceptances: list[Acceptance] = []
    conflicts: list[Problem] = []
    for index, handed_in in enumerate(drafts):
        versions = kept.setdefault(handed_in.reference, {})
        draft = _numbered(handed_in, index, versions, archived, conflicts)
        if draft is None:
            continue
        version: Version = (draft.destination.urn, draft.type, draft.version)
        named = versions.setdefault(version, [])
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
            known = Kept(row["event_id"], life.epoch, row["sequence"], draft.content_digest)
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


def _numbered(
    draft: Draft | UnnumberedDraft, index: int, kept: KeptVersions, archived: Collection[str], conflicts: list[Problem]
) -> Draft | None:
    """Give a draft its version where it has none; where there is none for it, say why among the conflicts."""
    if isinstance(draft, Draft):
        return draft
    try:
        return numbered(draft, kept, archived=draft.reference in archived)
    except (ConflictError, ContentError) as error:
        conflicts += [problem.model_copy(update={"field": f"drafts.{index}.{problem.field}"}) for problem in error.problems]
        return None


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
