"""Withdrawals on their way: the tombstone leaves in the event's stead, within the credit, and heals as events do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from broker.outbox.values import WithdrawalWish
from broker.relay import lane as lane_module
from schemas.errors import ConflictError, Problem
from schemas.fates import Fate
from schemas.names import EventType
from tests.unit.outbox.drafts import HOUSE, draft, drafts
from tests.unit.relay.frontier import Frontier
from tests.unit.relay.test_relay import hand_time

TOMBSTONE = EventType.WITHDRAWAL.value


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "LOOK_SECONDS", 0.0)


def withdraw(frontier: Frontier, number: int = 1) -> None:
    frontier.outbox.withdraw(WithdrawalWish(f"TJ/TJPNJ/2026/{number}", "wrong truck"), "amina")


def fate(frontier: Frontier, event_id: str) -> Fate | None:
    return frontier.outbox.fate_of([event_id])[0].fate


def test_what_is_withdrawn_before_it_left_never_leaves_and_its_place_is_filled(frontier: Frontier) -> None:
    taken = frontier.outbox.accept(drafts(3))
    withdraw(frontier, 2)
    frontier.turns(3)
    assert set(frontier.house.seen) == {taken[0].event_id, taken[2].event_id}
    ((said, digest),) = frontier.house.withdrawn.items()
    assert said == taken[1].event_id
    assert len(digest) == 43
    assert [fate(frontier, one.event_id) for one in taken] == [Fate.LOADED, Fate.REFUSED, Fate.LOADED]
    assert frontier.relay.quiet()


def test_what_is_withdrawn_in_flight_is_followed_by_its_tombstone_at_once(frontier: Frontier) -> None:
    frontier.house.answers = False
    (taken,) = frontier.outbox.accept([draft(1)])
    frontier.turns(3)
    withdraw(frontier)
    frontier.house.answers = True
    frontier.turns(2)
    assert frontier.house.seen == {taken.event_id: 1}
    assert list(frontier.house.withdrawn) == [taken.event_id]
    assert fate(frontier, taken.event_id) is Fate.REFUSED


def test_a_lost_tombstone_is_sent_again_as_an_event_is(frontier: Frontier) -> None:
    frontier.house.answers = False
    (taken,) = frontier.outbox.accept([draft(1)])
    withdraw(frontier)
    frontier.turns(3)
    assert frontier.house.tombstones == 1
    frontier.turns(2, seconds=11)
    assert frontier.house.tombstones == 1
    frontier.turns(4, seconds=10)
    assert frontier.house.tombstones == 2
    frontier.house.answers = True
    frontier.turns(10, seconds=10)
    assert frontier.house.seen == {}
    assert fate(frontier, taken.event_id) is Fate.REFUSED


def test_withdrawn_while_its_bundle_was_unconfirmed_the_tombstone_follows(frontier: Frontier) -> None:
    (taken,) = frontier.outbox.accept([draft(1)])
    frontier.relay.turn()  # published; the confirm is taken up by the next turn
    withdraw(frontier)
    frontier.house.answers = False
    frontier.turns(3)
    assert frontier.house.tombstones == 1
    assert list(frontier.house.withdrawn) == [taken.event_id]


def test_killed_at_any_moment_the_tombstone_still_leaves(frontier: Frontier) -> None:
    taken = frontier.outbox.accept(drafts(4))
    for number in range(1, 5):
        frontier.turns(1, seconds=1)
        if number % 2:
            with suppress(ConflictError):  # the receipt may have been home already
                withdraw(frontier, number)
        frontier.restart()
    frontier.turns(4)
    ends = [fate(frontier, one.event_id) for one in taken]
    assert ends[1::2] == [Fate.LOADED] * 2
    assert None not in ends
    assert frontier.relay.quiet()


def test_a_full_window_holds_back_tombstones_of_events_that_never_left_only(frontier: Frontier) -> None:
    frontier.house.answers = False
    frontier.outbox.accept(drafts(1_010))
    frontier.turns(4)
    withdraw(frontier, 1)  # in flight
    withdraw(frontier, 1_005)  # not within the window
    frontier.turns(3)
    assert len(frontier.house.withdrawn) == 1
    frontier.house.answers = True
    frontier.turns(30, seconds=30)
    assert len(frontier.house.withdrawn) == 2
    assert frontier.relay.quiet()


def test_a_house_that_takes_no_withdrawals_blocks_nothing_else(frontier: Frontier, monkeypatch: pytest.MonkeyPatch) -> None:
    times = hand_time(monkeypatch)
    frontier.theirs._bindings = [each for each in frontier.theirs._bindings if "customs-withdrawal-v1" not in each[0]]
    taken = frontier.outbox.accept(drafts(3))
    withdraw(frontier, 2)
    published = frontier.ours.published
    for _ in range(60):
        frontier.turns(1)
        times[0] += 1
    assert frontier.ours.published - published < 20
    assert [fate(frontier, one.event_id) for one in taken] == [Fate.LOADED, None, Fate.LOADED]
    frontier.theirs.declare("af-customs", "af-customs.customs-withdrawal-v1.*")
    times[0] += 60
    frontier.turns(4)
    assert fate(frontier, taken[1].event_id) is Fate.REFUSED


def test_an_outage_of_the_type_does_not_hold_back_its_withdrawals(frontier: Frontier, monkeypatch: pytest.MonkeyPatch) -> None:
    times = hand_time(monkeypatch)
    frontier.theirs._bindings = [each for each in frontier.theirs._bindings if "customs-export-declaration-v1" not in each[0]]
    (taken,) = frontier.outbox.accept([draft(1)])
    frontier.turns(3)
    withdraw(frontier)
    times[0] += 1
    frontier.turns(3)
    assert fate(frontier, taken.event_id) is Fate.REFUSED
    times[0] += 100
    frontier.turns(3)
    assert frontier.relay.quiet()


def test_a_tombstone_that_came_too_late_is_answered_loaded(frontier: Frontier) -> None:
    (taken,) = frontier.outbox.accept([draft(1)])
    frontier.house.answers = False
    frontier.turns(3)
    withdraw(frontier)
    frontier.house.answers, frontier.house.withdrawal_fate = True, Fate.LOADED
    frontier.turns(3)
    assert fate(frontier, taken.event_id) is Fate.LOADED
    assert frontier.outbox.counts()[0].withdrawn_late == 1
    assert HOUSE.is_house


def _types(frontier: Frontier) -> Iterator[Any]:
    yield from (kind for kind, _ in frontier.house.bundles)


def test_tombstones_leave_in_bundles_of_their_own_type(frontier: Frontier) -> None:
    frontier.outbox.accept(drafts(700))
    for number in range(1, 701):
        withdraw(frontier, number)
    frontier.turns(5)
    assert len(frontier.house.withdrawn) == 700
    assert frontier.house.tombstone_bundles == [500, 200]
    assert list(_types(frontier)) == []
    assert frontier.relay.quiet()


def test_the_problem_says_that_it_was_withdrawn(frontier: Frontier) -> None:
    (taken,) = frontier.outbox.accept([draft(1)])
    withdraw(frontier)
    frontier.turns(3)
    assert frontier.outbox.fate_of([taken.event_id])[0].problems == (Problem(code="withdrawn", text="withdrawn by its sender"),)
