"""From what a unit kept of an event to its account of it: what it said itself is signed now, with what it has of both countries' CRLs.

Where that is kept, each package knows: it contributes `holdings(settings, number) -> Iterable[Holding]` under the entry-point group
"panj.evidence". The outboxes' stand in `outboxes`, the house's in `consumers.exporting`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import entry_points

from broker.audit import Act
from broker.settings.model import KeyPair, Settings
from broker.trust.anchors import TrustStore
from broker.trust.crls import Crl
from broker.trust.keys import Identity
from broker.trust.signing import b64url, read_jws, sign
from schemas.closing import Line
from schemas.errors import DistrustError, UnavailableError, UsageError
from schemas.event import digest_of, utc_text
from schemas.evidence import Account, BlockLine, ClosingEvidence, CrlEvidence, EventEvidence, Statement
from schemas.limits import EVIDENCE_CRLS, EVIDENCE_EVENTS
from schemas.names import Party

GROUP = "panj.evidence"


@dataclass(frozen=True, slots=True)
class KeptStatement:
    """A statement as it is kept. `jws` None: the exporter's own, to be signed now. `crls` (country, list) stood when it came."""

    raw: bytes = field(repr=False)
    jws: str | None = field(default=None, repr=False)
    received_at_utc: datetime | None = None
    crls: tuple[tuple[str, Crl], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class KeptClosing:
    """A closing that covers an event, and the lines of the event's block."""

    manifest: KeptStatement
    answer: KeptStatement
    lines: Sequence[Line] = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """One event and what was said about it, as its keeper has it. `version` is the declaration's, None where it is not known."""

    event_id: str
    reference: str
    version: int | None
    type: str
    source: str
    destination: str
    event: KeptStatement | None
    plaintext: bytes | None = field(default=None, repr=False)
    withdrawal: KeptStatement | None = None
    receipt: KeptStatement | None = None
    closing: KeptClosing | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """What one unit of this administration keeps of a number, and the key with which it speaks.

    `note` writes an act into the audit trail of the database that keeps it: who handed out a declaration is to be known.
    """

    party: Party
    pair: KeyPair
    events: tuple[KeptEvent, ...]
    note: Callable[[Act], None] = field(repr=False)


def holdings(settings: Settings, number: str) -> list[Holding]:
    """Ask every contributor which units keep anything of a declaration."""
    found: list[Holding] = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        ask: Callable[[Settings, str], Iterable[Holding]] = point.load()
        found.extend(holding for holding in ask(settings, number) if holding.events)
    return found


def account_of(holding: Holding, identity: Identity, trust: TrustStore, environment: str, now_utc: datetime) -> Account:
    """Make the exporter's account of what it kept.

    UnavailableError `certificate-expired` where its own certificate has: nobody would believe it; UsageError `evidence-too-large`.
    """
    if now_utc >= identity.not_after_utc:
        text = 'our own certificate has expired, nobody would believe the file: renew it with "panj pki renew"'
        raise UnavailableError("certificate-expired", text, value=utc_text(identity.not_after_utc))
    if len(holding.events) > EVIDENCE_EVENTS:
        text = f"an evidence file holds at most {EVIDENCE_EVENTS} events: name one version with --version"
        raise UsageError("evidence-too-large", text, value=len(holding.events))
    events = tuple(_event(kept, identity, now_utc) for kept in holding.events)
    crls = {crl.digest: (country, crl) for country, crl in _crls(holding, identity, trust)}
    if len(crls) > EVIDENCE_CRLS:
        text = f"an evidence file holds at most {EVIDENCE_CRLS} CRLs: name one version with --version"
        raise UsageError("evidence-too-large", text, value=len(crls))
    return Account(
        exporter=identity.urn,
        environment=environment,
        events=events,
        crls=tuple(_crl(country, crl) for country, crl in sorted(crls.values(), key=_by_age)),
    )


def _event(kept: KeptEvent, identity: Identity, now_utc: datetime) -> EventEvidence:
    def statement(one: KeptStatement | None) -> Statement | None:
        return None if one is None else _statement(one, identity, now_utc)

    closing = kept.closing
    return EventEvidence(
        event=statement(kept.event),
        plaintext=kept.plaintext,
        withdrawal=statement(kept.withdrawal),
        receipt=statement(kept.receipt),
        closing=None
        if closing is None
        else ClosingEvidence(
            manifest=_statement(closing.manifest, identity, now_utc),
            answer=_statement(closing.answer, identity, now_utc),
            lines=tuple(BlockLine(sequence=line.sequence, id=line.id, digest=b64url(line.digest)) for line in closing.lines),
        ),
    )


def _statement(kept: KeptStatement, identity: Identity, now_utc: datetime) -> Statement:
    return Statement(
        raw=kept.raw,
        jws=kept.jws or sign([digest_of(kept.raw)], identity, now_utc),
        received_at=kept.received_at_utc,
        crls=tuple(b64url(crl.digest) for _, crl in kept.crls),
    )


def _crls(holding: Holding, identity: Identity, trust: TrustStore) -> Iterator[tuple[str, Crl]]:
    """The lists that stood when something came, and the newest ones over every chain in the file, our own first."""
    ours = identity.party.country
    yield from ((ours, crl) for crl in trust.crls_over(ours, identity.x5c))
    for kept in holding.events:
        for statement, signer in _statements(kept):
            yield from statement.crls
            if statement.jws is not None:
                yield from _over(statement.jws, Party.of_urn(signer).country, trust)


def _statements(kept: KeptEvent) -> Iterator[tuple[KeptStatement, str]]:
    """Each statement, with the URN of the one who should have signed it."""
    manifest, answer = (kept.closing.manifest, kept.closing.answer) if kept.closing else (None, None)
    for statement, signer in (
        (kept.event, kept.source),
        (kept.withdrawal, kept.source),
        (kept.receipt, kept.destination),
        (manifest, kept.source),
        (answer, kept.destination),
    ):
        if statement is not None:
            yield statement, signer


def _over(jws: str, country: str, trust: TrustStore) -> Iterator[tuple[str, Crl]]:
    try:
        yield from ((country, crl) for crl in trust.crls_over(country, read_jws(jws).x5c))
    except DistrustError:  # what was kept is handed over as it is: whoever verifies it is told
        return


def _crl(country: str, crl: Crl) -> CrlEvidence:
    return CrlEvidence(
        country=country, number=str(crl.number), this_update=crl.this_update_utc, next_update=crl.next_update_utc, der=crl.der
    )


def _by_age(held: tuple[str, Crl]) -> tuple[datetime, str, int]:
    country, crl = held
    return crl.this_update_utc, country, crl.number
