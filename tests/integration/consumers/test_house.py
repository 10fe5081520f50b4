"""The customs house's daemon as it is run, on a real broker with mutual TLS: our own posts send to our own house."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from broker.amqp import RabbitLane, connect
from broker.bundle.open import Expected, open_message
from broker.bundle.pack import Route, control_event, pack
from broker.ports import Message, Published
from broker.settings.model import Settings
from broker.topology.apply import apply_topology
from broker.trust.anchors import TrustStore
from broker.trust.keys import Identity
from consumers.database import open_engine
from deploy.lab.administrations import AFGHAN, TAJIK, Administration, Timing
from deploy.lab.processes import Daemon
from deploy.lab.rabbitmq import RabbitNode, TlsFiles
from schemas.control import Beacon, Receipt
from schemas.event import digest_of, utc_text
from schemas.names import EventType, Party, house_of
from tests.integration.consumers.frontier import Post, declaration

IMPORT = EventType.IMPORT_DECLARATION.value


@dataclass
class Home:
    """One administration with its broker running, and a post of it that sends by hand."""

    directory: Path
    administration: Administration
    post: Post
    lane: RabbitLane
    answered: dict[str, str] = field(default_factory=dict)
    beacons: list[Beacon] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return self.administration.settings

    def house(self, name: str) -> Daemon:
        """Start the customs house."""
        return Daemon(["customs", "run", "--config", str(self.administration.config)], self.directory / f"{name}.log")

    def send(self, message: Message) -> None:
        """Publish and wait for the confirm."""
        (future,) = self.lane.publish([message])
        assert future.result(20) is Published.CONFIRMED

    def imports(self, numbers: Sequence[str], **changes: Any) -> Message:
        """A bundle of import declarations."""
        data = [declaration(number, administration="af", office_code="AFSKB", **changes) for number in numbers]
        raws = [self.post.event(one, IMPORT, destination=house_of("af").urn) for one in data]
        return self.post.bundle(raws, IMPORT)

    def beacon(self, mark: int) -> Message:
        """A beacon of the post."""
        now, house = datetime.now(UTC), house_of("af")
        words = {"environment": "test", "purpose": "exchange-control", "legal_basis": "protocol", "subject": f"beacon {mark}"}
        data = {"mark": mark, "sent_at": utc_text(now)}
        raw = control_event(EventType.BEACON.value, self.post.party, house, data=data, now=now, **words)
        return pack(Route(self.post.party, house, EventType.BEACON.value), [raw], [digest_of(raw)], self.post.identity, now)

    def listen(self, until: Callable[[], bool], seconds: float = 30) -> None:
        """Collect what comes to the post until a condition holds."""
        trust = TrustStore.of(self.settings)
        subscription = self.lane.subscribe(self.post.party.unit, 100)
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, (self.answered, self.beacons)
            for delivery in subscription.take(100, 0.2):
                bundle = open_message(delivery.message, trust, Expected("af", self.post.party, "test"), datetime.now(UTC))
                for opened in bundle.events:
                    if opened.event.type == EventType.BEACON:
                        self.beacons.append(Beacon.model_validate(opened.event.data))
                    elif opened.event.type == EventType.RECEIPT:  # CRLs come too
                        answers = Receipt.model_validate(opened.event.data).answers
                        self.answered.update((answer.id, answer.fate.value) for answer in answers)
                subscription.ack([delivery])
        subscription.close()

    def counted(self, query: str) -> Any:
        """Ask the house's database."""
        assert self.settings.house is not None
        engine = open_engine(self.settings.house.database)
        with engine.connect() as connection:
            return connection.execute(text(query)).scalar_one()


@pytest.fixture(scope="module")
def home(rabbitmq_installed: None) -> Iterator[Home]:
    """The Afghan administration with its broker; the Tajik one exists on paper only."""
    with tempfile.TemporaryDirectory(prefix="panj-customs-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        afghan, tajik = Administration(AFGHAN, directory / "af"), Administration(TAJIK, directory / "tj")
        afghan.befriend(tajik)
        pair = afghan.broker_pair
        tls = TlsFiles(ca=afghan.authority.anchor, certificate=pair.certificate, key=pair.key)
        node = RabbitNode(directory / "broker", "af", tls, afghan.management_password)
        node.start()
        try:
            afghan.write_settings(
                amqps_port=node.amqps_port,
                management_url=node.management_url,
                database="sqlite:///var/house.sqlite",
                partner="tj",
                partner_port=1,
                timing=Timing(),
            )
            apply_topology(afghan.settings)
            settings = afghan.settings
            party, keys = Party("af", "sher-khan-bandar"), settings.posts["sher-khan-bandar"]
            lane = connect(settings, "af", party, keys)
            yield Home(directory, afghan, Post(party, Identity.load(keys.key, keys.certificate)), lane)
            lane.close()
        finally:
            node.stop()


@pytest.mark.timeout(120)
def test_the_house_loads_answers_returns_beacons_and_ends_within_ten_seconds(home: Home) -> None:
    house = home.house("first")
    home.send(home.imports([f"a{number}" for number in range(300)]))
    home.send(home.imports(["refused"], invoice_amount="-1"))
    home.send(home.beacon(7))
    home.listen(lambda: len(home.answered) == 301 and len(home.beacons) == 1)
    assert sorted(home.answered.values()) == ["LOADED"] * 300 + ["REFUSED"]
    assert home.beacons[0].mark == 7
    assert home.beacons[0].returned_at is not None
    began = time.monotonic()
    assert house.terminate(10, signal.SIGTERM) == 0
    assert time.monotonic() - began < 10
    assert home.counted("SELECT count(*) FROM declaration WHERE kind = 'import'") == 300


@pytest.mark.timeout(120)
def test_a_killed_house_goes_on_where_it_was_and_loads_nothing_twice(home: Home) -> None:
    home.answered.clear()
    before = home.counted("SELECT count(*) FROM declaration")
    messages = [home.imports([f"k{number}-{position}" for position in range(50)]) for number in range(20)]
    house = home.house("killed")
    for message in messages:
        home.send(message)
    home.listen(lambda: len(home.answered) > 0)
    house.kill()
    again = home.house("again")
    home.listen(lambda: len(home.answered) == 1_000)
    assert set(home.answered.values()) == {"LOADED"}
    assert home.counted("SELECT count(*) FROM declaration") - before == 1_000
    assert again.terminate(10, signal.SIGTERM) == 0


@pytest.mark.timeout(120)
def test_two_houses_on_one_queue_share_the_work(home: Home) -> None:
    home.answered.clear()
    before = home.counted("SELECT count(*) FROM declaration")
    houses = [home.house("one"), home.house("two")]
    for number in range(20):
        home.send(home.imports([f"s{number}-{position}" for position in range(20)]))
    home.listen(lambda: len(home.answered) == 400)
    assert home.counted("SELECT count(*) FROM declaration") - before == 400
    assert [house.terminate(10, signal.SIGTERM) for house in houses] == [0, 0]
