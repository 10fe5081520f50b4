"""The house tells CRLs over brokers in memory, and takes what others tell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from broker.bundle.open import Expected, open_message
from broker.memory import MemoryExchange, MemorySubscription
from broker.revocation import crl_message
from broker.settings.model import Settings
from broker.trust.anchors import TrustStore
from broker.trust.authority import Authority, create_authority
from broker.trust.keys import Identity, Signer
from consumers import known_posts
from consumers.tables import known_post, parked
from consumers.telling import CrlTeller
from deploy.lab.administrations import TAJIK, Administration, Timing
from schemas.control import Crl
from schemas.names import EventType, Party, house_of
from tests.integration.consumers.desk import ControlDesk
from tests.integration.consumers.frontier import HOUSE, Frontier

FOREIGN = Party("af", "sher-khan-bandar")


@dataclass
class Told:
    """Tajik customs, what it tells to its neighbour and to its own post, and the neighbour's authority."""

    teller: CrlTeller
    trust: TrustStore
    tajik: Administration
    afghan: Authority
    queues: dict[str, MemorySubscription]

    def heard(self, unit: str) -> list[tuple[str | None, int]]:
        """Let it look, and give the CRLs that came to a unit: country and number."""
        self.trust.reload()
        self.teller.look()
        self.teller.look()
        found = []
        lane = {"af": "tj", "tj": "tj"}[unit[:2]]
        receiver = Party(*unit.split("-", 1))
        trust = TrustStore({"tj": self.tajik.authority.anchor}, {})
        for delivery in self.queues[unit].take(100, 0):
            for opened in open_message(delivery.message, trust, Expected(lane, receiver, "test"), datetime.now(UTC)).events:
                assert opened.event.type == EventType.CRL
                said = Crl.model_validate(opened.event.data)
                found.append((said.country, said.crl_number))
            self.queues[unit].ack([delivery])
        return sorted(found, key=str)


def lane_to(*units: str) -> tuple[MemoryExchange, dict[str, MemorySubscription]]:
    ours, theirs = MemoryExchange(), MemoryExchange()
    ours.federate(theirs)
    for unit in units:
        theirs.declare(unit, f"{unit}.#")
    broker = theirs.broker()
    return ours, {unit: broker.subscribe(unit, 1_000) for unit in units}


@pytest.fixture
def told(tmp_path: Path, engine: Engine) -> Told:
    tajik, afghan = Administration(TAJIK, tmp_path / "tj"), create_authority(tmp_path / "af", "af")
    tajik.trust(afghan)
    tajik.write_settings(
        amqps_port=1, management_url="http://127.0.0.1:1", database="sqlite:///x", partner="af", partner_port=1, timing=Timing()
    )
    settings: Settings = tajik.settings
    assert settings.house is not None
    trust = TrustStore.of(settings)
    signer = Signer(Identity.load(settings.house.key, settings.house.certificate))
    abroad, abroad_queues = lane_to("af-customs", FOREIGN.unit)
    home, home_queues = lane_to("tj-panji-poyon", "tj-ishkoshim")
    teller = CrlTeller(settings, engine, trust, signer, {"af": abroad.broker(), "tj": home.broker()})
    return Told(teller, trust, tajik, afghan, abroad_queues | home_queues)


def test_on_the_start_the_neighbours_house_and_our_posts_are_told_and_then_nobody_again(told: Told) -> None:
    assert told.heard("af-customs") == [("tj", 1)]
    assert told.heard("tj-panji-poyon") == [("af", 1), ("tj", 1)]
    assert told.heard("tj-ishkoshim") == [("af", 1), ("tj", 1)]
    for unit in ("af-customs", "tj-panji-poyon", FOREIGN.unit):
        assert told.heard(unit) == []


def test_a_new_crl_of_ours_is_told_to_all_and_a_partners_to_our_posts_only(told: Told) -> None:
    told.teller.look()
    for queue in told.queues.values():
        queue.ack(queue.take(100, 0))
    told.tajik.authority.write_crl(told.tajik.directory / "trust" / "tj" / "crls" / "tj.crl")
    assert told.heard("af-customs") == [("tj", 2)]
    assert told.heard("tj-panji-poyon") == [("tj", 2)]
    assert told.trust.take_crl("af", told.afghan.write_crl().read_bytes())
    assert told.heard("tj-panji-poyon") == [("af", 2)]
    assert told.heard("af-customs") == []


def test_a_foreign_post_is_told_ours_once_its_beacon_was_here(told: Told, engine: Engine) -> None:
    assert told.heard(FOREIGN.unit) == []
    with engine.begin() as connection:
        known_posts.note(connection, FOREIGN, datetime.now(UTC), datetime.now(UTC))
    told.teller._known_at = float("-inf")
    assert told.heard(FOREIGN.unit) == [("tj", 1)]


def test_a_crl_that_came_revokes_and_an_older_or_foreign_one_changes_nothing(engine: Engine, tmp_path: Path) -> None:
    frontier = Frontier(tmp_path / "frontier")
    post = frontier.new_post("panji-poyon")
    desk = ControlDesk(engine, frontier, post)
    desk.beacon(1)
    assert len(desk.heard()) == 1
    teller = Signer(Identity.load(*_pair(frontier.tajik)))
    frontier.tajik.revoke(frontier.tajik.register.issued[0].serial)
    (newest,) = TrustStore({"tj": frontier.tajik.anchor}, {"tj": frontier.tajik.crl.parent}).held_crls("tj")
    now = datetime.now(UTC)
    desk.deliver(crl_message(newest, house_of("tj"), HOUSE, "test", teller.identity, now))
    desk.beacon(2)
    assert desk.heard() == []
    with engine.connect() as connection:
        assert connection.execute(select(parked.c.code)).scalars().all() == ["trust-revoked"]
        (row,) = connection.execute(select(known_post)).all()
    assert row.source == post.party.urn
    assert abs(row.skew_seconds) < 30


def _pair(authority: Authority) -> tuple[Path, Path]:
    pair = authority.create_unit(house_of(authority.country))
    return pair.key, pair.certificate


def test_a_posts_clock_is_the_highest_bound_of_some_minutes() -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    first = known_posts.PostClock(-4.0, now)
    assert known_posts.better(None, first) == first
    slow = known_posts.PostClock(-60.0, now + timedelta(minutes=1))
    assert known_posts.better(first, slow) == first
    assert known_posts.better(first, known_posts.PostClock(-1.0, now + timedelta(minutes=1))).seconds == -1.0
    assert known_posts.better(first, known_posts.PostClock(-60.0, now + timedelta(minutes=3))).seconds == -60.0
