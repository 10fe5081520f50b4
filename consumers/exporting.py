"""What the customs house keeps of a declaration, for evidence: the posts' words as they came, and its own answers, made afresh."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, select

from broker.audit import Act, append
from broker.bundle.sealed import decrypted, is_sealed
from broker.evidence.export import Holding, KeptClosing, KeptEvent, KeptStatement
from broker.settings.model import Settings
from broker.trust.crls import Crl
from broker.trust.sealing import DecryptionKeys
from broker.trust.signing import unb64url
from consumers.answers import Answered, receipt_of
from consumers.closing import covering, lines_of
from consumers.database import open_engine
from consumers.inbox import problems_of
from consumers.operations import reading, rows_of
from consumers.tables import audit, crl, evidence, withdrawal
from schemas import strict_json
from schemas.closing import Line, block_with
from schemas.content import validate
from schemas.control import Manifest
from schemas.errors import ContentError, UnavailableError
from schemas.event import Event
from schemas.fates import Fate
from schemas.names import EventType, Party

_Row = Row[*tuple[Any, ...]]


def holdings(settings: Settings, number: str) -> Iterator[Holding]:
    """What our house keeps of a declaration, by its reference or its registration number alone."""
    if settings.house is None:
        return
    events: list[KeptEvent] = []
    with reading(settings.house.database) as connection:
        if connection is not None:
            keys = DecryptionKeys.load(settings.house)
            now = datetime.now(UTC)
            events = [_event(connection, row, settings, keys, now) for row in connection.execute(rows_of(number)).all()]
    yield Holding(settings.house_party, settings.house, tuple(events), partial(_note, settings.house.database))


def _event(connection: Connection, row: _Row, settings: Settings, keys: DecryptionKeys, now_utc: datetime) -> KeptEvent:
    tombstone = connection.execute(select(withdrawal).where(withdrawal.c.event_id == row.event_id)).first()
    filled = tombstone is not None and tombstone.filled_place  # the event itself never came
    answer = Answered(row.event_id, row.source, bytes(row.digest), Fate(row.fate), problems_of(row.problems), row.reply_key)
    raw = bytes(row.raw)
    return KeptEvent(
        event_id=row.event_id,
        reference=row.reference,
        version=row.version,
        type=row.type,
        source=row.source,
        destination=row.destination,
        event=None if filled else _statement(connection, raw, bytes(row.bundle_digest), row.source),
        plaintext=None if filled else _plaintext(raw, keys),
        withdrawal=None if tombstone is None else _statement(connection, bytes(tombstone.raw), bytes(tombstone.bundle_digest), row.source),
        receipt=KeptStatement(receipt_of(answer, settings.house_party, settings.environment, now_utc)),
        closing=_closing(connection, row),
    )


def _statement(connection: Connection, raw: bytes, bundle_digest: bytes, source: str) -> KeptStatement:
    """What a post said, with the signature of the bundle it came in and the CRLs that stood then."""
    kept = connection.execute(select(evidence).where(evidence.c.bundle_digest == bundle_digest)).one()
    digests = [digest for text in kept.crls or () if (digest := unb64url(text)) is not None]
    ders = connection.execute(select(crl.c.der).where(crl.c.digest.in_(digests))).scalars() if digests else ()
    country = Party.of_urn(source).country
    return KeptStatement(raw, kept.jws, kept.received_at_utc, tuple((country, Crl.parse(bytes(der))) for der in ders))


def _plaintext(raw: bytes, keys: DecryptionKeys) -> bytes | None:
    """What an encrypted event holds, where we still have the key."""
    try:
        event = Event.model_validate(strict_json.parse(raw))
        return decrypted(event, keys) if is_sealed(event) else None
    except (ContentError, UnavailableError):
        return None


def _closing(connection: Connection, row: _Row) -> KeptClosing | None:
    """The closing that covers the event: the post's manifest as it came, and our answer as we signed it then."""
    found = covering(connection, row.source, row.type, row.epoch, row.sequence)
    if found is None:
        return None
    manifest = bytes(found.manifest)
    lines = _lines(connection, row, manifest)
    if not lines:
        return None
    return KeptClosing(
        manifest=KeptStatement(manifest, found.manifest_jws, found.answered_at_utc),
        answer=KeptStatement(bytes(found.answer), found.answer_jws),
        lines=lines,
    )


def _lines(connection: Connection, row: _Row, manifest: bytes) -> Sequence[Line]:
    stated: Manifest = validate(EventType.MANIFEST, strict_json.parse(manifest)["data"])
    block = block_with(stated, row.type, row.epoch, row.sequence)
    if block is None:  # `covering` found it by these very streams; who changed it is told by whoever verifies
        return ()
    query = lines_of(row.source, row.destination, row.type, row.epoch, block.first, block.last)
    absent = {sequence for first, last in block.absent for sequence in range(first, last + 1)}
    return [Line(sequence, event_id, bytes(digest)) for sequence, event_id, digest in connection.execute(query) if sequence not in absent]


def _note(url: str, act: Act) -> None:
    with open_engine(url).begin() as connection:
        append(connection, audit, act, datetime.now(UTC))
