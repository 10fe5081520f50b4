"""A post's relay and the customs house over the river, on brokers in memory with a line between them that can be cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from broker.bundle.lines import expand, split
from broker.bundle.open import Expected, OpenEvent, open_message
from broker.bundle.pack import Route, control_event, pack
from broker.memory import MemoryExchange
from broker.outbox.store import Outbox
from broker.ports import Message
from broker.relay.relay import Relay
from broker.settings.model import RelaySettings, Settings
from broker.trust.anchors import TrustStore
from broker.trust.authority import Authority, create_authority
from broker.trust.keys import Identity
from broker.trust.signing import b64url, unb64url
from schemas.closing import Line, compare, tell
from schemas.control import Beacon, Manifest, ManifestAnswer, Withdrawal
from schemas.errors import Problem
from schemas.event import digest_of
from schemas.fates import Fate
from schemas.names import EventType, Party
from tests.unit.outbox.drafts import HOUSE, POST, HandClock
from tests.unit.producers.examples import settings_of

PROBLEM = Problem(code="rule-broken", text="it breaks a rule")
RELAY = RelaySettings(window_events=1_000, beacon_seconds=10, resend_grace_seconds=30)


@dataclass
class House:
    """The customs house `HOUSE`: takes bundles and beacons from its broker, and answers as a test tells it to."""

    exchange: MemoryExchange
    identity: Identity
    trust: TrustStore
    clock: HandClock
    answers: bool = True
    returns_beacons: bool = True
    fate: Fate = Fate.LOADED
    seen: Counter[str] = field(default_factory=Counter)
    bundles: list[tuple[str, int]] = field(default_factory=list)
    withdrawal_fate: Fate = Fate.REFUSED
    withdrawn: dict[str, str] = field(default_factory=dict)
    tombstone_bundles: list[int] = field(default_factory=list)
    held: dict[tuple[str, str], list[Line]] = field(default_factory=dict)
    closes: bool = True
    horizon_seconds: int = 30 * 86_400
    manifests: list[Manifest] = field(default_factory=list)
    last: tuple[int, str | None] = (0, None)

    def __post_init__(self) -> None:
        self._broker = self.exchange.broker()
        self._streams = self._broker.subscribe("af-customs.record", 1_000)
        self._control = self._broker.subscribe("af-customs", 1_000)

    def work(self) -> None:
        """Take all that is there."""
        for delivery in self._streams.take(1_000, 0):
            bundle = open_message(delivery.message, self.trust, Expected("tj", HOUSE, "test"), self.clock())
            self.bundles.append((bundle.route.type, len(bundle.events)))
            self.seen.update(event.event.id for event in bundle.events)
            self.hold(bundle.events)
            if self.answers:
                self.answer(bundle.events)
            self._streams.ack([delivery])
        for delivery in self._control.take(1_000, 0):
            bundle = open_message(delivery.message, self.trust, Expected("tj", HOUSE, "test"), self.clock())
            if bundle.route.type == EventType.WITHDRAWAL:
                self._take_withdrawals([Withdrawal.model_validate(opened.event.data) for opened in bundle.events])
            for opened in bundle.events:
                if opened.event.type == EventType.MANIFEST and self.closes:
                    self.close(opened)
                if opened.event.type != EventType.BEACON or not self.returns_beacons:
                    continue
                beacon = Beacon.model_validate(opened.event.data)
                data = {"mark": beacon.mark, "sent_at": opened.event.data["sent_at"], "returned_at": opened.event.data["sent_at"]}
                highest = max((line.sequence for name, lines in self.held.items() if name[1] == beacon.epoch for line in lines), default=0)
                self.say(EventType.BEACON, data | {"epoch": beacon.epoch, "highest": highest})
            self._control.ack([delivery])

    def _take_withdrawals(self, said: Sequence[Withdrawal]) -> None:
        self.tombstone_bundles.append(len(said))
        self.withdrawn.update((one.id, one.digest) for one in said)
        for one in said:
            self._keep_line(one.type.value, one.epoch, Line(one.sequence, one.id, unb64url(one.digest) or b""))
        if self.answers:
            fate = self.withdrawal_fate
            problems = [] if fate is Fate.LOADED else [{"code": "withdrawn", "text": "withdrawn by its sender"}]
            answers = [{"id": one.id, "digest": one.digest, "fate": fate.value, "problems": problems} for one in said]
            self.say(EventType.RECEIPT, {"answers": answers})

    @property
    def tombstones(self) -> int:
        """How many withdrawals came."""
        return sum(self.tombstone_bundles)

    def hold(self, events: Sequence[OpenEvent]) -> None:
        """Keep the lines of these events, as an inbox does."""
        for one in events:
            self._keep_line(one.event.type, one.event.epoch or "", Line(one.event.sequence or 0, one.event.id, one.digest))

    def _keep_line(self, event_type: str, epoch: str, line: Line) -> None:
        lines = self.held.setdefault((event_type, epoch), [])
        lines[:] = sorted({*lines, line})

    def forget(self, above: int) -> None:
        """Be restored from a backup that knew sequences up to `above`."""
        for lines in self.held.values():
            lines[:] = [line for line in lines if line.sequence <= above]

    def close(self, opened: OpenEvent) -> None:
        """Answer a manifest by comparing it with what is held."""
        manifest = Manifest.model_validate(opened.event.data)
        self.manifests.append(manifest)
        overtaken = manifest.number <= self.last[0]
        streams = () if overtaken else manifest.streams
        told = tell(each for stream in streams for each in compare(stream, self.held.get((stream.type.value, stream.epoch), ()), {}))
        answer = ManifestAnswer(
            number=manifest.number,
            manifest=b64url(opened.digest),
            agreed=not told.differences and not overtaken,
            differences=told.differences,
            untold=told.untold,
            backup_horizon_seconds=self.horizon_seconds,
            last_number=self.last[0],
            last_digest=self.last[1],
        )
        digest = self.say(EventType.MANIFEST_ANSWER, answer.model_dump(mode="json", exclude_none=True))
        if answer.agreed:
            self.last = (manifest.number, b64url(digest))

    def answer(self, events: Sequence[OpenEvent], fate: Fate | None = None) -> None:
        """Send a receipt of these events."""
        fate = fate or self.fate
        problems = [] if fate is Fate.LOADED else [PROBLEM.model_dump(exclude_none=True)]
        self.say(
            EventType.RECEIPT,
            {"answers": [{"id": one.event.id, "digest": b64url(one.digest), "fate": fate.value, "problems": problems} for one in events]},
        )

    def say(self, event_type: EventType, data: Mapping[str, Any]) -> bytes:
        """Send a control event to the post; its digest."""
        message = control_message(event_type, data, HOUSE, self.identity, self.clock())
        self._broker.publish([message])
        return digest_of(split(expand(message.body, message.content_encoding))[0])


def control_message(event_type: EventType, data: Mapping[str, Any], source: Party, identity: Identity, now: datetime) -> Message:
    """A signed control event from `source` to the post."""
    raw = control_event(
        event_type.value,
        source,
        POST,
        environment="test",
        purpose="exchange-control",
        legal_basis="bilateral protocol",
        subject="a control event",
        data=data,
        now=now,
    )
    return pack(Route(source, POST, event_type.value), [raw], [digest_of(raw)], identity, now)


class Frontier:
    """Everything that stands between the post's outbox and the house, and the relay under test."""

    def __init__(self, directory: Path, url: str) -> None:
        self.url = url
        self.clock = HandClock(datetime.now(UTC) + timedelta(minutes=1))
        self.ours, self.theirs = MemoryExchange(), MemoryExchange()
        self.ours.federate(self.theirs)
        self.theirs.federate(self.ours)
        self.ours.declare(POST.unit, f"{POST.unit}.#")
        self.theirs.declare("af-customs.record", "af-customs.customs-export-declaration-v1.*")
        for word in ("beacon", "withdrawal", "manifest"):
            self.theirs.declare("af-customs", f"af-customs.customs-{word}-v1.*")
        self.tajik = create_authority(directory / "tj", "tj")
        self.afghan = create_authority(directory / "af", "af")
        self.identity = identity_of(self.tajik, POST)
        self.trust = TrustStore({"af": self.afghan.anchor}, {"af": self.afghan.crl.parent})
        their_trust = TrustStore({"tj": self.tajik.anchor}, {"tj": self.tajik.crl.parent})
        self.house = House(self.theirs, identity_of(self.afghan, HOUSE), their_trust, self.clock)
        self.settings = settings_of(directory).model_copy(update={"relay": RELAY})
        self.outbox = Outbox.open(url, POST, "test", self.clock)
        self.relay = self.new_relay()

    def new_relay(self, settings: Settings | None = None, **changes: Any) -> Relay:
        """A relay that knows nothing, as after a start; `changes` are to its settings."""
        chosen = (settings or self.settings).model_copy(update={"relay": RELAY.model_copy(update=changes)})
        return Relay(chosen, POST, self.outbox, self.identity, self.trust, {"af": self.ours.broker()}, clock=self.clock)

    def turns(self, count: int = 4, seconds: float = 0.0) -> None:
        """Let the relay and the house have so many turns, the clock turned on before each."""
        for _ in range(count):
            self.clock.turn(seconds)
            self.relay.turn()
            self.house.work()

    def restart(self, **changes: Any) -> None:
        """Abandon the relay as kill -9 would (its lease is released for it), and begin a new one on the same outbox."""
        self.relay.close()
        self.outbox.close()
        self.outbox = Outbox.open(self.url, POST, "test", self.clock)
        self.relay = self.new_relay(**changes)
        self.relay.open()


def identity_of(authority: Authority, party: Party) -> Identity:
    """A unit's identity, from its own authority."""
    pair = authority.create_unit(party)
    return Identity.load(pair.key, pair.certificate)


@contextmanager
def frontier_at(directory: Path, url: str) -> Iterator[Frontier]:
    """A frontier with its relay open; closed at the end."""
    frontier = Frontier(directory, url)
    frontier.relay.open()
    try:
        yield frontier
    finally:
        frontier.relay.close()
        frontier.outbox.close()


def with_header(message: Message, **headers: str | int) -> Message:
    """The message with other headers."""
    return replace(message, headers={**message.headers, **headers})
