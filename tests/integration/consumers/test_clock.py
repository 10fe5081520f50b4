"""The house's own clock and its posts': what is taken in while it is wrong, what is shown, and how it goes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update
from structlog.testing import capture_logs

from broker import audit
from consumers import known_posts
from consumers.clock import HouseClock, begin_clock
from consumers.tables import audit as audit_trail
from consumers.tables import known_post
from schemas.names import Party
from tests.integration.consumers.conftest import Hands
from tests.integration.consumers.desk import ControlDesk
from tests.integration.consumers.frontier import HOUSE, Frontier


def test_a_house_whose_clock_was_set_back_waits_says_so_once_and_goes_on(engine: Engine, frontier: Frontier, clock: Hands) -> None:
    desk = ControlDesk(engine, frontier, frontier.new_post("panji-poyon"), HouseClock(None, clock))
    desk.beacon(1)
    assert len(desk.heard()) == 1
    clock.ahead = timedelta(hours=-2)
    with capture_logs() as logs:
        desk.beacon(2)
        for _ in range(3):
            assert desk.heard() == []
        clock.ahead = timedelta()
        assert [home.event.data["mark"] for home in desk.heard()] == [2]  # it had stayed in its queue
    told = [entry for entry in logs if entry["event"].startswith("house.")]
    assert [entry["event"] for entry in told] == ["house.hindered", "house.unhindered"]
    assert told[0]["code"] == "clock-behind"


def test_a_house_with_an_expired_certificate_takes_nothing_in_until_it_is_renewed(engine: Engine, tmp_path: Path, clock: Hands) -> None:
    frontier = Frontier(tmp_path)
    desk = ControlDesk(engine, frontier, frontier.new_post("panji-poyon"), HouseClock(None, clock))
    signer = desk.signer
    clock.ahead = signer.identity.not_after_utc - datetime.now(UTC)
    with capture_logs() as logs:
        desk.beacon(1)
        assert desk.heard() == []
        signer.identity = replace(signer.identity, not_after_utc=signer.identity.not_after_utc + timedelta(days=397))
        assert desk.worker.turn()  # it had stayed in its queue
    told = [(entry["event"], entry["code"]) for entry in logs if entry["event"].startswith("house.")]
    assert told == [("house.hindered", "certificate-expired"), ("house.unhindered", "certificate-expired")]


def test_a_new_process_knows_when_the_last_beacon_was_here_until_a_person_says_that_the_clock_is_right(
    engine: Engine, frontier: Frontier
) -> None:
    with engine.begin() as connection:
        known_posts.note(connection, frontier.post.party, datetime.now(UTC), datetime.now(UTC))
    assert begin_clock(engine, HOUSE).right()
    with engine.begin() as connection:
        connection.execute(update(known_post).values(last_seen_utc=datetime.now(UTC) + timedelta(hours=2)))
    assert not begin_clock(engine, HOUSE).right()
    assert begin_clock(engine, HOUSE, trust_clock=True).right()
    assert begin_clock(engine, HOUSE).right()
    with engine.connect() as connection:
        (entry,) = audit.entries(connection, audit_trail)
    assert (entry.action, entry.subject) == ("clock.trusted", HOUSE.urn)


def test_the_posts_of_one_country_are_bounded_and_the_longest_silent_is_forgotten(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_posts, "KEPT", 3)
    begun = datetime.now(UTC)
    with engine.begin() as connection:
        known_posts.note(connection, Party("uz", "termez"), begun, begun)
        for number in (1, 2, 3, 1, 4):
            begun += timedelta(seconds=1)
            known_posts.note(connection, Party("tj", f"post-{number}"), begun, begun)
        names = {post.name for post in known_posts.known(connection, begun - timedelta(days=1))}
    assert names == {"termez", "post-1", "post-3", "post-4"}


def test_a_post_whose_clock_runs_ahead_is_told_and_kept(engine: Engine, frontier: Frontier) -> None:
    post = frontier.new_post("panji-poyon")
    desk = ControlDesk(engine, frontier, post)
    with capture_logs() as logs:
        desk.beacon(1, ahead=timedelta(hours=2))
        desk.heard()
        desk.beacon(2, ahead=timedelta(hours=2))
        desk.heard()
    (told,) = [entry for entry in logs if entry["event"] == "clock.skewed"]
    assert told["whose"] == post.party.urn
    with engine.connect() as connection:
        (row,) = connection.execute(select(known_post).where(known_post.c.source == post.party.urn)).all()
    assert 7100 < row.skew_seconds <= 7200
