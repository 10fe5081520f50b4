"""The closings as `panj closings` reads and checks them, found through the entry points "panj.closings"; printing stands in `closings`.

A package contributes a function `ledgers(settings) -> Iterable[Ledger]`. What is checked needs nothing but the two sides' bytes and
signatures and the authorities that exchange.toml pins: no network, no other side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import entry_points

from pydantic import ValidationError

from broker.operations.contributions import database_exists
from broker.outbox.store import Outbox
from broker.settings.model import Settings
from broker.trust.signing import b64url
from broker.trust.testimony import PinnedAnchor, Tribunal
from schemas import strict_json
from schemas.content import validate
from schemas.control import Manifest, ManifestAnswer
from schemas.errors import ContentError, DistrustError
from schemas.event import Event, digest_of
from schemas.names import EventType, Party

GROUP = "panj.closings"


@dataclass(frozen=True, slots=True)
class Side:
    """What one side said: the event's exact bytes, its SHA-256 as it is kept beside them, and the signature."""

    raw: bytes = field(repr=False)
    digest: bytes
    jws: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Closing:
    """One closing as it is kept: `at_utc` when it was answered, last sent where it was not; blocks `compared` and `differing`."""

    number: int
    agreed: bool
    at_utc: datetime
    compared: int
    differing: int
    manifest: Side
    answer: Side | None


@dataclass(frozen=True, slots=True)
class Ledger:
    """The closings of one post with one house, as `keeper` (one of the two) keeps them, by number."""

    keeper: Party
    post: Party
    house: Party
    closings: Sequence[Closing]

    @property
    def partner(self) -> Party:
        """The other one."""
        return self.house if self.keeper == self.post else self.post


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that does not hold in a chain: at which closing, and what."""

    number: int
    what: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a chain holds: how many agreed closings it has, which numbers are missing in it, and what does not hold."""

    ledger: Ledger
    closings: int
    gaps: tuple[tuple[int, int], ...]
    faults: tuple[Fault, ...]

    @property
    def whole(self) -> bool:
        """Whether every closing from the first one on is there and holds."""
        return not self.gaps and not self.faults


def ledgers(settings: Settings) -> list[Ledger]:
    """Ask every contributor for the ledgers on this machine."""
    found: list[Ledger] = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        contribute: Callable[[Settings], Iterable[Ledger]] = point.load()
        found.extend(contribute(settings))
    return found


def ledgers_of_outboxes(settings: Settings) -> Iterator[Ledger]:
    """What the outboxes of this administration's posts that are on this machine keep."""
    for name, post in sorted(settings.posts.items()):
        if not database_exists(post.outbox):
            continue
        party = settings.post_party(name)
        outbox = Outbox.open(post.outbox, party, settings.environment)
        try:
            rows = outbox.closings.chain()
        finally:
            outbox.close()
        for destination in dict.fromkeys(row.destination for row in rows):
            closings = []
            for row in rows:
                if row.destination == destination:
                    answer = None if row.answer is None else Side(bytes(row.answer), bytes(row.answer_digest), row.answer_jws)
                    manifest = Side(bytes(row.manifest), bytes(row.manifest_digest), row.manifest_jws)
                    at_utc = row.answered_at_utc or row.sent_at_utc
                    closings.append(Closing(row.number, row.agreed, at_utc, row.compared, row.differing, manifest, answer))
            yield Ledger(party, party, Party.of_urn(destination), closings)


def court_of(settings: Settings) -> Tribunal:
    """Whom to believe: every authority that exchange.toml pins, and our own."""
    anchors = [PinnedAnchor.read(partner.anchor, country) for country, partner in sorted(settings.partners.items())]
    own = settings.home.anchor if settings.home else settings.broker.ca
    return Tribunal((*anchors, PinnedAnchor.read(own, settings.country)))


def examine(ledger: Ledger, court: Tribunal) -> Verdict:
    """Check a chain from its first closing on: digests, what both sides said, both signatures, numbers, and that each names the one before.

    Certificates are judged at the instant that the signature claims; what became of them since, `panj trust review` tells.
    """
    agreed = [closing for closing in ledger.closings if closing.agreed]
    faults: list[Fault] = []
    gaps: list[tuple[int, int]] = []
    before: Closing | None = None
    for closing in agreed:
        faults.extend(Fault(closing.number, what) for what in _faults_of(closing, before, ledger, court))
        expected = 1 if before is None else before.number + 1
        if closing.number > expected:
            gaps.append((expected, closing.number - 1))
        before = closing
    return Verdict(ledger, len(agreed), tuple(gaps), tuple(faults))


def _faults_of(closing: Closing, before: Closing | None, ledger: Ledger, court: Tribunal) -> Iterator[str]:
    if closing.answer is None:
        yield "it is marked as agreed, and there is no answer"
        return
    manifest = _read(closing.manifest, ledger.post, ledger.house, EventType.MANIFEST)
    answer = _read(closing.answer, ledger.house, ledger.post, EventType.MANIFEST_ANSWER)
    for side, said in (("manifest", manifest), ("answer", answer)):
        if isinstance(said, str):
            yield f"the {side} {said}"
    yield from _unsigned("manifest", closing.manifest, ledger.post, court)
    yield from _unsigned("answer", closing.answer, ledger.house, court)
    if isinstance(manifest, Manifest) and isinstance(answer, ManifestAnswer):
        yield from _misfits(closing, before, manifest, answer)


def _misfits(closing: Closing, before: Closing | None, manifest: Manifest, answer: ManifestAnswer) -> Iterator[str]:
    if {manifest.number, answer.number} != {closing.number}:
        yield f"it is kept as number {closing.number}; the manifest says {manifest.number}, the answer {answer.number}"
    if answer.manifest != b64url(digest_of(closing.manifest.raw)):
        yield "the answer is to another manifest"
    if not answer.agreed:
        yield "the answer does not agree"
    if before is None or before.number != closing.number - 1 or before.answer is None:
        if closing.number == 1 and manifest.previous is not None:
            yield "it is the first one, and names one before"
        return
    if manifest.previous != b64url(digest_of(before.answer.raw)):
        yield f"it does not name the answer to closing {before.number} as the one before"


def _read(side: Side, source: Party, destination: Party, event_type: EventType) -> Manifest | ManifestAnswer | str:
    """What a side said, or why it is not what it should be."""
    if digest_of(side.raw) != side.digest:
        return "was changed: its digest is another one"
    try:
        event = Event.model_validate(strict_json.parse(side.raw))
        said: Manifest | ManifestAnswer = validate(event.type, event.data)
    except (ContentError, ValidationError) as error:
        return f"cannot be read: {str(error).splitlines()[0]}"
    if (event.type, event.source, event.destination) != (event_type, source.urn, destination.urn):
        return f"is another one: {event.type} of {event.source} to {event.destination}"
    return said


def _unsigned(what: str, side: Side, signer: Party, court: Tribunal) -> Iterator[str]:
    try:
        testimony = court.judge(side.jws, digest_of(side.raw))
    except DistrustError as error:
        yield f"the {what}'s signature does not hold: {error.problems[0]}"
        return
    if testimony.urn != signer.urn:
        yield f"the {what} is signed by {testimony.urn}"
