"""What the customs house keeps of a declaration, for evidence: the posts' words as they came, and its own answers, made afresh.

What was pruned is read from the archive, and is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select

from broker.archive import Block
from broker.archive_reading import Excerpt, agreed_lines
from broker.audit import Act, append
from broker.bundle.sealed import decrypted, is_sealed
from broker.evidence.export import Holding, KeptClosing, KeptEvent, KeptStatement
from broker.settings.model import Settings
from broker.trust.crls import Crl
from broker.trust.sealing import DecryptionKeys
from broker.trust.signing import unb64url
from consumers.answers import Answered, receipt_of
from consumers.archived import read_archived
from consumers.closing import covering, lines_of
from consumers.database import open_engine
from consumers.inbox import problems_of
from consumers.operations import reading, rows_of
from consumers.tables import audit, crl, evidence, withdrawal
from schemas import strict_json
from schemas.archive import CrlLine, SignatureLine, TakenEvent, WithdrawalLine
from schemas.closing import Line, block_with
from schemas.content import validate
from schemas.control import Manifest, ManifestBlock
from schemas.errors import ContentError, Problem, UnavailableError
from schemas.event import Event
from schemas.fates import Fate
from schemas.names import EventType, Party

Lines = Callable[[ManifestBlock], Sequence[Line]]


class TakenIn(NamedTuple):
    """An event that was taken in, as the inbox or the archive has it.

    `said` holds the tombstone's bytes where it `filled_place`: the event itself never came. `problems` as the inbox keeps them.
    """

    event_id: str
    source: str
    destination: str
    type: str
    epoch: str
    sequence: int
    reference: str
    version: int | None
    digest: bytes
    fate: Fate
    problems: tuple[Problem, ...]
    reply_key: bytes | None
    said: KeptStatement
    withdrawal: KeptStatement | None
    filled_place: bool


def holdings(settings: Settings, number: str) -> Iterator[Holding]:
    """What our house keeps of a declaration, by its reference or its registration number alone; also what is in the archive only."""
    if settings.house is None:
        return
    events: list[KeptEvent] = []
    with reading(settings.house.database) as connection:
        if connection is not None:
            keys = DecryptionKeys.load(settings.house)
            now = datetime.now(UTC)
            for taken, lines in _taken(connection, settings, number):
                events.append(_event(taken, settings, keys, now, _closing(connection, taken, lines)))
    yield Holding(settings.house_party, settings.house, tuple(events), partial(_note, settings.house.database))


def _taken(connection: Connection, settings: Settings, number: str) -> Iterator[tuple[TakenIn, Lines]]:
    """What is in the archive, then what is not; asked the other way round, for a block may be pruned in between."""
    rows = connection.execute(rows_of(number)).all()
    here = {row.event_id for row in rows}
    for block, excerpt in read_archived(connection, settings.house_party, number, settings.retention.archive):
        lines = partial(agreed_lines, excerpt)
        yield from ((taken, lines) for taken in _of_archive(block, excerpt) if taken.event_id not in here)
    for row in rows:
        taken = _of_inbox(connection, row)
        yield taken, partial(_lines, connection, taken)


def _of_inbox(connection: Connection, row: Row[*tuple[Any, ...]]) -> TakenIn:
    tombstone = connection.execute(select(withdrawal).where(withdrawal.c.event_id == row.event_id)).first()
    withdrawn = None if tombstone is None else _statement(connection, bytes(tombstone.raw), bytes(tombstone.bundle_digest), row.source)
    return TakenIn(
        event_id=row.event_id,
        source=row.source,
        destination=row.destination,
        type=row.type,
        epoch=row.epoch,
        sequence=row.sequence,
        reference=row.reference,
        version=row.version,
        digest=bytes(row.digest),
        fate=Fate(row.fate),
        problems=problems_of(row.problems),
        reply_key=row.reply_key,
        said=_statement(connection, bytes(row.raw), bytes(row.bundle_digest), row.source),
        withdrawal=withdrawn,
        filled_place=tombstone is not None and tombstone.filled_place,
    )


def _statement(connection: Connection, raw: bytes, bundle_digest: bytes, source: str) -> KeptStatement:
    """What a post said, with the signature of the bundle it came in and the CRLs that stood then."""
    kept = connection.execute(select(evidence).where(evidence.c.bundle_digest == bundle_digest)).one()
    digests = [digest for text in kept.crls or () if (digest := unb64url(text)) is not None]
    ders = connection.execute(select(crl.c.der).where(crl.c.digest.in_(digests))).scalars() if digests else ()
    country = Party.of_urn(source).country
    return KeptStatement(raw, kept.jws, kept.received_at_utc, tuple((country, Crl.parse(bytes(der))) for der in ders))


def _of_archive(block: Block, excerpt: Excerpt) -> Iterator[TakenIn]:
    """The events that were read from a block; ConflictError `archive-file-altered` where one is not whole."""
    withdrawals = {line.withdrawal: line for line in excerpt.kept if isinstance(line, WithdrawalLine)}
    for line in excerpt.kept:
        if not isinstance(line, TakenEvent):
            continue
        tombstone = withdrawals.get(line.id)
        filled = tombstone is not None and tombstone.filled_place
        yield TakenIn(
            event_id=line.id,
            source=block.source,
            destination=block.destination,
            type=block.type,
            epoch=block.epoch,
            sequence=line.sequence,
            reference=line.reference,
            version=line.version,
            digest=unb64url(line.digest) or b"",
            fate=line.fate,
            problems=line.problems or (),
            reply_key=None if line.reply_key is None else unb64url(line.reply_key),
            said=_archived_statement(excerpt, line.event.encode() if filled else excerpt.bytes_of(line), line.bundle),
            withdrawal=None if tombstone is None else _archived_statement(excerpt, tombstone.raw, tombstone.bundle),
            filled_place=filled,
        )


def _archived_statement(excerpt: Excerpt, raw: bytes, bundle: str) -> KeptStatement:
    signature = excerpt.named(bundle, SignatureLine)
    lists = [excerpt.named(digest, CrlLine) for digest in signature.crls]
    return KeptStatement(raw, signature.jws, signature.received_at, tuple((each.country, Crl.parse(each.der)) for each in lists))


def _event(taken: TakenIn, settings: Settings, keys: DecryptionKeys, now_utc: datetime, closing: KeptClosing | None) -> KeptEvent:
    answer = Answered(taken.event_id, taken.source, taken.digest, taken.fate, taken.problems, taken.reply_key)
    return KeptEvent(
        event_id=taken.event_id,
        reference=taken.reference,
        version=taken.version,
        type=taken.type,
        source=taken.source,
        destination=taken.destination,
        event=None if taken.filled_place else taken.said,
        plaintext=None if taken.filled_place else _plaintext(taken.said.raw, keys),
        withdrawal=taken.withdrawal,
        receipt=KeptStatement(receipt_of(answer, settings.house_party, settings.environment, now_utc)),
        closing=closing,
    )


def _plaintext(raw: bytes, keys: DecryptionKeys) -> bytes | None:
    """What an encrypted event holds, where we still have the key."""
    try:
        event = Event.model_validate(strict_json.parse(raw))
        return decrypted(event, keys) if is_sealed(event) else None
    except (ContentError, UnavailableError):
        return None


def _closing(connection: Connection, taken: TakenIn, lines: Lines) -> KeptClosing | None:
    """The closing that covers the event: the post's manifest as it came, and our answer as we signed it then."""
    found = covering(connection, taken.source, taken.type, taken.epoch, taken.sequence)
    if found is None:
        return None
    manifest = bytes(found.manifest)
    stated: Manifest = validate(EventType.MANIFEST, strict_json.parse(manifest)["data"])
    block = block_with(stated, taken.type, taken.epoch, taken.sequence)
    stands = lines(block) if block else ()  # `covering` found it by these very streams; who changed it is told by whoever verifies
    if not stands:
        return None
    return KeptClosing(
        manifest=KeptStatement(manifest, found.manifest_jws, found.answered_at_utc),
        answer=KeptStatement(bytes(found.answer), found.answer_jws),
        lines=stands,
    )


def _lines(connection: Connection, taken: TakenIn, block: ManifestBlock) -> Sequence[Line]:
    query = lines_of(taken.source, taken.destination, taken.type, taken.epoch, block.first, block.last)
    absent = {sequence for first, last in block.absent for sequence in range(first, last + 1)}
    return [Line(sequence, event_id, bytes(digest)) for sequence, event_id, digest in connection.execute(query) if sequence not in absent]


def _note(url: str, act: Act) -> None:
    with open_engine(url).begin() as connection:
        append(connection, audit, act, datetime.now(UTC))
