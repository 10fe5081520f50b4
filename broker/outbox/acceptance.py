"""Accepting: drafts become numbered events with their exact bytes. Called within the transaction that the store has begun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, insert, select, update

from broker.bundle.sealed import seal
from broker.outbox.tables import outbox, stream
from broker.outbox.values import Acceptance, Draft, Life
from broker.trust.sealing import Recipient
from schemas.content import problems_of
from schemas.errors import ConflictError, ContentError, Problem, UnavailableError
from schemas.event import Event, digest_of, event_bytes, new_id, new_salt, schema_of, utc_text
from schemas.limits import EVENT_BYTES
from schemas.sealed import SEALED_SCHEMA

# A clock that is set back by less is a clock being disciplined (NTP steps are smaller); events then bear the last one's instant.
CLOCK_STEP = timedelta(seconds=1)
_LOOK_UP = 1_000  # references looked up in one statement

_Version = tuple[str, str, str, int]  # destination, type, reference, version


@dataclass(slots=True)
class _Kept:
    """An event that is kept under a version, with the content that it came from."""

    event_id: str
    epoch: str
    sequence: int
    content_digest: bytes
    withdrawn: bool = False


def accept(
    connection: Connection, life: Life, drafts: Sequence[Draft], now: datetime, recipients: Mapping[str, Recipient]
) -> list[Acceptance]:
    """Number and keep these drafts; one that is kept already gives its first acceptance again. Data for `recipients` is encrypted.

    ConflictError `version-conflict` where another content is kept under the version, or `version-withdrawn` where the version was
    withdrawn; ContentError where a draft makes no event: their problems' `field` is `drafts.<index>`. UnavailableError `clock-behind`.
    Nothing is kept then.
    """
    kept = _look_up(connection, drafts)
    at_utc = _instant(connection, now)
    numbers = _Numbers(connection, life.epoch)
    rows: list[dict[str, Any]] = []
    acceptances: list[Acceptance] = []
    conflicts: list[Problem] = []
    for index, draft in enumerate(drafts):
        version: _Version = (draft.destination.urn, draft.type, draft.reference, draft.version)
        known = kept.get(version)
        duplicate = known is not None
        if known is None:
            number = numbers.next(version[0], draft.type)
            row = _row_of(draft, index, life, number, at_utc, recipients.get(version[0]))
            rows.append(row)
            known = kept[version] = _Kept(row["event_id"], life.epoch, row["sequence"], draft.content_digest)
        elif known.withdrawn or known.content_digest != draft.content_digest:
            conflicts.append(_conflict(index, draft, withdrawn=known.withdrawn))
        acceptances.append(
            Acceptance(
                known.event_id, draft.destination, draft.type, known.epoch, known.sequence, draft.reference, draft.version, duplicate
            )
        )
    if conflicts:
        raise ConflictError.of(conflicts)
    if rows:
        connection.execute(insert(outbox), rows)
        numbers.keep()
    return acceptances


class _Numbers:
    """The streams of one epoch, and the last number given in each."""

    def __init__(self, connection: Connection, epoch: str) -> None:
        self._connection = connection
        self._epoch = epoch
        query = select(stream.c.destination, stream.c.type, stream.c.last_sequence).where(stream.c.epoch == epoch)
        self._before: dict[tuple[str, str], int] = {(row.destination, row.type): row.last_sequence for row in connection.execute(query)}
        self._last = dict(self._before)

    def next(self, destination: str, event_type: str) -> int:
        """The next number of a stream."""
        key = (destination, event_type)
        number = self._last.get(key, 0) + 1
        self._last[key] = number
        return number

    def keep(self) -> None:
        """Write the last numbers down."""
        for (destination, event_type), last in self._last.items():
            before = self._before.get((destination, event_type))
            name = {"destination": destination, "type": event_type, "epoch": self._epoch}
            if before is None:
                self._connection.execute(insert(stream), {**name, "last_sequence": last})
            elif before != last:
                here = (stream.c.destination == destination) & (stream.c.type == event_type) & (stream.c.epoch == self._epoch)
                self._connection.execute(update(stream).where(here).values(last_sequence=last))


def _look_up(connection: Connection, drafts: Sequence[Draft]) -> dict[_Version, _Kept]:
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
    )
    kept: dict[_Version, _Kept] = {}
    for start in range(0, len(references), _LOOK_UP):
        query = select(*columns).where(outbox.c.reference.in_(references[start : start + _LOOK_UP]))
        for row in connection.execute(query):
            kept[(row.destination, row.type, row.reference, row.version)] = _kept(row)
    return kept


def _kept(row: Any) -> _Kept:
    return _Kept(row.event_id, row.epoch, row.sequence, row.content_digest, bool(row.withdrawn))


def _instant(connection: Connection, now: datetime) -> datetime:
    """The instant of acceptance: now, and never before the last row's."""
    last: datetime | None = connection.execute(select(outbox.c.accepted_at_utc).order_by(outbox.c.position.desc()).limit(1)).scalar()
    if last is None or now >= last:
        return now
    if last - now > CLOCK_STEP:
        raise UnavailableError(
            "clock-behind",
            f"the clock stands at {utc_text(now)}, before the last accepted event ({utc_text(last)}): set the clock, then it goes on",
        )
    return last


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
