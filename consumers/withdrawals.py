"""Withdrawals: a post's signed tombstone for one of its own events. Unless the event was loaded before, its place is closed: REFUSED.

What the tombstone meets is decided by `decide`, pure; `take_withdrawal` does it within a transaction. The event itself may come at the same
moment, in another process: the inbox's unique keys let one of the two in, and the other is done again and finds it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import structlog
from sqlalchemy import Connection, Engine

from broker.bundle.open import OpenBundle, OpenEvent
from broker.trust.signing import unb64url
from consumers import held, inbox, parked, streams
from consumers.answers import Answered
from consumers.clock import Clock
from consumers.database import insert_missing, is_away, is_repeated_key
from consumers.decisions import is_pruned
from consumers.evidence import EvidenceRow, write_evidence
from consumers.inbox import InboxRow, Known, Place
from consumers.patience import patiently
from consumers.pipeline import SAME_KEY_ATTEMPTS
from consumers.streams import watermarks
from consumers.tables import withdrawal
from schemas.content import validate
from schemas.control import Withdrawal
from schemas.errors import ConflictError, ContentError, PanjError, Problem
from schemas.fates import Fate

log = structlog.get_logger()


class Meeting(Enum):
    """What a tombstone finds at its event's place."""

    NOTHING = "the event has not come: the tombstone takes its place"
    HELD = "the event is held: it is refused"
    FINAL = "the event has its final fate, which stands"


def decide(said: Withdrawal, digest: bytes, place: Place, known: Sequence[Known]) -> Meeting:
    """Tell what a tombstone meets; ConflictError where its id or place is another event's (`event-conflict`, `sequence-conflict`)."""
    for row in known:
        if row.event_id == said.id:
            if (row.digest, row.place) != (digest, place):
                raise ConflictError("event-conflict", "the withdrawn id is known with other bytes or elsewhere", field="id", value=said.id)
            return Meeting.FINAL if row.fate.final else Meeting.HELD
    for row in known:
        if row.place == place:
            text = f"the withdrawn place of the stream is taken by event {row.event_id}"
            raise ConflictError("sequence-conflict", text, field="sequence", value=said.sequence)
    return Meeting.NOTHING


@dataclass(frozen=True, slots=True)
class Taken:
    """What a bundle of tombstones brought: answers to send, and tombstones that contradict what is kept, to be parked."""

    answers: list[Answered]
    unfit: list[tuple[OpenEvent, Problem]]


def take_withdrawals(bundle: OpenBundle, evidence: EvidenceRow, engine: Engine, stop: threading.Event, clock: Clock) -> Taken:
    """Take tombstones in, a transaction each, waiting for the database as long as it takes; UnavailableError once `stop` is set."""
    taken = Taken([], [])
    for opened in bundle.events:
        try:
            said = validate(opened.event.type, opened.event.data)
            taken.answers.append(_take_one(opened, said, evidence, engine, stop, clock))
        except (ContentError, ConflictError) as error:
            taken.unfit.append((opened, error.problems[0]))
    return taken


def _take_one(opened: OpenEvent, said: Withdrawal, evidence: EvidenceRow, engine: Engine, stop: threading.Event, clock: Clock) -> Answered:
    def transact() -> Answered:
        with engine.begin() as connection:
            return take_withdrawal(connection, opened, said, evidence, clock())

    for _ in range(SAME_KEY_ATTEMPTS):
        try:
            return patiently(transact, engine, stop)
        except Exception as error:  # what breaks the transaction is this tombstone's trouble: it is parked, and the daemon outlives it
            if isinstance(error, PanjError) or is_away(error):
                raise
            if not is_repeated_key(error):  # else the event itself, or the same tombstone, was faster in another process: it is there now
                log.exception("withdrawal.surprised", event_id=said.id)
                break
    raise ConflictError("inbox-surprise", "the withdrawal could not be taken in; the log says why", value=said.id)


def take_withdrawal(connection: Connection, opened: OpenEvent, said: Withdrawal, evidence: EvidenceRow, now_utc: datetime) -> Answered:
    """Do what a tombstone asks, as far as it still can be, and give the answer for the event that it names.

    ConflictError as `decide`; ContentError where the digest is none. Called again with the same, it changes nothing and answers the same.
    """
    digest = unb64url(said.digest)
    if digest is None:
        raise ContentError("field-invalid", "not canonical base64url", field="digest", value=said.digest)
    source = opened.event.source
    place = (source, opened.event.destination, said.type.value, said.epoch, said.sequence)
    met = decide(said, digest, place, inbox.look_up(connection, [said.id], [place]))
    if met is Meeting.NOTHING and is_pruned(place, watermarks(connection, [said.epoch])):
        text = "the event was finished, agreed and archived long ago: there is nothing to withdraw"
        raise ConflictError("event-pruned", text, field="sequence", value=said.sequence)
    problem = Problem(code="withdrawn", text=f"withdrawn by its sender: {said.reason}")
    if met is Meeting.NOTHING:
        row = InboxRow(
            event_id=said.id,
            place=place,
            reference=said.reference,
            version=said.version,
            digest=digest,
            fate=Fate.REFUSED,
            problems=(problem,),
            received_at_utc=now_utc,
            bundle_digest=evidence.bundle_digest,
            content=None,
            reply_key=None,
            raw=opened.raw,
            purpose=opened.event.purpose,
            legal_basis=opened.event.legalbasis,
        )
        inbox.write_rows(connection, [row], now_utc)
        streams.note(connection, [(source, place[2], place[3])], now_utc)  # it may be the first that is heard of this stream
    elif met is Meeting.HELD:
        held.withdraw(connection, said.id, problem, now_utc)  # where an attempt has just decided otherwise, that stands
    _keep(connection, opened, said, evidence, now_utc, filled_place=met is Meeting.NOTHING)
    parked.close_loaded(connection, [said.id], now_utc)
    (found,) = inbox.look_up(connection, [said.id], ())
    log.info("event.withdrawn", event_id=said.id, source=source, met=met.name.lower(), fate=found.fate.value)
    return Answered(said.id, source, digest, found.fate, found.problems, found.reply_key)


def _keep(
    connection: Connection, opened: OpenEvent, said: Withdrawal, evidence: EvidenceRow, now_utc: datetime, *, filled_place: bool
) -> None:
    """Keep the first tombstone of an event, with its signature: it is evidence of what the sender wanted, whatever came of it."""
    write_evidence(connection, [evidence])
    row = {
        "event_id": said.id,
        "digest": opened.digest,
        "reason": said.reason,
        "filled_place": filled_place,
        "received_at_utc": now_utc,
        "bundle_digest": evidence.bundle_digest,
        "raw": opened.raw,
    }
    insert_missing(connection, withdrawal, [row])
