"""What an evidence file proves to somebody who trusts certain authorities, and what it does not. Values in, findings out.

The order is that of trust: the exporter's seal first, then who else saw the event (receipt, closing), and with them the event itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from broker.evidence.closings import cover
from broker.evidence.file import ReadEvidence
from broker.evidence.findings import Finding, State, Subject, Verdict, told
from broker.evidence.receipts import answered
from broker.evidence.voices import CONTRADICTS, UNPROVEN, Meant, Sight, Voice, judge, listen, read_event
from broker.trust.crls import Crl
from broker.trust.signing import b64url, unb64url
from broker.trust.testimony import Testimony, Tribunal
from schemas.content import validate
from schemas.control import Withdrawal
from schemas.errors import ContentError, DistrustError, Problem
from schemas.event import Event, digest_of
from schemas.evidence import Account, CrlEvidence, EventEvidence, Statement
from schemas.names import STREAM_TYPES, Party
from schemas.sealed import SEALED_SCHEMA, plaintext_digest, read_plaintext, read_sealed


@dataclass(frozen=True, slots=True)
class _Case:
    """What every part is judged with. What the exporter says to have received when counts only where its seal stands."""

    account: Account
    court: Tribunal
    at_utc: datetime
    sealed: bool

    def listen(self, noun: str, statement: Statement, speaker: str, what: str, sights: Sequence[Sight] = ()) -> Voice:
        """Judge a statement, with what others and the exporter saw of it."""
        seen = [*sights, *self.seen(statement, speaker)]
        return listen(noun, statement, speaker, self.court, self.at_utc, seen, what)

    def seen(self, statement: Statement, by: str) -> list[Sight]:
        """That the exporter says when another's (`by`, URN) statement came to it."""
        exporter = self.account.exporter
        if not self.sealed or statement.received_at is None or exporter == by:
            return []
        return [Sight(statement.received_at, exporter, "its records say that it came at")]


def verify(evidence: ReadEvidence, trusted: Tribunal, at_utc: datetime) -> Verdict:
    """Examine a file with the authorities and CRLs that its reader brings; nothing in it may claim to be later than `at_utc`."""
    account = evidence.account
    lists = [_read_crl(entry) for entry in account.crls]
    every = {crl.digest: crl for crl in (*trusted.crls, *(crl for crl in lists if isinstance(crl, Crl)))}
    court = Tribunal(trusted.anchors, tuple(every.values()), trusted.tolerance)
    testimony, seal = judge("this account", evidence.seal, evidence.digest, account.exporter, court, at_utc, (), "seal")
    case = _Case(account, court, at_utc, all(finding.state is State.PROVEN for finding in seal))
    findings = list(seal)
    subjects: list[Subject] = []
    heard = [testimony]
    for entry in account.events:
        meant = _meant(entry)
        if isinstance(meant, Problem):
            findings.append(Finding(State.BROKEN, "event", f"an entry of the file cannot be read: {meant}", code=meant.code))
            continue
        subjects.append(_subject(meant))
        found, voices = _examine(entry, meant, case)
        findings.extend(replace(finding, event_id=meant.id) for finding in found)
        heard.extend(voice.testimony for voice in voices)
    findings.extend(_of_crls(account.crls, lists, court, [each for each in heard if each is not None]))
    return Verdict(account.exporter, tuple(subjects), tuple(findings))


def _meant(entry: EventEvidence) -> Meant | Problem:
    """Which event an entry is about, by the event itself or else by its withdrawal."""
    statement = entry.event or entry.withdrawal
    event = read_event(statement.raw) if statement else Problem(code=CONTRADICTS, text="an entry without an event")
    if isinstance(event, Problem):
        return event
    parties = (event.source, event.destination, event.environment)
    if entry.event is None:
        said = _withdrawal(event)
        if isinstance(said, Problem):
            return said
        digest = unb64url(said.digest) or b""
        return Meant(said.id, digest, said.type.value, said.epoch, said.sequence, said.reference, said.version, *parties)
    version = event.data.get("version")
    about = (event.subject, version if isinstance(version, int) else None)
    return Meant(event.id, digest_of(entry.event.raw), event.type, event.epoch or "", event.sequence or 0, *about, *parties)


def _withdrawal(event: Event) -> Withdrawal | Problem:
    try:
        said = validate(event.type, event.data)
    except ContentError as error:
        return error.problems[0]
    return said if isinstance(said, Withdrawal) else Problem(code=CONTRADICTS, text="it is no withdrawal", value=event.type)


def _subject(meant: Meant) -> Subject:
    names = (meant.type, meant.reference, meant.version, meant.source, meant.destination, meant.environment)
    return Subject(meant.id, b64url(meant.digest), *names)


