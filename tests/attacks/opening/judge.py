"""Whether a door did right: what got in that should not have, what crashed. And gullible doors, to show that the judge sees it.

The rule: nothing is believed whose exact bytes differ from what its own unit signed, for this receiver and this environment.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from broker.ports import Message
from schemas.errors import DistrustError
from schemas.event import digest_of
from tests.attacks.opening.corpus import SURPRISES, Believed, Corpus, Door, Opened
from tests.unit.bundle.senders import THEIR_HOUSE


class Rule(Enum):
    """What a door may believe of a message."""

    AS_SIGNED = "nothing but what its own unit signed, in the company in which it signed it"
    NOTHING = "nothing at all"
    SIGNED_BY_ITSELF = "what its own unit signed, in any company"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one try; `code` is that of the refusal, or `opened`."""

    code: str
    got_in: str = ""
    crashed: str = ""


def judge(message: Message, name: str, doors: Mapping[str, Door], corpus: Corpus, rule: Rule) -> Verdict:
    """Bring a message to a door, and judge what it did."""
    door = doors[name]
    try:
        opened = door.open(message)
    except DistrustError as error:
        return Verdict(error.code)
    except BaseException as error:  # a panic of a library in Rust is no Exception; whatever it is, it would end a daemon's worker
        if isinstance(error, KeyboardInterrupt):
            raise
        return Verdict("crashed", crashed=f"{type(error).__name__}: {error}"[:300])
    surprise = next((code for code in opened.codes if code in SURPRISES), None)
    if surprise:
        return Verdict("crashed", crashed=f"the opening code met what it does not know ({surprise})")
    if not opened.believed:
        return Verdict(opened.codes[0] if opened.codes else "nothing")
    return Verdict("opened", got_in=_wrong(opened, door, corpus, rule))


def _wrong(opened: Opened, door: Door, corpus: Corpus, rule: Rule) -> str:
    if rule is Rule.NOTHING:
        return f"believed {len(opened.believed)} that should have been refused"
    for each in opened.believed:
        wrong = _wrong_answer(each, corpus) if each.told else _wrong_event(each, door, corpus)
        if wrong:
            return wrong
    company = tuple(each.digest for each in opened.believed)
    if rule is Rule.AS_SIGNED and not opened.believed[0].told and company not in corpus.bundles:
        return "believed events in a company in which nobody signed them"
    return ""


def _wrong_event(each: Believed, door: Door, corpus: Corpus) -> str:
    said = corpus.register.get(each.digest)
    if said is None:
        return "believed bytes that nobody signed"
    if said.source != each.signatory:
        return f"believed {each.signatory} about what {said.source} signed"
    if (said.destination, said.environment) != (door.expected.receiver.urn, door.expected.environment):
        return f"believed what was said to {said.destination} in {said.environment}"
    return ""


def _wrong_answer(each: Believed, corpus: Corpus) -> str:
    if each.told not in corpus.answers:
        return f"believed an answer that the house never gave: {each.told}"
    if each.signatory != THEIR_HOUSE.urn:
        return f"believed an answer of {each.signatory}"
    return ""


def gullible(real: Mapping[str, Door]) -> dict[str, Door]:
    """Doors with the defence taken away: they believe whatever they can read. Through them the judge must see something get in."""
    return {name: Door(door.expected, _believe_answers if name == "mailbox" else _believe_events) for name, door in real.items()}


def _believe_events(message: Message) -> Opened:
    source = str(message.headers.get("source", ""))
    return Opened(tuple(Believed(digest_of(raw), source) for raw in _lines(message)), ())


def _believe_answers(message: Message) -> Opened:
    source = str(message.headers.get("source", ""))
    told = []
    for raw in _lines(message):
        try:
            data = json.loads(raw)["data"]
            told += [f"{each['id']} {each['digest']} {each['fate']}" for each in data.get("answers", ())]
            told += [f"mark {data['mark']}"] if "mark" in data else []
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return Opened(tuple(Believed(b"", source, each) for each in told), ())


def _lines(message: Message) -> list[bytes]:
    body = message.body
    if message.content_encoding == "gzip":
        try:
            body = zlib.decompressobj(-15).decompress(body[10:], 1 << 22)  # without gzip's own checks
        except zlib.error:
            return []
    return [line for line in body[2:-2].split(b",\n") if line]


def raising(real: Mapping[str, Door]) -> dict[str, Door]:
    """Doors that fail as no door should: through them the judge must see a crash."""

    def fail(_: Message) -> Opened:
        raise ZeroDivisionError("a defect")

    return {name: Door(door.expected, fail) for name, door in real.items()}
