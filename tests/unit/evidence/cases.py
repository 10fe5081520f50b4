"""Evidence files of one declaration that crossed from tj to af, whole and spoiled, with certificates of a known day."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from broker.bundle.pack import control_event
from broker.evidence.file import read_evidence, write_evidence
from broker.evidence.findings import Finding, State, Verdict
from broker.evidence.verify import verify
from broker.trust.crls import Crl
from broker.trust.keys import Identity
from broker.trust.signing import b64url, sign
from broker.trust.testimony import PinnedAnchor, Tribunal
from schemas.closing import Line, block_digest, digest_text
from schemas.event import digest_of, event_bytes, new_id, new_salt, schema_of, utc_text
from schemas.evidence import Account, BlockLine, ClosingEvidence, CrlEvidence, EventEvidence, Statement
from schemas.names import EventType, Party, house_of
from tests.unit.trust.certificates import NOW, Pair, crl, identity, leaf, root

POST, HOUSE = Party("tj", "panji-poyon"), house_of("af")
TJ, AF = root("authority of tj"), root("authority of af")
POST_PAIR, HOUSE_PAIR = leaf(TJ, POST.urn), leaf(AF, HOUSE.urn)
SENDER, RECEIVER = identity(POST_PAIR, urn=POST.urn), identity(HOUSE_PAIR, urn=HOUSE.urn)
TJ_CRL, AF_CRL = Crl.parse(crl(TJ, 14)), Crl.parse(crl(AF, 7))
EPOCH = "5a3f00c2d1e4b697"
SEQUENCE = 3
ASKED = NOW + timedelta(hours=6)
BOTH = (PinnedAnchor("tj", TJ.certificate), PinnedAnchor("af", AF.certificate))


def event(**changes: Any) -> bytes:
    """The exact bytes of an export declaration, with text in two scripts."""
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": new_id(),
        "source": POST.urn,
        "type": EventType.EXPORT_DECLARATION.value,
        "subject": "TJ/PNJ/2026/1",
        "time": utc_text(NOW),
        "datacontenttype": "application/json",
        "dataschema": schema_of(EventType.EXPORT_DECLARATION.value),
        "destination": HOUSE.urn,
        "environment": "test",
        "sequence": SEQUENCE,
        "epoch": EPOCH,
        "purpose": "customs-control",
        "legalbasis": "bilateral protocol",
        "salt": new_salt(),
        "data": {"registration_number": "1", "version": 2, "exporter_name": "ҶДММ «Пахтаи Вахш»", "consignee_name": "شرکت شیرخان"},
    }
    return event_bytes(attributes | changes)


def control(event_type: EventType, source: Party, destination: Party, data: dict[str, Any], at: datetime) -> bytes:
    """The exact bytes of a control event."""
    return control_event(
        event_type.value,
        source,
        destination,
        environment="test",
        purpose="exchange-control",
        legal_basis="bilateral protocol",
        subject="about it",
        data=data,
        now=at,
    )


@dataclass(frozen=True)
class Crossing:
    """One declaration's way, every statement by its own signer at its own time; a test replaces what it spoils."""

    raw: bytes = field(default_factory=event)
    sender: Identity = SENDER
    receiver: Identity = RECEIVER
    signed_at: datetime = NOW
    answered_at: datetime = NOW + timedelta(minutes=1)
    closed_at: datetime = NOW + timedelta(hours=1)
    exported_at: datetime = NOW + timedelta(hours=2)
    fate: str = "LOADED"

    @property
    def id(self) -> str:
        found: str = json.loads(self.raw)["id"]
        return found

    def said(self, raw: bytes, who: Identity, at: datetime, **more: Any) -> Statement:
        """A statement signed by itself."""
        return Statement(raw=raw, jws=sign([digest_of(raw)], who, at), **more)

    def receipt(self, **changes: Any) -> bytes:
        """The house's answer, among two others."""
        problems = {} if self.fate == "LOADED" else {"problems": [{"code": "rule-broken", "text": "it breaks a rule"}]}
        own = {"id": self.id, "digest": b64url(digest_of(self.raw)), "fate": self.fate} | problems | changes
        others = [{"id": new_id(), "digest": b64url(digest_of(bytes([number]))), "fate": "LOADED"} for number in range(2)]
        return control(EventType.RECEIPT, HOUSE, POST, {"answers": [others[0], own, others[1]]}, self.answered_at)

    def recovery_answer(self) -> bytes:
        """The house's answer to a post that was restored, which names the event among others."""
        receipt = json.loads(self.receipt())["data"]["answers"]
        place = {"type": EventType.EXPORT_DECLARATION.value, "epoch": EPOCH, "reference": "TJ/PNJ/2026/1"}
        entries = [answer | place | {"sequence": number} for number, answer in enumerate(receipt, SEQUENCE - 1)]
        said = {"request": new_id(), "entries": entries, "left": 0}
        return control(EventType.RECOVERY_ANSWER, HOUSE, POST, said, self.answered_at)

    def lines(self) -> list[Line]:
        """The block of five events, the third of which is ours."""
        return [
            Line(number, self.id if number == SEQUENCE else new_id(), digest_of(self.raw if number == SEQUENCE else bytes([number])))
            for number in range(1, 6)
        ]

    def manifest(self, lines: Sequence[Line]) -> bytes:
        block = {"first": lines[0].sequence, "last": lines[-1].sequence, "digest": digest_text(block_digest(lines))}
        stream = {"type": EventType.EXPORT_DECLARATION.value, "epoch": EPOCH, "last": lines[-1].sequence, "blocks": [block]}
        said = {"number": 17, "closed_at": utc_text(self.closed_at), "streams": [stream], "previous": b64url(digest_of(b"16"))}
        return control(EventType.MANIFEST, POST, HOUSE, said, self.closed_at)

    def answer(self, manifest: bytes, **changes: Any) -> bytes:
        said = {"number": 17, "manifest": b64url(digest_of(manifest)), "agreed": True, "backup_horizon_seconds": 86_400}
        return control(EventType.MANIFEST_ANSWER, HOUSE, POST, said | changes, self.closed_at)

    def closing(self, *, at_post: bool) -> ClosingEvidence:
        """The closing that covers it, as the exporter keeps it."""
        lines = self.lines()
        manifest = self.manifest(lines)
        received = self.closed_at + timedelta(seconds=2)
        return ClosingEvidence(
            manifest=self.said(manifest, self.sender, self.closed_at, **({} if at_post else {"received_at": received})),
            answer=self.said(self.answer(manifest), self.receiver, self.closed_at, **({"received_at": received} if at_post else {})),
            lines=tuple(BlockLine(sequence=line.sequence, id=line.id, digest=b64url(line.digest)) for line in lines),
        )

    def of_post(self) -> Account:
        """What the post hands over: its event signed at the export, the receipt as it came."""
        receipt = self.said(self.receipt(), self.receiver, self.answered_at, received_at=self.answered_at + timedelta(seconds=1))
        own = self.said(self.raw, self.sender, self.exported_at)
        return account(POST, EventEvidence(event=own, receipt=receipt, closing=self.closing(at_post=True)))

    def of_house(self) -> Account:
        """What the house hands over: the event in the bundle that it came in, its own answer signed at the export."""
        bundle = sign([digest_of(b"another"), digest_of(self.raw)], self.sender, self.signed_at)
        came = {"received_at": self.signed_at + timedelta(seconds=30), "crls": (b64url(TJ_CRL.digest),)}
        entry = EventEvidence(
            event=Statement(raw=self.raw, jws=bundle, **came),
            receipt=self.said(self.receipt(), self.receiver, self.exported_at),
            closing=self.closing(at_post=False),
        )
        return account(HOUSE, entry)

    def file(self, made: Account) -> bytes:
        """The file of an account, sealed by its exporter."""
        return write_evidence(made, self.sender if made.exporter == POST.urn else self.receiver, self.exported_at)


