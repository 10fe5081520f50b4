"""What a post that forgot asks for: the events that this house holds of it, page by page. Reads only; who may ask is decided by `control`.

A page is bounded in events and bytes; the asker's own events only. Pruned events are not told: they are
older than what a post would put in again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import structlog
from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, Row, and_, func, or_, select

from broker.bundle.pack import Route, control_event, pack
from broker.bundle.recovered import read_reply_key, seal_names
from broker.ports import Message
from broker.trust.keys import Identity
from broker.trust.sealing import NO_KEYS, DecryptionKeys, seal_problems
from broker.trust.signing import b64url
from consumers.answers import LEGAL_BASIS, PURPOSE
from consumers.inbox import problems_of
from consumers.streams import streams_of
from consumers.tables import inbox
from schemas.control import Recovered, RecoveredName, Recovery, RecoveryAnswer
from schemas.event import digest_of
from schemas.fates import Fate
from schemas.limits import PROBLEMS, RECOVERY_ENTRIES, RECOVERY_STREAMS
from schemas.names import EventType

log = structlog.get_logger()

PAGE_BYTES = 700_000  # of entries: with `told` and the envelope it stays under EVENT_BYTES
ROWS_AT_ONCE = 250

_Heads = dict[tuple[str, str], int]  # (type, epoch): told up to this sequence
_COLUMNS = tuple(
    inbox.c[name]
    for name in ("type", "epoch", "sequence", "event_id", "digest", "reference", "version", "content", "reply_key", "fate", "problems")
)


def answer_recovery(connection: Connection, source: str, asked: Recovery, request: str, keys: DecryptionKeys = NO_KEYS) -> RecoveryAnswer:
    """Tell the next page of what this house holds of `source` (URN) beyond what it asks from; `request` is the asking event's id.

    What an encrypted event is about is told under a key that the post sent, if one of `keys` reads that.
    """
    known = {(head.type.value, head.epoch): head.last for head in asked.known}
    heads: _Heads = {name: known.get(name, 0) for name in streams_of(connection, source)[-RECOVERY_STREAMS:]}
    reply_key = read_reply_key(asked.reply, keys)
    page = _Page(names_told=reply_key is not None)
    left = 0
    for epoch in dict.fromkeys(epoch for _, epoch in heads):
        if page.full or not _fill(connection, source, epoch, heads, page):
            left += _count(connection, source, epoch, heads)
    told = tuple({"type": kind, "epoch": epoch, "last": last} for (kind, epoch), last in heads.items())
    names = seal_names(page.names, reply_key) if page.names and reply_key is not None else None
    return RecoveryAnswer.model_validate({"request": request, "entries": tuple(page.entries), "told": told, "left": left, "names": names})


class _Page:
    """What is told at once."""

    def __init__(self, *, names_told: bool) -> None:
        self.entries: list[Recovered] = []
        self.names: list[RecoveredName] = []
        self._names_told = names_told
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether nothing more goes into it."""
        return len(self.entries) >= RECOVERY_ENTRIES or self._bytes >= PAGE_BYTES

    def add(self, row: Row[Any]) -> None:
        """Tell one more; pydantic's ValidationError where it cannot be told."""
        entry = _entry(row)
        if row.reply_key is not None and self._names_told:
            self.names.append(_name(row))
            self._bytes += len(self.names[-1].model_dump_json(exclude_none=True).encode()) * 4 // 3  # base64 of the JWE
        self.entries.append(entry)
        self._bytes += len(entry.model_dump_json(exclude_none=True).encode())


def _fill(connection: Connection, source: str, epoch: str, heads: _Heads, page: _Page) -> bool:
    """Tell what there is of an epoch, while there is room; whether that was all. Raises the heads to what was told."""
    for row in _rows(connection, source, epoch, heads):
        if page.full:
            return False
        try:
            page.add(row)
        except ValidationError:  # one row that cannot be told must not keep the others back
            log.exception("recovery.untold", source=source, event_id=row.event_id)
        # In the order of sequence and type: all that stands before this row is told, of every type.
        for kind, each in list(heads):
            if each == epoch:
                heads[(kind, each)] = max(heads[(kind, each)], row.sequence if kind == row.type else row.sequence - 1)
    return True


def _rows(connection: Connection, source: str, epoch: str, heads: _Heads) -> Iterator[Row[Any]]:
    """The rows of an epoch beyond the heads, read in small parts; the caller raises the heads as it takes them."""
    while True:
        query = select(*_COLUMNS).where(*_beyond(source, epoch, heads)).order_by(inbox.c.sequence, inbox.c.type).limit(ROWS_AT_ONCE)
        rows = connection.execute(query).all()
        yield from rows
        if len(rows) < ROWS_AT_ONCE:
            return


def _count(connection: Connection, source: str, epoch: str, heads: _Heads) -> int:
    return connection.execute(select(func.count()).select_from(inbox).where(*_beyond(source, epoch, heads))).scalar_one()


def _beyond(source: str, epoch: str, heads: Mapping[tuple[str, str], int]) -> list[ColumnElement[bool]]:
    """The unique index begins with (epoch, sequence) and holds all that is asked here."""
    of_epoch = {kind: last for (kind, each), last in heads.items() if each == epoch}
    each_type = or_(*(and_(inbox.c.type == kind, inbox.c.sequence > last) for kind, last in of_epoch.items()))
    return [inbox.c.epoch == epoch, inbox.c.sequence > min(of_epoch.values()), inbox.c.source == source, each_type]


def _entry(row: Row[Any]) -> Recovered:
    fate = Fate(row.fate)
    told = {
        "type": row.type,
        "epoch": row.epoch,
        "sequence": row.sequence,
        "id": row.event_id,
        "digest": b64url(bytes(row.digest)),
        "fate": fate.value,
    }
    problems = () if fate is Fate.LOADED else problems_of(row.problems)[:PROBLEMS]
    if row.reply_key is not None:  # it came encrypted: the brokers do not learn from us what it is about
        sealed = seal_problems(problems, bytes(row.reply_key)) if problems else None
        return Recovered.model_validate(told | {"reference": row.event_id, "sealed": sealed})
    content = None if row.content is None else b64url(bytes(row.content))
    named = {"reference": row.reference, "version": row.version, "content": content}
    return Recovered.model_validate(told | named | {"problems": problems})


def _name(row: Row[Any]) -> RecoveredName:
    content = None if row.content is None else b64url(bytes(row.content))
    problems = () if row.fate == Fate.LOADED.value else problems_of(row.problems)[:PROBLEMS]
    return RecoveredName(id=row.event_id, reference=row.reference, version=row.version, content=content, problems=problems)


def recovery_message(answer: RecoveryAnswer, route: Route, identity: Identity, environment: str, moment: datetime) -> Message:
    """The message that takes a page to the post that asked by `route`."""
    house, post = route.destination, route.source
    raw = control_event(
        EventType.RECOVERY_ANSWER.value,
        house,
        post,
        environment=environment,
        purpose=PURPOSE,
        legal_basis=LEGAL_BASIS,
        subject=f"{len(answer.entries)} events, {answer.left} left",
        data=answer,
        now=moment,
    )
    return pack(Route(house, post, EventType.RECOVERY_ANSWER.value), [raw], [digest_of(raw)], identity, moment)
