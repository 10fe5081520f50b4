"""What a house answered, if its receipt answers for exactly the event that is meant."""

from __future__ import annotations

from collections.abc import Iterator

from broker.evidence.findings import Finding, State, told
from broker.evidence.voices import CONTRADICTS, UNPROVEN, Meant, Voice
from broker.trust.sealing import unseal_problems
from broker.trust.signing import b64url
from schemas.content import validate
from schemas.control import Answer, Receipt, RecoveryAnswer
from schemas.errors import ContentError
from schemas.event import Event
from schemas.fates import Fate
from schemas.names import EventType


def answered(receipt: Voice, meant: Meant, reply_key: bytes | None) -> Iterator[Finding]:
    """Say what was answered, or the first thing that does not fit. Nothing where the receipt's own findings say that it is no event.

    `reply_key`: under which the reasons are encrypted, where the event was, and its plaintext is there.
    """
    if receipt.event is None:
        return
    misfit = _misfit(receipt.event, meant)
    if misfit is not None:
        yield Finding(State.BROKEN, "receipt", misfit, code=CONTRADICTS)
        return
    try:
        said: Receipt | RecoveryAnswer = validate(receipt.event.type, receipt.event.data)
    except ContentError as error:
        yield Finding(State.BROKEN, "receipt", f"the receipt cannot be read: {error.problems[0]}", code=error.code)
        return
    answers = [answer for answer in (said.answers if isinstance(said, Receipt) else said.entries) if answer.id == meant.id]
    if [answer.digest for answer in answers] != [b64url(meant.digest)]:
        text = "the receipt names this id with another digest: of other bytes" if answers else "the receipt does not name this event"
        yield Finding(State.BROKEN, "receipt", text, code=CONTRADICTS)
        return
    yield _told(answers[0], receipt, meant, reply_key)


def _misfit(receipt: Event, meant: Meant) -> str | None:
    if receipt.type not in (EventType.RECEIPT, EventType.RECOVERY_ANSWER):  # a restored outbox is answered all at once, page by page
        return f"what should be a receipt is a {receipt.type}"
    if (receipt.destination, receipt.environment) != (meant.source, meant.environment):
        return f"the receipt is for {receipt.destination} in {receipt.environment}, not for {meant.source} in {meant.environment}"
    return None


def _told(answer: Answer, receipt: Voice, meant: Meant, reply_key: bytes | None) -> Finding:
    problems = unseal_problems(answer.sealed, reply_key) if answer.sealed and reply_key else answer.problems
    reasons = "its reasons are encrypted" if answer.sealed and not reply_key else "; ".join(str(problem) for problem in problems)
    why = f" ({reasons})" if reasons else ""
    words = {
        Fate.LOADED: "LOADED for exactly this event: it is in its records",
        Fate.REFUSED: f"REFUSED for exactly this event{why}",
        Fate.HELD: f"HELD for exactly this event{why}: it had taken it in, and not finished it",
    }[answer.fate]
    if receipt.testimony is not None and receipt.stands:
        at = receipt.testimony.signed_at_utc
        text = f"{meant.destination} answered {words}; by its own clock {told(at)}"
        return Finding(State.PROVEN, "receipt", text, by=meant.destination, at_utc=at)
    text = f"the receipt answers {words}; that {meant.destination} said so is not proven (see above)"
    return Finding(State.UNPROVEN, "receipt", text, code=UNPROVEN)
