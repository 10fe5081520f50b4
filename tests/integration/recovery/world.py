"""A post and the customs house over the river, both our own code, on brokers in memory and moved by hand; and an outbox set back."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from broker.memory import MemoryExchange
from broker.outbox.second_copy import CopyPlace
from broker.outbox.store import Outbox
from broker.outbox.values import Acceptance, Draft
from broker.relay.relay import Relay
from broker.relay.tenure import LEASE_SECONDS
from broker.settings.model import ConsumerSettings, House, RelaySettings, Settings
from broker.trust.anchors import TrustStore
from broker.trust.authority import Authority, create_authority
from broker.trust.keys import Identity, Signer
from broker.trust.sealing import DecryptionKeys, Recipient
from consumers import migrations
from consumers.control import ControlWorker, expectations
from consumers.database import open_engine
from consumers.pipeline import Pipeline
from consumers.registry import load_consumer
from consumers.worker import Worker
from schemas.content import canonical_bytes
from schemas.names import STREAM_TYPES, EventType, Party, house_of
from tests.integration.consumers.frontier import crossing, declaration, subject_of
from tests.unit.outbox.drafts import HandClock
from tests.unit.producers.examples import settings_of

POST = Party("tj", "panji-poyon")
HOUSE = house_of("af")
EXPORT = EventType.EXPORT_DECLARATION.value
CROSSING = EventType.CROSSING_EVENT.value
PATIENCE = RelaySettings(window_events=1_000, beacon_seconds=10, resend_grace_seconds=30)
MANY_TURNS = 200


def draft_of(data: dict[str, Any], event_type: str = EXPORT) -> Draft:
    """What intake makes of a declaration that is released whole."""
    digest = hashlib.sha256(canonical_bytes(data)).digest()
    return Draft(HOUSE, event_type, subject_of(data), data.get("version", 1), digest, data, "customs-control", "protocol")


def export(number: int, **changes: Any) -> Draft:
    """An export declaration."""
    return draft_of(declaration(number, items=1, **changes))


def arrival(number: int) -> Draft:
    """A crossing event."""
    return draft_of(crossing(f"x{number}", "arrived", number), CROSSING)


class Authorities:
    """Keys and certificates: made once, they may serve many worlds."""

    def __init__(self, directory: Path) -> None:
        self.tajik = create_authority(directory / "tj", "tj")
        self.afghan = create_authority(directory / "af", "af")
        self.post = _identity(self.tajik, POST)
        self.house = _identity(self.afghan, HOUSE)
        pair = self.afghan.create_encryption(HOUSE)
        self.keys = DecryptionKeys.load(House(certificate=Path("-"), key=Path("-"), database="sqlite:///x", encryption=(pair,)))
        trust = TrustStore({"af": self.afghan.anchor}, {"af": self.afghan.crl.parent})
        self.recipient = Recipient.load(pair.certificate, HOUSE, trust, datetime.now(UTC))


def _identity(authority: Authority, party: Party) -> Identity:
    pair = authority.create_unit(party)
    return Identity.load(pair.key, pair.certificate)


class World:
    """One post and one house. Nothing moves but by `turn`, `post_turn`, `house_turn`."""

    def __init__(self, directory: Path, authorities: Authorities, house_url: str, *, sealed: bool = False) -> None:
        types = sorted(STREAM_TYPES)
        self._recipients = {HOUSE.urn: authorities.recipient} if sealed else {}
        self.directory = directory
        self.clock = HandClock(datetime.now(UTC) + timedelta(minutes=1))
        self.ours, self.theirs = MemoryExchange(), MemoryExchange()
        self.ours.federate(self.theirs)
        self.theirs.federate(self.ours)
        self.ours.declare(POST.unit, f"{POST.unit}.#")
        self.theirs.declare(f"{HOUSE.unit}.record", *(f"{HOUSE.unit}.{kind.replace('.', '-')}.*" for kind in types))
        self.theirs.declare(HOUSE.unit, *(f"{HOUSE.unit}.customs-{word}-v1.*" for word in ("beacon", "manifest", "recovery", "withdrawal")))
        self._authorities = authorities
        self._trust_here = TrustStore({"af": authorities.afghan.anchor}, {"af": authorities.afghan.crl.parent})
        self.settings: Settings = settings_of(directory).model_copy(update={"relay": PATIENCE})
        self.engine = self._make_house(house_url, types)
        self.outbox: Outbox
        self.relay: Relay
        self.open_post()

    def _make_house(self, url: str, types: Sequence[EventType]) -> Engine:
        engine = open_engine(url)
        migrations.make_ready(engine)
        trust = TrustStore({"tj": self._authorities.tajik.anchor}, {"tj": self._authorities.tajik.crl.parent})
        expected, stop, signer = expectations("af", ["tj"], "test"), threading.Event(), Signer(self._authorities.house)
        record = load_consumer(ConsumerSettings(queue="record", types=tuple(types), handler="consumers.loaders.record"))
        keys = self._authorities.keys
        pipeline = Pipeline(record, engine, trust, expected, stop, self.clock, keys=keys)
        self.worker = Worker(pipeline, HOUSE, "test", signer, {"tj": self.theirs.broker()})
        self.control = ControlWorker(
            engine=engine,
            trust=trust,
            expected=expected,
            signer=signer,
            brokers={"tj": self.theirs.broker()},
            stop=stop,
            clock=self.clock,
            keys=keys,
        )
        self.worker.open()
        self.control.open()
        return engine

    @property
    def file(self) -> Path:
        """The outbox's file."""
        return self.directory / "outbox.sqlite"

    def open_post(self, copy: Path | None = None) -> None:
        """Start the post's relay on the file that is there, with a second copy or without."""
        self.outbox = Outbox.open(f"sqlite:///{self.file}", POST, "test", self.clock, recipients=self._recipients)
        if copy is not None:
            self.outbox.copy_to(CopyPlace(copy), keeps=True)
        self.relay = Relay(
            self.settings, POST, self.outbox, self._authorities.post, self._trust_here, {"af": self.ours.broker()}, clock=self.clock
        )
        self.relay.open()

    def close_post(self) -> None:
        """End it, as kill -9 would but for the lease."""
        self.relay.close()
        self.outbox.close()

    def close(self) -> None:
        """End everything."""
        self.close_post()
        self.engine.dispose()

    def accept(self, *drafts: Draft) -> list[Acceptance]:
        """Accept."""
        return self.outbox.accept(drafts)

    def post_turn(self, seconds: float = 0.0) -> None:
        """Let the relay have a turn."""
        self.clock.turn(seconds)
        self.relay._recoveries.seen_at = 0.0  # time stands still here: look every turn
        self.relay.turn()

    def house_turn(self, *, streams: bool = True, control: bool = True) -> None:
        """Let the house do all that is there."""
        while streams and self.worker.turn():
            pass
        while control and self.control.turn():
            pass

    def turn(self, seconds: float = 0.0) -> None:
        """Let both have a turn."""
        self.post_turn(seconds)
        self.house_turn()

    def settle(self) -> None:
        """Turn until everything is settled and nothing is on its way."""
        for _ in range(MANY_TURNS):
            self.turn(11)
            if self.outbox.is_quiet() and not self.outbox.recovery().life.recovering:
                self.turn()
                return
        raise AssertionError(f"not settled after many turns: {self.outbox.counts()} {self.outbox.recovery()}")

    def copy_aside(self, place: Path) -> None:
        """Copy the outbox as a backup would: one consistent state of it."""
        with sqlite3.connect(self.file) as source, sqlite3.connect(place) as copy:
            source.backup(copy)
        source.close()
        copy.close()

    def put_back(self, place: Path) -> None:
        """Put a copy in the outbox's place and start the post on it."""
        self.close_post()
        self.lose()
        shutil.copy(place, self.file)
        self.clock.turn(LEASE_SECONDS)  # the copy says that it is being relayed
        self.open_post()

    def lose(self) -> None:
        """Remove the outbox's files."""
        for file in self.directory.glob("outbox.sqlite*"):
            file.unlink()

    def recover(self, **more: Any) -> None:
        """Recover, and let everything settle."""
        self.outbox.begin_recovery([HOUSE.urn], **more)
        self.settle()

    def rows(self, query: str) -> list[Any]:
        """Ask the house's database."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(query)))

    def loaded(self) -> list[tuple[str, int]]:
        """The names and versions that the house has loaded."""
        query = "SELECT reference, version FROM declaration UNION ALL SELECT reference, 1 FROM crossing_event"
        return sorted((row[0], row[1]) for row in self.rows(query))

    def taken_in(self) -> list[tuple[str, int]]:
        """The names and versions of all events in the inbox, as often as they are there."""
        return sorted((row[0], row[1]) for row in self.rows("SELECT reference, version FROM inbox"))

    def parked(self) -> list[str]:
        """The codes of what is parked."""
        return [row[0] for row in self.rows("SELECT code FROM parked ORDER BY code")]


@contextmanager
def world_at(directory: Path, authorities: Authorities, house_url: str | None = None, *, sealed: bool = False) -> Iterator[World]:
    """A world in a directory; closed at the end. `sealed`: everything is encrypted to the house."""
    world = World(directory, authorities, house_url or f"sqlite:///{directory}/house.sqlite", sealed=sealed)
    try:
        yield world
    finally:
        world.close()
