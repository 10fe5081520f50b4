"""All that is known of one held event or one parked row, as a document: why, what it claims, whether it would be believed today, and what
was done about it. Its bytes are apart: they are given exactly, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from broker.audit import Entry, entries
from broker.bundle.open import OpenBundle, open_message
from broker.trust.anchors import TrustStore
from broker.trust.signing import Signatory, b64url, stated_digests, verify
from consumers.control import expectations
from consumers.parked import message_of
from consumers.review.desk import Desk
from consumers.review.doors import lane_gone
from consumers.review.items import of_item
from consumers.review.rehearsal import incomplete
from consumers.tables import audit, evidence, held, inbox, parked, parked_event
from schemas.errors import DistrustError, Problem, cleaned
from schemas.fates import Fate
from schemas.names import Party
from schemas.strict_json import parse

_CLAIMS = (
    "id", "source", "type", "subject", "time", "destination", "environment", "sequence", "epoch", "purpose", "legalbasis", "dataschema",
)  # fmt: skip


def held_document(desk: Desk, connection: Connection, event_id: str) -> dict[str, Any]:
    """One event that is held or was."""
    kept = connection.execute(select(inbox).where(inbox.c.event_id == event_id)).one()
    why = connection.execute(select(held).where(held.c.event_id == event_id)).one()
    jws = connection.execute(select(evidence.c.jws).where(evidence.c.bundle_digest == kept.bundle_digest)).scalar()
    return {
        "event_id": event_id,
        "reference": kept.reference,
        "version": kept.version,
        "fate": kept.fate,
        "problems": kept.problems or [],
        "why_held": {
            "queue": why.queue,
            "code": why.code,
            "problem": cleaned(why.problem),
            "exception": why.exception,
            "traceback": why.traceback,
            "first_held_at_utc": why.first_held_at_utc,
            "attempts": why.attempts,
            "next_attempt_at_utc": why.next_attempt_at_utc,
            "released_by_order": why.released_by_order,
        },
        "receipt": receipt_state(Fate(kept.fate), why.finished_at_utc, why.next_attempt_at_utc),
        "claims": _claims(bytes(kept.raw)),
        "digest": b64url(bytes(kept.digest)),
        "bytes": len(kept.raw),
        "received_at_utc": kept.received_at_utc,
        "came_again": kept.duplicates,
        "signature_now": verdict_of_event(bytes(kept.digest), jws, kept.source, desk.trust, desk.now()),
        "jws": jws,
        **_decisions(connection, event_id),
    }


def parked_document(desk: Desk, connection: Connection, digest_hex: str) -> dict[str, Any]:
    """One parked row, open or closed."""
    row = connection.execute(select(parked).where(parked.c.digest == bytes.fromhex(digest_hex))).one()
    claimed = select(parked_event.c.event_id, inbox.c.fate).outerjoin(inbox, inbox.c.event_id == parked_event.c.event_id)
    ids = connection.execute(claimed.where(parked_event.c.digest == row.digest).order_by(parked_event.c.event_id))
    return {
        "digest": digest_hex,
        "lane": row.lane,
        "queue": row.queue,
        "why_parked": {"code": row.code, "problem": cleaned(row.text)},
        "claimed_source": row.claimed_source,
        "claimed_events": [{"event_id": event_id, "fate": fate or "unknown"} for event_id, fate in ids],
        "times": row.times,
        "first_seen_utc": row.first_seen_utc,
        "last_seen_utc": row.last_seen_utc,
        "closed_at_utc": row.closed_at_utc,
        "closed_by_order": row.closed_by_order,
        "bytes": row.bytes,
        "bytes_kept": None if row.body is None else len(row.body),
        "opening_now": _opening_now(desk, row),
        "headers": {cleaned(name): cleaned(value) if isinstance(value, str) else value for name, value in (row.headers or {}).items()},
        **_decisions(connection, digest_hex),
    }


def bytes_of_held(connection: Connection, event_id: str) -> bytes:
    """The signed bytes of a held event."""
    return bytes(connection.execute(select(inbox.c.raw).where(inbox.c.event_id == event_id)).scalar_one())


def bytes_of_parked(connection: Connection, digest_hex: str) -> bytes | None:
    """A parked body as it came; None where it was too large to keep."""
    body = connection.execute(select(parked.c.body).where(parked.c.digest == bytes.fromhex(digest_hex))).scalar_one()
    return None if body is None else bytes(body)


def receipt_state(fate: Fate, finished_at_utc: datetime | None, next_at_utc: datetime | None) -> str:
    """What the sender knows, in words."""
    if not fate.final:
        return "HELD was told; the final receipt comes when it is decided"
    if finished_at_utc is not None:
        return f"{fate} was told for good: our broker confirmed the receipt at {finished_at_utc:%Y-%m-%d %H:%M:%S} UTC"
    when = "at the house's next look" if next_at_utc is None else f"from {next_at_utc:%Y-%m-%d %H:%M:%S} UTC on"
    return f"{fate} is to be told {when}, while the house runs"


def verdict_of_event(digest: bytes, jws: str | None, source: str, trust: TrustStore, now_utc: datetime) -> dict[str, Any]:
    """Whether the signature that is kept for an event would be believed today."""
    if jws is None:
        return _bad(Problem(code="jws-form", text="the signature of its bundle is not kept"))
    try:
        signatory = _signatory(digest, jws, source, trust, now_utc)
    except DistrustError as error:
        return _bad(error.problems[0])
    return {
        "good": True,
        "signatory": signatory.urn,
        "certificate": signatory.fingerprint,
        "signed_at_utc": signatory.signed_at_utc,
        "certificate_ends_at_utc": signatory.not_after_utc,
    }


def _signatory(digest: bytes, jws: str, source: str, trust: TrustStore, now_utc: datetime) -> Signatory:
    stated = stated_digests(jws)
    if digest not in stated:
        raise DistrustError("jws-digests", "the event's digest is not among those signed", field="sigD.hashV")
    signatory = verify(jws, stated, trust, now_utc, Party.of_urn(source).country)
    if signatory.urn != source:
        raise DistrustError("bundle-source-foreign", "a unit speaks for itself only", field="source", value=signatory.urn)
    return signatory


def problem_of_message(desk: Desk, connection: Connection, digest_hex: str) -> Problem | None:
    """Why a parked message cannot be opened with the trust of today; None where it can."""
    row = connection.execute(select(parked).where(parked.c.digest == bytes.fromhex(digest_hex))).first()
    opened = incomplete() if row is None else _opened(desk, row)
    return opened if isinstance(opened, Problem) else None


def _opened(desk: Desk, row: Any) -> OpenBundle | Problem:
    message = message_of(bytes(row.digest), row.headers, row.body)
    if message is None:
        return incomplete()
    settings = desk.settings
    expected = expectations(settings.country, settings.lanes, settings.environment).get(row.lane)
    if expected is None:
        return lane_gone(row.lane)
    try:
        return open_message(message, desk.trust, expected, desk.now())
    except DistrustError as error:
        return error.problems[0]


def _opening_now(desk: Desk, row: Any) -> dict[str, Any]:
    opened = _opened(desk, row)
    if isinstance(opened, Problem):
        return _bad(opened)
    return {"good": True, "signatory": opened.signatory.urn, "type": opened.route.type, "events": len(opened.events)}


def _bad(problem: Problem) -> dict[str, Any]:
    return {"good": False, "code": problem.code, "problem": str(problem)}


def _claims(raw: bytes) -> dict[str, Any]:
    """The event's attributes; its data stay where the bytes are."""
    event: Mapping[str, Any] = parse(raw)
    found = {name: event[name] for name in _CLAIMS if name in event}
    return {name: cleaned(value) if isinstance(value, str) else value for name, value in found.items()}


def _decisions(connection: Connection, key: str) -> dict[str, Any]:
    found = of_item(connection, key)
    orders = [
        {
            "number": order.number,
            "action": order.action,
            "state": order.state,
            "reason": cleaned(order.reason),
            "ordered_by": order.ordered_by,
            "ordered_at_utc": order.ordered_at_utc,
            "approved_by": order.approved_by,
            "outcome": item.outcome,
            "outcome_code": item.outcome_code,
        }
        for order, item in found
    ]
    trail: list[Entry] = []
    for subject in (*(f"order {order.number}" for order, _ in found), key):
        trail.extend(entries(connection, audit, subject=subject))
    return {"orders": orders, "history": _history(trail)}


def _history(trail: Sequence[Entry]) -> list[dict[str, Any]]:
    ordered = sorted(trail, key=lambda entry: entry.sequence)
    return [
        {"sequence": entry.sequence, "at_utc": entry.at_utc, "actor": entry.actor, "action": entry.action, "reason": cleaned(entry.reason)}
        | {"detail": cleaned(entry.detail)}
        for entry in ordered
    ]
