"""Suspended outflow: nothing of it leaves but control events, what was accepted waits, and it leaves by itself when the suspension ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from broker.audit import entries, first_broken
from broker.outbox.tables import audit
from broker.outbox.values import WithdrawalWish
from broker.relay import lane as lane_module
from broker.relay import relay as relay_module
from broker.suspension import NOTHING, Holdback, Scope, Suspension, holdback
from schemas.fates import Fate
from schemas.names import EventType, Party, house_of
from tests.unit.outbox.drafts import CROSSING, EXPORT, HOUSE, draft, drafts
from tests.unit.relay.frontier import Frontier


@pytest.fixture(autouse=True)
def see_suspensions_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(relay_module, "LOOK_SECONDS", 0.0)


def suspend(frontier: Frontier, scope: Scope, hours: float | None = None, name: str = "s1") -> Suspension:
    now = frontier.clock()
    begun = Suspension(name, scope, "inspection", "amina", now, None if hours is None else now + timedelta(hours=hours))
    frontier.outbox.suspend(begun)
    return begun


def test_nothing_of_a_suspended_destination_leaves_but_beacons_and_all_of_it_afterwards(frontier: Frontier) -> None:
    suspend(frontier, Scope(partner="af"))
    taken = frontier.outbox.accept(drafts(700))
    with structlog.testing.capture_logs() as logs:
        frontier.turns(30, seconds=61)
        assert frontier.house.seen == {}
        assert frontier.outbox.beacons()[0].returned_mark > 20
        assert frontier.outbox.counts()[0].waiting == 700
        assert frontier.outbox.end_suspension("s1", "karim", "done")
        frontier.turns(8)
    assert frontier.house.seen == {one.event_id: 1 for one in taken}
    assert frontier.relay.quiet()
    told = [entry["event"] for entry in logs if entry["event"].startswith("outflow.")]
    assert told == ["outflow.suspended", "outflow.resumed"]


def test_a_suspended_type_is_held_back_and_the_others_pass_it(frontier: Frontier) -> None:
    frontier.theirs.declare("af-customs.record", "af-customs.customs-crossing-event-v1.*")
    suspend(frontier, Scope(partner="af", type=EXPORT))
    frontier.outbox.accept(drafts(3_000))
    crossings = [frontier.outbox.accept([draft(f"c{number}", event_type=CROSSING)])[0] for number in range(5)]
    frontier.turns(4)
    assert set(frontier.house.seen) == {one.event_id for one in crossings}
    more = frontier.outbox.accept([draft("c9", event_type=CROSSING)])
    frontier.turns(2)
    assert more[0].event_id in frontier.house.seen
    frontier.outbox.end_suspension("s1", "karim", "done")
    frontier.turns(12)
    assert len(frontier.house.seen) == 3_006
    assert frontier.relay.quiet()


def test_a_backlog_that_is_held_back_is_not_gone_through_every_turn(frontier: Frontier, monkeypatch: pytest.MonkeyPatch) -> None:
    suspend(frontier, Scope(type=EXPORT))
    frontier.outbox.accept(drafts(2_000))
    frontier.turns(2)
    afters: list[int] = []
    waiting = frontier.outbox.waiting

    def noting(*arguments: Any) -> Any:
        afters.append(arguments[3])
        return waiting(*arguments)

    monkeypatch.setattr(frontier.outbox, "waiting", noting)
    frontier.turns(3)
    assert afters == [2_000] * 3


def test_it_ends_by_itself_when_its_time_is_over(frontier: Frontier) -> None:
    suspend(frontier, Scope(), hours=2)
    frontier.outbox.accept(drafts(3))
    frontier.turns(3, seconds=2_000)
    assert frontier.house.seen == {}
    frontier.turns(4, seconds=1_000)
    assert len(frontier.house.seen) == 3
    assert not frontier.outbox.end_suspension("s1", "karim", "over already")


def test_what_is_in_flight_is_not_sent_again_while_it_is_suspended(frontier: Frontier) -> None:
    frontier.house.answers = False
    (taken,) = frontier.outbox.accept([draft(1)])
    frontier.turns(3)
    suspend(frontier, Scope(partner="af"))
    frontier.turns(20, seconds=30)
    assert frontier.house.seen == {taken.event_id: 1}
    frontier.house.answers = True
    frontier.outbox.end_suspension("s1", "karim", "done")
    frontier.turns(6, seconds=30)
    assert frontier.house.seen == {taken.event_id: 2}
    assert frontier.relay.quiet()


def test_a_withdrawal_leaves_although_its_destination_is_suspended(frontier: Frontier) -> None:
    suspend(frontier, Scope(partner="af"))
    (taken,) = frontier.outbox.accept([draft(1)])
    frontier.outbox.withdraw(WithdrawalWish("TJ/TJPNJ/2026/1", "wrong truck"), "amina")
    frontier.turns(3)
    assert frontier.outbox.fate_of([taken.event_id])[0].fate is Fate.REFUSED
    assert frontier.house.seen == {}


def test_a_restart_changes_nothing_and_two_suspensions_both_have_to_end(frontier: Frontier) -> None:
    suspend(frontier, Scope(partner="af"), name="s1")
    suspend(frontier, Scope(type=EXPORT), name="s2")
    frontier.outbox.accept(drafts(3))
    frontier.restart()
    frontier.turns(3)
    frontier.outbox.end_suspension("s1", "karim", "done")
    frontier.turns(3)
    assert frontier.house.seen == {}
    frontier.outbox.end_suspension("s2", "karim", "done")
    frontier.turns(3)
    assert len(frontier.house.seen) == 3


def test_what_is_held_back_can_be_asked_for_event_by_event(frontier: Frontier) -> None:
    other = house_of("uz")
    taken = frontier.outbox.accept([draft(1), draft(2, event_type=CROSSING), draft(1, destination=other)])
    suspend(frontier, Scope(partner="af", type=EXPORT))
    assert frontier.outbox.held_back([one.event_id for one in taken]) == {taken[0].event_id}
    frontier.outbox.withdraw(WithdrawalWish("TJ/TJPNJ/2026/1", "wrong truck", destination=HOUSE.urn), "amina")
    assert frontier.outbox.held_back([one.event_id for one in taken]) == set()


def test_who_suspended_and_who_ended_it_is_in_the_audit_trail(frontier: Frontier) -> None:
    suspend(frontier, Scope(partner="af"))
    assert frontier.outbox.end_suspension("s1", "karim", "agreed with Kabul")
    assert not frontier.outbox.end_suspension("s1", "karim", "again")
    with frontier.outbox._engine.connect() as connection:
        trail = entries(connection, audit)
    assert [(entry.actor, entry.action, entry.subject, entry.reason) for entry in trail] == [
        ("amina", "suspension.begun", "s1", "inspection"),
        ("karim", "suspension.ended", "s1", "agreed with Kabul"),
    ]
    assert first_broken(trail) is None
    (ended,) = frontier.outbox.suspensions(ended=True)
    assert (ended.ended_by, ended.end_reason) == ("karim", "agreed with Kabul")
    assert frontier.outbox.suspensions() == []


_PARTIES = st.builds(Party, st.sampled_from(["af", "uz"]), st.sampled_from(["customs", "panji-poyon"]))
_TYPES = st.sampled_from(sorted(each.value for each in EventType))
_MAYBE = st.builds(
    Scope, st.none() | st.sampled_from(["af", "uz"]), st.none() | st.sampled_from(["customs", "panji-poyon"]), st.none() | _TYPES
)


@given(_MAYBE, _PARTIES, _TYPES)
def test_a_scope_that_names_less_covers_more(scope: Scope, party: Party, event_type: str) -> None:
    if scope.covers(party, event_type):
        for wider in (replace(scope, partner=None), replace(scope, post=None), replace(scope, type=None)):
            assert wider.covers(party, event_type)
    assert Scope().covers(party, event_type)
    assert Scope(party.country, party.name, event_type).covers(party, event_type)


@given(st.lists(_MAYBE, max_size=4), _PARTIES, _TYPES)
def test_what_is_held_back_is_what_some_scope_covers(scopes: list[Scope], party: Party, event_type: str) -> None:
    now = datetime.now(UTC)
    listed = [Suspension(str(number), replace(scope, post=None), "r", "a", now) for number, scope in enumerate(scopes)]
    found = holdback(listed, party, now)
    assert (found.everything or event_type in found.types) == any(one.scope.covers(party, event_type) for one in listed)
    ended = [replace(one, ended_at_utc=now) for one in listed] + [replace(one, until_utc=now) for one in listed]
    assert holdback(ended, party, now) == NOTHING == Holdback()
