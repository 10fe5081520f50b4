"""Closings as the house sees them: a post's manifest is compared with the inbox and answered; what both sides signed is kept as it was.

What a block and a difference are stands in `schemas.closing`; when a manifest is made, the post decides (`broker.relay.closing`).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection, Engine, Row, Select, delete, insert, select, text, update

from broker import audit
from broker.bundle.open import OpenEvent
from broker.bundle.pack import Route, control_event, pack
from broker.ports import Message
from broker.trust.keys import Identity
from broker.trust.signing import unb64url
from consumers import tables
from consumers.answers import LEGAL_BASIS, PURPOSE
from consumers.clock import Clock
from consumers.closing_tables import closing, closing_difference, closing_stream
from consumers.patience import patiently
from consumers.retention import archived_in
from consumers.tables import inbox
from schemas.closing import Line, Told, compare, digest_text, tell
from schemas.content import validate
from schemas.control import Manifest, ManifestAnswer, ManifestDifference, ManifestStream
from schemas.event import digest_of
from schemas.names import EventType

log = structlog.get_logger()

_ROWS_AT_ONCE = 2_000


class Tip(NamedTuple):
    """The last closing that we agreed to with one post: its number, and the digest of our answer; 0 and None where there is none."""

    number: int
    digest: bytes | None


@dataclass(frozen=True, slots=True)
class Stated:
    """A manifest as it came: from whom to whom, what it says, and the bytes and signature that say it."""

    route: Route
    manifest: Manifest
    opened: OpenEvent
    jws: str


@dataclass(frozen=True, slots=True)
class ClosingBook:
    """What the house needs to answer manifests. `backup_horizon_seconds`: how far back a restored backup may set its database."""

    engine: Engine
    environment: str
    backup_horizon_seconds: int
    stop: threading.Event
    clock: Clock

    def answer(self, route: Route, opened: OpenEvent, jws: str, identity: Identity) -> Message:
        """Compare a manifest with the inbox, keep both sides' bytes in one transaction, and give the answer that leaves then.

        The same manifest again gets the same answer. UnavailableError once `stop` is set while the database is away.
        """
        stated = Stated(route, validate(opened.event.type, opened.event.data), opened, jws)
        raw = patiently(lambda: self._known(stated) or self._compare_and_keep(stated, identity), self.engine, self.stop)
        return self._message(stated, raw, identity)

    def _known(self, stated: Stated) -> bytes | None:
        with self.engine.connect().execution_options(reads=True) as connection, connection.begin():
            return _answered_before(connection, stated)

    def _compare_and_keep(self, stated: Stated, identity: Identity) -> bytes:
        """Compare in a transaction that only reads, so that loading goes on meanwhile, and write in one of its own."""
        with _snapshot(self.engine) as connection:
            told = tell(_differences(connection, stated))
        with self.engine.begin() as connection:
            _one_at_a_time(connection, stated.route.source.urn)
            before = _answered_before(connection, stated)
            if before is not None:
                return before
            last = tip(connection, stated.route.source.urn)
            moment = self.clock()
            said = _answer(stated, told, last, self.backup_horizon_seconds, audit.head(connection, tables.audit))
            raw = self._event(stated, said, moment)
            if not said.overtaken:
                message = self._message(stated, raw, identity)
                _keep(connection, stated, said, (raw, str(message.headers["jws"])), last, moment)
        _report(stated, said)
        return raw

    def _event(self, stated: Stated, said: ManifestAnswer, moment: datetime) -> bytes:
        return control_event(
            EventType.MANIFEST_ANSWER.value,
            stated.route.destination,
            stated.route.source,
            environment=self.environment,
            purpose=PURPOSE,
            legal_basis=LEGAL_BASIS,
            subject=f"closing {said.number}",
            data=said,
            now=moment,
        )

    def _message(self, stated: Stated, raw: bytes, identity: Identity) -> Message:
        route = Route(stated.route.destination, stated.route.source, EventType.MANIFEST_ANSWER.value)
        return pack(route, [raw], [digest_of(raw)], identity, self.clock())


def tip(connection: Connection, source: str) -> Tip:
    """The last closing that we agreed to with this post (URN)."""
    query = select(closing.c.number, closing.c.answer_digest).where(closing.c.source == source, closing.c.agreed)
    row = connection.execute(query.order_by(closing.c.number.desc()).limit(1)).first()
    return Tip(0, None) if row is None else Tip(row.number, bytes(row.answer_digest))


def covering(connection: Connection, source: str, event_type: str, epoch: str, sequence: int) -> Row[*tuple[Any, ...]] | None:
    """The first agreed closing whose blocks held this event: its row of `closing`, every column by name; None where there is none yet."""
    here = (closing_stream.c.source == source) & (closing_stream.c.type == event_type) & (closing_stream.c.epoch == epoch)
    inside = closing_stream.c.first <= sequence, closing_stream.c.last >= sequence
    joined = (closing.c.source == closing_stream.c.source) & (closing.c.number == closing_stream.c.number)
    query = select(closing).join(closing_stream, joined).where(here, *inside).order_by(closing.c.number).limit(1)
    return connection.execute(query).first()


def _answered_before(connection: Connection, stated: Stated) -> bytes | None:
    """The answer that this very manifest got before."""
    here = (closing.c.source == stated.route.source.urn) & (closing.c.number == stated.manifest.number)
    query = select(closing.c.answer).where(here, closing.c.manifest_digest == stated.opened.digest)
    raw = connection.execute(query).scalar()
    return None if raw is None else bytes(raw)


@contextmanager
def _snapshot(engine: Engine) -> Iterator[Connection]:
    """One state of the database for all questions: rows that are archived meanwhile must not look as if they were missing."""
    options = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with engine.connect().execution_options(reads=True, **options) as connection, connection.begin():
        yield connection


def _differences(connection: Connection, stated: Stated) -> Iterator[ManifestDifference]:
    """What differs, stream by stream. Nothing is compared where our own chain is longer: the post must find its place first."""
    if stated.manifest.number <= tip(connection, stated.route.source.urn).number:
        return
    for stream in stated.manifest.streams:
        if stream.blocks:
            first, last = stream.blocks[0].first, stream.blocks[-1].last
            archived = archived_in(connection, stated.route.source.urn, stream.type.value, stream.epoch, first, last)
            yield from compare(stream, _lines(connection, stated.route, stream), archived)


def _lines(connection: Connection, route: Route, stream: ManifestStream) -> Iterator[Line]:
    """The lines of a stream's stated blocks, in one question whose answer is read piece by piece; only ever the post's own."""
    first, last = stream.blocks[0].first, stream.blocks[-1].last
    query = lines_of(route.source.urn, route.destination.urn, stream.type.value, stream.epoch, first, last)
    for sequence, event_id, digest in connection.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE}):
        yield Line(sequence, event_id, bytes(digest))


def lines_of(source: str, destination: str, event_type: str, epoch: str, first: int, last: int) -> Select[Any]:
    """The lines that the inbox holds of a stream, from `first` to `last`, in their order: through the index of places."""
    here = (inbox.c.source == source, inbox.c.type == event_type, inbox.c.destination == destination)
    query = select(inbox.c.sequence, inbox.c.event_id, inbox.c.digest)
    return query.where(inbox.c.epoch == epoch, inbox.c.sequence.between(first, last), *here).order_by(inbox.c.sequence)


def _answer(stated: Stated, told: Told, last: Tip, horizon_seconds: int, audit_head: str | None) -> ManifestAnswer:
    overtaken = stated.manifest.number <= last.number
    return ManifestAnswer(
        number=stated.manifest.number,
        manifest=digest_text(stated.opened.digest),
        agreed=not told.differences and not overtaken,
        differences=() if overtaken else told.differences,
        untold=0 if overtaken else told.untold,
        backup_horizon_seconds=horizon_seconds,
        last_number=last.number,
        last_digest=None if last.digest is None else digest_text(last.digest),
        audit_head=audit_head,
    )


def _keep(connection: Connection, stated: Stated, said: ManifestAnswer, answer: tuple[bytes, str], last: Tip, moment: datetime) -> None:
    """Write the closing down; a manifest with the same number that we had not agreed to makes room for it."""
    source, manifest = stated.route.source.urn, stated.manifest
    raw, jws = answer
    previous = None if last.digest is None else digest_text(last.digest)
    connection.execute(delete(closing).where(closing.c.source == source, closing.c.number == manifest.number))
    row = {
        "source": source,
        "number": manifest.number,
        "manifest_digest": stated.opened.digest,
        "answer_digest": digest_of(raw),
        "previous": None if manifest.previous is None else _bytes_of(manifest.previous),
        "agreed": said.agreed,
        "follows": manifest.number == last.number + 1 and manifest.previous == previous,
        "compared": sum(len(stream.blocks) for stream in manifest.streams),
        "differing": len(said.differences) + said.untold,
        "answered_at_utc": moment,
        "manifest": stated.opened.raw,
        "manifest_jws": stated.jws,
        "answer": raw,
        "answer_jws": jws,
    }
    connection.execute(insert(closing), row)
    covered = [
        {
            "source": source,
            "type": stream.type.value,
            "epoch": stream.epoch,
            "number": manifest.number,
            "first": stream.blocks[0].first,
            "last": stream.last,
        }
        for stream in manifest.streams
        if said.agreed and stream.blocks
    ]
    if covered:
        connection.execute(insert(closing_stream), covered)
        for each in covered:
            here = [closing_difference.c[column] == each[column] for column in ("source", "type", "epoch")]
            inside = (closing_difference.c.first >= each["first"], closing_difference.c.last <= each["last"])
            ended = update(closing_difference).where(*here, *inside, closing_difference.c.ended_at_utc.is_(None))
            connection.execute(ended.values(ended_at_utc=moment))
    _keep_differences(connection, source, said, moment)


def _keep_differences(connection: Connection, source: str, said: ManifestAnswer, moment: datetime) -> None:
    """Write down which blocks differ, each once: found again, it is open again."""
    for each in said.differences:
        place = {"source": source, "type": each.type.value, "epoch": each.epoch, "first": each.first}
        connection.execute(delete(closing_difference).where(*(closing_difference.c[column] == value for column, value in place.items())))
        what = "missing" if each.missing else "other" if each.held else "archived"
        lacking = sum(end - start + 1 for start, end in each.missing)
        told = {"last": each.last, "what": what, "lacking": lacking, "number": said.number, "found_at_utc": moment}
        connection.execute(insert(closing_difference), place | told)


def _bytes_of(text_of_digest: str) -> bytes:
    """A digest that is no canonical base64url is nobody's: it is kept as one that follows nothing."""
    return unb64url(text_of_digest) or hashlib.sha256(text_of_digest.encode()).digest()


def _one_at_a_time(connection: Connection, source: str) -> None:
    """Let two workers of this house answer one post's manifests one after the other. On SQLite every writer does so anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:source, 4))"), {"source": f"closing {source}"})


def _report(stated: Stated, said: ManifestAnswer) -> None:
    told = {"source": stated.route.source.urn, "number": said.number}
    if said.agreed:
        log.info("closing.agreed", **told, streams=len(stated.manifest.streams))
    elif said.overtaken:
        log.warning("closing.overtaken", **told, last_number=said.last_number)
    else:
        lacking = sum(end - first + 1 for each in said.differences for first, end in each.missing)
        log.warning("closing.differed", **told, blocks=len(said.differences) + said.untold, missing=lacking)