def account(exporter: Party, *entries: EventEvidence, crls: Sequence[tuple[str, Crl]] = (("tj", TJ_CRL), ("af", AF_CRL))) -> Account:
    """An account with the CRLs of both countries."""
    return Account(exporter=exporter.urn, environment="test", events=entries, crls=tuple(listed(*each) for each in crls))


def listed(country: str, held: Crl) -> CrlEvidence:
    """A CRL as a file has it."""
    return CrlEvidence(
        country=country, number=str(held.number), this_update=held.this_update_utc, next_update=held.next_update_utc, der=held.der
    )


def judged(raw: bytes, *crls: Crl, anchors: Sequence[PinnedAnchor] = BOTH, at: datetime = ASKED) -> Verdict:
    """What a file proves."""
    return verify(read_evidence(raw), Tribunal(anchors, crls), at)


def spoiled(made: Account, change: Callable[[EventEvidence], EventEvidence]) -> Account:
    """The account with another first entry, honestly sealed."""
    return made.model_copy(update={"events": (change(made.events[0]), *made.events[1:])})


def found(verdict: Verdict, what: str) -> list[Finding]:
    """The findings about one thing."""
    return [finding for finding in verdict.findings if finding.what == what]


def wrong(verdict: Verdict) -> list[str]:
    """What is not proven or does not hold: `what: code`."""
    return [f"{finding.what}: {finding.code}" for finding in verdict.findings if finding.state in (State.UNPROVEN, State.BROKEN)]


def revoking(authority: Pair, number: int, who: Pair, since: datetime, lost: datetime | None = None) -> Crl:
    """A newer CRL of this authority that revokes one of its units since then."""
    return Crl.parse(crl(authority, number, [who.certificate.serial_number], since=since, lost=lost))
