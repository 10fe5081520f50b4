"""One statement of an evidence file, judged: who said it, whether the certificate stood, and whether it could have been made up later.

A signature's own time is its maker's word. A certificate that was revoked since proves only what somebody else saw before that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from pydantic import ValidationError

from broker.evidence.findings import Finding, State, told
from broker.trust.crls import Crl, Revocation
from broker.trust.testimony import Testimony, Tribunal
from schemas import strict_json
from schemas.content import problems_of
from schemas.errors import ContentError, DistrustError, Problem
from schemas.event import Event, digest_of
from schemas.evidence import Statement
from schemas.names import Party

CONTRADICTS = "evidence-contradicts"
UNPROVEN = "evidence-unproven"


class Meant(NamedTuple):
    """Which event is meant: all by which others name it. Read from the event itself, or from its withdrawal."""

    id: str
    digest: bytes
    type: str
    epoch: str
    sequence: int
    reference: str
    version: int | None
    source: str
    destination: str
    environment: str


class Sight(NamedTuple):
    """Somebody else (`by`, URN) says that it was there at that instant; `how` in words."""

    at_utc: datetime
    by: str
    how: str


@dataclass(frozen=True, slots=True)
class Voice:
    """A statement and its findings. `event` is None where the bytes are none, `testimony` where nobody is known to have signed them."""

    noun: str
    digest: bytes = field(repr=False)
    event: Event | None
    testimony: Testimony | None
    findings: tuple[Finding, ...]

    @property
    def stands(self) -> bool:
        """Whether it is proven that the one who should have said it did so, and that no revocation leaves it in doubt."""
        return bool(self.findings) and all(finding.state is State.PROVEN for finding in self.findings)

    @property
    def refuted(self) -> bool:
        """Whether anything of it does not hold."""
        return any(finding.state is State.BROKEN for finding in self.findings)


def listen(
    noun: str, statement: Statement, speaker: str, court: Tribunal, at_utc: datetime, sights: Iterable[Sight] = (), what: str = "signature"
) -> Voice:
    """Judge a statement that `speaker` (URN) should have signed, as it is known at an instant; `sights` are by others."""
    digest = digest_of(statement.raw)
    event = read_event(statement.raw)
    if isinstance(event, Problem):
        return Voice(noun, digest, None, None, (Finding(State.BROKEN, what, f"{noun}: no event: {event}", code=event.code),))
    if event.source != speaker:
        text = f"{noun} is in the name of {event.source}, not of {speaker}"
        return Voice(noun, digest, event, None, (Finding(State.BROKEN, what, text, code=CONTRADICTS),))
    testimony, findings = judge(noun, statement.jws, digest, speaker, court, at_utc, sights, what)
    return Voice(noun, digest, event, testimony, findings)


def read_event(raw: bytes) -> Event | Problem:
    """The event that these bytes are, or why they are none."""
    try:
        return Event.model_validate(strict_json.parse(raw))
    except ContentError as error:
        return error.problems[0]
    except ValidationError as error:
        return problems_of(error)[0]


def judge(
    noun: str, jws: str, digest: bytes, speaker: str, court: Tribunal, at_utc: datetime, sights: Iterable[Sight], what: str
) -> tuple[Testimony | None, tuple[Finding, ...]]:
    """Judge a signature over a digest that `speaker` should have made."""
    country = Party.of_urn(speaker).country
    if not court.speaks_for(country):
        text = f"{noun} is signed in the name of {speaker}; by whom is not proven: no authority of {country} was given (--trust)"
        return None, (Finding(State.UNPROVEN, what, text, code="trust-country-unknown"),)
    try:
        testimony = court.judge(jws, digest)
    except DistrustError as error:
        return None, (Finding(State.BROKEN, what, f"{noun}: {error.problems[0]}", code=error.code),)
    signed_at = testimony.signed_at_utc
    if testimony.urn != speaker:
        text = f"{noun} is in the name of {speaker}, and {testimony.urn} signed it"
        return None, (Finding(State.BROKEN, what, text, code="bundle-source-foreign"),)
    if signed_at > at_utc + court.tolerance:
        text = f"{noun} claims to be signed at {told(signed_at)}, after {told(at_utc)}, as of which this is asked"
        return None, (Finding(State.BROKEN, what, text, by=speaker, at_utc=signed_at, code=CONTRADICTS),)
    doubt = _doubt(noun, testimony, sorted(sights))
    standing = "" if doubt else f", not revoked on {_named(testimony.crls)}"
    text = (
        f"{speaker} signed {noun}, by its own clock {told(signed_at)}; its certificate {testimony.fingerprint[:16]}… was issued by "
        f"{testimony.issuer}, valid {told(testimony.not_before_utc)} to {told(testimony.not_after_utc)}{standing}"
    )
    signature = Finding(State.PROVEN, what, text, by=speaker, at_utc=signed_at)
    return testimony, (signature, doubt) if doubt else (signature,)


def _doubt(noun: str, testimony: Testimony, sights: Sequence[Sight]) -> Finding | None:
    """What CRLs leave to be said of the certificates; None where they stand on none, and no list is missing or had run out."""
    if testimony.revocation is not None:
        return _revoked(noun, testimony, testimony.revocation, sights)
    if testimony.unlisted:
        missing = " and ".join(testimony.unlisted)
        text = f"whether the certificate that signed {noun} was revoked is not proven: no CRL of {missing} is in the file or given (--crl)"
        return Finding(State.UNPROVEN, "revocation", text, code=UNPROVEN)
    old = [crl for crl in testimony.crls if crl.next_update_utc < testimony.signed_at_utc]
    if old:
        text = (
            f"whether the certificate that signed {noun} was revoked then is not proven: {_named(old)} had run out (--crl for a later one)"
        )
        return Finding(State.UNPROVEN, "revocation", text, code=UNPROVEN)
    return None


def _revoked(noun: str, testimony: Testimony, revocation: Revocation, sights: Sequence[Sight]) -> Finding:
    since = revocation.since_utc
    revoked = f"a certificate that signed {noun} is revoked since {told(since)} (serial {revocation.serial}, CRL {revocation.crl.number})"
    signed_at = testimony.signed_at_utc
    if signed_at >= since:
        text = f"{revoked}, and signed at {told(signed_at)}, after that"
        return Finding(State.BROKEN, "revocation", text, at_utc=since, code="trust-revoked")
    before = [sight for sight in sights if sight.at_utc < since]
    if before:
        text = f"{revoked}; that it was there before, {before[0].by} shows: {before[0].how} {told(before[0].at_utc)}"
        return Finding(State.PROVEN, "revocation", text, by=before[0].by, at_utc=before[0].at_utc)
    text = f"{revoked}; it claims to be from before, and nobody else shows that: whoever had the key could have made it up later"
    return Finding(State.UNPROVEN, "revocation", text, at_utc=since, code="trust-revoked")


def _named(crls: Iterable[Crl]) -> str:
    return " and ".join(f"CRL {crl.number} of {told(crl.this_update_utc)}" for crl in crls)