def _examine(entry: EventEvidence, meant: Meant, case: _Case) -> tuple[list[Finding], list[Voice]]:
    """One event, and those who speak of it."""
    receipt, receipt_says = _of_receipt(entry, meant, case)
    closing, closing_says = _of_closing(entry, meant, case)
    sights: list[Sight] = []
    if receipt is not None and receipt_says[-1].state is State.PROVEN:
        sights += _sight(receipt, "it signed its receipt for it at")
    if closing and closing_says[-1].state is not State.BROKEN:
        sights += _sight(closing[-1], "it signed the closing that covers it at")
    event, event_says = _of_event(entry, meant, sights, case)
    withdrawal, withdrawal_says = _of_withdrawal(entry, meant, case)
    findings = [*_of_form(meant, case), *event_says, *withdrawal_says, *receipt_says, *closing_says]
    return findings, [voice for voice in (event, withdrawal, receipt, *closing) if voice is not None]


def _of_form(meant: Meant, case: _Case) -> Iterator[Finding]:
    """What every event of a stream is; told only where it is not."""
    houses = [Party.of_urn(meant.source).is_house, Party.of_urn(meant.destination).is_house]
    if meant.type not in STREAM_TYPES or houses != [False, True]:
        text = f"it is no declaration or crossing event of a post to a customs house: {meant.type} from {meant.source}"
        yield Finding(State.BROKEN, "event", text, code="bundle-may-not-say")
    if meant.environment != case.account.environment:
        text = f"the event is of environment {meant.environment}, the file of {case.account.environment}"
        yield Finding(State.BROKEN, "event", text, code=CONTRADICTS)
    if case.account.exporter not in (meant.source, meant.destination):
        text = f"the file is {case.account.exporter}'s, which neither sent nor received the event"
        yield Finding(State.BROKEN, "event", text, code=CONTRADICTS)


def _of_event(entry: EventEvidence, meant: Meant, sights: list[Sight], case: _Case) -> tuple[Voice | None, list[Finding]]:
    """The event itself: who signed it, when it came, and since when it was there."""
    if entry.event is None:
        return None, [Finding(State.ABSENT, "event", "the event's own bytes are not in the file: its withdrawal came in its stead")]
    sights = sorted([*sights, *case.seen(entry.event, meant.source)])
    voice = case.listen("these bytes", entry.event, meant.source, "signature", sights)
    findings = [*voice.findings, *_of_coming(entry.event, meant.source, case), _age(voice, sights)]
    return voice, [*findings, *(_of_plaintext(entry.plaintext, voice.event) if voice.event else ())]


def _of_coming(statement: Statement, source: str, case: _Case) -> Iterator[Finding]:
    """The receiver's own records of when it came, and of the CRLs that stood then."""
    exporter, at = case.account.exporter, statement.received_at
    if at is None or exporter == source:
        return
    by_digest = {b64url(crl.digest): crl for crl in case.court.crls}
    unknown = [digest for digest in statement.crls if digest not in by_digest]
    if unknown:
        yield Finding(State.BROKEN, "coming", f"a CRL that is said to have stood then is not in the file: {unknown[0]}", code=CONTRADICTS)
        return
    stood = " and ".join(f"CRL {by_digest[digest].number} of {by_digest[digest].issuer}" for digest in statement.crls)
    text = f"{exporter} says that it came at {told(at)}" + (f", and that it was checked then against {stood}" if stood else "")
    if case.sealed:
        yield Finding(State.PROVEN, "coming", text, by=exporter, at_utc=at)
    else:
        yield Finding(State.UNPROVEN, "coming", f"{text}; that it says so is not proven (see its seal)", at_utc=at, code=UNPROVEN)


def _age(voice: Voice, sights: Sequence[Sight]) -> Finding:
    """Since when these bytes are known to have been there, by somebody else's word."""
    since = f" from {told(voice.testimony.not_before_utc)} on" if voice.testimony else ""
    thief = f"the time is the sender's own word: who had its key could have claimed any instant{since}"
    if sights:
        first = sights[0]
        text = f"these bytes were there by {told(first.at_utc)}, as {first.by} shows: {first.how} {told(first.at_utc)}; before that {thief}"
        return Finding(State.PROVEN, "age", text, by=first.by, at_utc=first.at_utc)
    return Finding(State.ABSENT, "age", f"nobody but the sender says when these bytes were there; {thief}")


def _of_plaintext(plaintext: bytes | None, event: Event) -> Iterator[Finding]:
    """Whether what was decrypted is what was signed."""
    if event.dataschema != SEALED_SCHEMA:
        if plaintext is not None:
            yield Finding(State.BROKEN, "plaintext", "the event is not encrypted, and the file has a plaintext of it", code=CONTRADICTS)
        return
    if plaintext is None:
        yield Finding(State.ABSENT, "plaintext", "the declaration is encrypted, and its plaintext is not in the file")
        return
    try:
        signed = read_sealed(event.data).digest
        read_plaintext(plaintext)
    except ContentError as error:
        yield Finding(State.BROKEN, "plaintext", f"the plaintext cannot be read: {error.problems[0]}", code=error.code)
        return
    if b64url(plaintext_digest(event.salt, plaintext)) != signed:
        yield Finding(
            State.BROKEN, "plaintext", "the plaintext in the file is not the one whose digest the sender signed", code=CONTRADICTS
        )
        return
    yield Finding(State.PROVEN, "plaintext", "the declaration is encrypted; the plaintext in the file is the one that the sender signed")


