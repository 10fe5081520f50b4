"""A broker that takes nothing for now, in memory: nothing is lost, nothing spins, it is told why and told once, and it resumes."""

from __future__ import annotations

import pytest
import structlog

from broker.outbox.store import Outbox
from broker.relay import hindrances as hindrances_module
from broker.relay import lane as lane_module
from tests.unit.outbox.drafts import CROSSING, HOUSE, draft, drafts
from tests.unit.relay.frontier import Frontier
from tests.unit.relay.test_relay import hand_time


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The lanes' and the notes' monotonic clock, turned by hand."""
    found = hand_time(monkeypatch)
    monkeypatch.setattr(hindrances_module, "monotonic", lambda: found[0])
    return found


def turns(frontier: Frontier, times: list[float], count: int) -> None:
    for _ in range(count):
        frontier.turns(1)
        times[0] += 1


def why(outbox: Outbox) -> list[tuple[str, str]]:
    return [(one.destination, one.code) for one in outbox.hindrances()]


def test_an_alarm_of_the_broker_holds_everything_back_and_is_noted(frontier: Frontier, times: list[float]) -> None:
    turns(frontier, times, 2)
    frontier.ours.block("low on memory")
    frontier.outbox.accept(drafts(700))
    turns(frontier, times, 30)
    assert (frontier.outbox.counts()[0].waiting, frontier.house.seen) == (700, {})
    (noted,) = frontier.outbox.hindrances()
    assert (noted.destination, noted.code) == (HOUSE.urn, "broker-blocked")
    assert "low on memory" in noted.words
    frontier.ours.unblock()
    turns(frontier, times, 8)
    assert frontier.outbox.hindrances() == []
    assert set(frontier.house.seen.values()) == {1}
    assert frontier.relay.quiet()


def test_a_full_queue_is_tried_rarely_told_once_and_drains_into_normal_work(frontier: Frontier, times: list[float]) -> None:
    frontier.ours.fill()
    frontier.outbox.accept(drafts(2_500))
    with structlog.testing.capture_logs() as logs:
        turns(frontier, times, 5)
        published = frontier.ours.published
        turns(frontier, times, 60)
        assert frontier.ours.published - published < 20  # beacons among them
        assert why(frontier.outbox) == [(HOUSE.urn, "broker-refuses")]
        frontier.ours.drain()
        turns(frontier, times, 25)
    told = [entry["event"] for entry in logs if entry["event"] in ("bundle.returned", "outage.ended")]
    assert told == ["bundle.returned", "outage.ended"]
    assert frontier.outbox.hindrances() == []
    assert frontier.outbox.counts()[0].settled == 2_500
    assert set(frontier.house.seen.values()) == {1}


def test_a_type_that_nobody_takes_is_noted_by_its_name(frontier: Frontier, times: list[float]) -> None:
    frontier.outbox.accept([draft(1, event_type=CROSSING), draft(2)])
    turns(frontier, times, 4)
    (noted,) = frontier.outbox.hindrances()
    assert noted.code == "type-unrouted"
    assert CROSSING in noted.words
    assert "topology check" in noted.words


def test_what_hinders_the_relay_as_a_whole_is_noted_without_a_destination(frontier: Frontier, times: list[float]) -> None:
    frontier.outbox.accept([draft(1)])
    frontier.clock.turn(3600 * 24 * 3650)
    for _ in range(3):
        assert not frontier.relay._turn_or_trouble()
        times[0] += 1
    assert why(frontier.outbox) == [("", "certificate-expired")]
    frontier.clock.turn(-3600 * 24 * 3650)
    for _ in range(3):
        assert frontier.relay._turn_or_trouble()
        times[0] += 1
    assert frontier.outbox.hindrances() == []


def test_what_lasts_keeps_its_beginning_and_a_new_process_forgets_it(frontier: Frontier, times: list[float]) -> None:
    frontier.ours.block()
    turns(frontier, times, 3)
    (first,) = frontier.outbox.hindrances()
    frontier.clock.turn(600)
    frontier.ours.block("low on disk and memory")
    turns(frontier, times, 3)
    (later,) = frontier.outbox.hindrances()
    assert (later.since_utc, later.words == first.words) == (first.since_utc, False)
    frontier.restart()
    assert frontier.outbox.hindrances() == []


def test_one_moment_without_a_connection_is_no_hindrance(frontier: Frontier, times: list[float]) -> None:
    turns(frontier, times, 1)
    frontier.ours.block()
    turns(frontier, times, 1)
    frontier.ours.unblock()
    turns(frontier, times, 2)
    assert frontier.outbox.hindrances() == []
    assert lane_module.OUTSTANDING > 0