def _of_withdrawal(entry: EventEvidence, meant: Meant, case: _Case) -> tuple[Voice | None, list[Finding]]:
    """The sender's tombstone for exactly this event."""
    if entry.withdrawal is None:
        return None, []
    voice = case.listen("the withdrawal", entry.withdrawal, meant.source, "withdrawal signature")
    said = _withdrawal(voice.event) if voice.event else Problem(code=CONTRADICTS, text="it is no event")
    if isinstance(said, Problem):
        return voice, [*voice.findings, Finding(State.BROKEN, "withdrawal", f"the withdrawal cannot be read: {said}", code=said.code)]
    named = (said.id, unb64url(said.digest), said.type, said.epoch, said.sequence)
    route = (voice.event.destination, voice.event.environment) if voice.event else ()
    if named != (meant.id, meant.digest, meant.type, meant.epoch, meant.sequence) or route != (meant.destination, meant.environment):
        return voice, [*voice.findings, Finding(State.BROKEN, "withdrawal", "the withdrawal is of another event", code=CONTRADICTS)]
    text = f"{meant.source} took exactly this event back: {said.reason}. Whether in time, the receipt says"
    if voice.stands:
        return voice, [*voice.findings, Finding(State.PROVEN, "withdrawal", text, by=meant.source)]
    return voice, [*voice.findings, Finding(State.UNPROVEN, "withdrawal", f"{text}. It is not proven (see above)", code=UNPROVEN)]


def _of_receipt(entry: EventEvidence, meant: Meant, case: _Case) -> tuple[Voice | None, list[Finding]]:
    """The receipt; the last finding says what the house answered, if it answered for exactly this event."""
    if entry.receipt is None:
        text = f"no receipt of {meant.destination} is in the file: nothing shows what it made of the event"
        return None, [Finding(State.ABSENT, "receipt", text)]
    voice = case.listen("the receipt", entry.receipt, meant.destination, "receipt signature")
    return voice, [*voice.findings, *answered(voice, meant, _reply_key(entry.plaintext))]


def _reply_key(plaintext: bytes | None) -> bytes | None:
    try:
        return unb64url(read_plaintext(plaintext)[1]) if plaintext else None
    except ContentError:  # told by `_of_plaintext`
        return None


def _of_closing(entry: EventEvidence, meant: Meant, case: _Case) -> tuple[tuple[Voice, ...], list[Finding]]:
    """The manifest and its answer; the last finding says whether the closing covers exactly this event."""
    closing = entry.closing
    if closing is None:
        return (), [Finding(State.ABSENT, "closing", "no closing that covers this event is in the file")]
    answer = case.listen("the answer to the manifest", closing.answer, meant.destination, "closing signature")
    to_it = answer.event is not None and answer.event.data.get("manifest") == b64url(digest_of(closing.manifest.raw))
    sights = _sight(answer, "it signed its answer to it at") if to_it else []
    manifest = case.listen("the manifest", closing.manifest, meant.source, "closing signature", sights)
    return (manifest, answer), [*manifest.findings, *answer.findings, cover(meant, manifest, answer, closing.lines)]


def _sight(voice: Voice, how: str) -> list[Sight]:
    """What a statement that stands is a sight of: what it speaks of was there when it was signed."""
    if voice.testimony is None or not voice.stands:
        return []
    return [Sight(voice.testimony.signed_at_utc, voice.testimony.urn, how)]


def _read_crl(entry: CrlEvidence) -> Crl | Problem:
    try:
        crl = Crl.parse(entry.der)
    except DistrustError as error:
        return error.problems[0]
    stated = (entry.number, entry.this_update, entry.next_update, entry.der)
    if (str(crl.number), crl.this_update_utc, crl.next_update_utc, crl.der) != stated:
        return Problem(code=CONTRADICTS, text="its number or its instants are not those that the file says", value=entry.number)
    return crl


def _of_crls(
    entries: Sequence[CrlEvidence], lists: Sequence[Crl | Problem], court: Tribunal, heard: Sequence[Testimony]
) -> Iterator[Finding]:
    """Each CRL of the file: whether it is one, and its authority's."""
    for entry, crl in zip(entries, lists, strict=True):
        name = f"CRL {entry.number} of {entry.country}"
        authorities = [issuer for testimony in heard if testimony.country == entry.country for issuer in testimony.issuers]
        if isinstance(crl, Problem):
            yield Finding(State.BROKEN, "crl", f"{name}: {crl}", code=crl.code)
        elif not court.speaks_for(entry.country):
            text = f"{name}: whose it is is not proven: no authority of {entry.country} was given (--trust)"
            yield Finding(State.UNPROVEN, "crl", text, code="trust-country-unknown")
        elif not court.issued(crl, entry.country, authorities):
            yield Finding(State.BROKEN, "crl", f"{name} is not signed by an authority of {entry.country}", code="crl-invalid")
        else:
            text = f"{name} is its authority's, of {told(crl.this_update_utc)}, good until {told(crl.next_update_utc)}"
            yield Finding(State.PROVEN, "crl", text, at_utc=crl.this_update_utc)
