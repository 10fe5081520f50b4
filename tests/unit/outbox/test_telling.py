"""What is told back: found by comparing, in the order of each event's life, whatever happens between the looks and whoever dies."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.outbox import telling
from broker.outbox.stages import REACHED, Stage
from broker.outbox.store import Outbox
from broker.outbox.telling import Tellings
from broker.outbox.values import Acceptance, Occurrences, Settlement, WithdrawalWish
from schemas.errors import Problem
from schemas.fates import Fate
from tests.unit.outbox.drafts import HOUSE, POST, PROBLEM, HandClock, digests_of, draft, drafts, relay_all, settle


def told(tellings: Tellings, count: int = 1_000) -> list[tuple[str, str]]:
    """Look, and take everything that is due, one turn after another."""
    found: list[tuple[str, str]] = []
    tellings.look()
    while due := tellings.due(count):
        found += [(one.reference.rpartition("/")[2], one.stage.value) for one in due]
        tellings.record([one.number for one in due], {})
    return found


def test_each_stage_is_told_once_in_the_order_of_the_life(outbox: Outbox, clock: HandClock) -> None:
    tellings = outbox.tellings
    tellings.begin()
    accepted = outbox.accept(drafts(2))
    digests = digests_of(outbox)
    assert told(tellings) == [("1", "accepted"), ("2", "accepted")]
    relay_all(outbox, clock)
    assert told(tellings) == [("1", "relayed"), ("2", "relayed")]
    settle(outbox, accepted, digests, Fate.HELD)
    assert told(tellings) == [("1", "held"), ("2", "held")]
    settle(outbox, accepted[:1], digests)
    settle(outbox, accepted[1:], digests, Fate.REFUSED)
    assert sorted(told(tellings)) == [("1", "loaded"), ("2", "refused")]
    assert told(tellings) == []


def test_what_happened_between_two_looks_is_told_step_by_step(outbox: Outbox, clock: HandClock) -> None:
    tellings = outbox.tellings
    tellings.begin()
    accepted = outbox.accept(drafts(1))
    digests = digests_of(outbox)
    clock.turn(1)
    relay_all(outbox, clock)
    clock.turn(1)
    settle(outbox, accepted, digests, Fate.HELD)
    clock.turn(1)
    settle(outbox, accepted, digests, Fate.REFUSED)
    tellings.look()
    seen = []
    while due := tellings.due(10):
        seen += due
        tellings.record([one.number for one in due], {})
    assert [one.stage.value for one in seen] == ["accepted", "relayed", "held", "refused"]
    assert [one.at_utc for one in seen] == sorted(one.at_utc for one in seen)
    assert [one.problems for one in seen[:3]] == [(), (), ()]
    assert seen[3].problems[0]["code"] == PROBLEM.code


def test_a_withdrawn_one_is_told_as_withdrawn_and_one_that_was_loaded_all_the_same_as_loaded(outbox: Outbox, clock: HandClock) -> None:
    tellings = outbox.tellings
    tellings.begin()
    accepted = outbox.accept(drafts(2))
    digests = digests_of(outbox)
    relay_all(outbox, clock)
    told(tellings)
    for number in (1, 2):
        outbox.withdraw(WithdrawalWish(f"TJ/TJPNJ/2026/{number}", "a typing error"), "somebody")
    assert told(tellings) == []
    withdrawn = Problem(code="withdrawn", text="withdrawn by its sender")
    outbox.record(
        Occurrences(settlements=[Settlement(accepted[0].event_id, digests[accepted[0].event_id], HOUSE.urn, Fate.REFUSED, (withdrawn,))])
    )
    settle(outbox, accepted[1:], digests)
    assert sorted(told(tellings)) == [("1", "withdrawn"), ("2", "loaded")]


def test_telling_begins_with_what_is_not_settled(outbox: Outbox, clock: HandClock) -> None:
    accepted = outbox.accept(drafts(3))
    digests = digests_of(outbox)
    relay_all(outbox, clock)
    settle(outbox, accepted[:2], digests)
    tellings = outbox.tellings
    assert tellings.state() is None
    tellings.begin()
    assert told(tellings) == [("3", "accepted"), ("3", "relayed")]
    settle(outbox, accepted[2:], digests)
    assert told(tellings) == [("3", "loaded")]


def test_a_crash_between_looking_and_taking_tells_the_same_again(outbox: Outbox, clock: HandClock) -> None:
    first = outbox.tellings
    first.begin()
    outbox.accept(drafts(1))
    first.look()
    before = first.due(10)
    second = outbox.tellings  # another process, after the first one died without `record`
    second.begin()
    second.look()
    assert second.due(10) == before


def test_one_that_has_to_wait_holds_up_its_own_reference_only(outbox: Outbox, clock: HandClock) -> None:
    tellings = outbox.tellings
    tellings.begin()
    outbox.accept([draft(1), draft(2)])
    relay_all(outbox, clock)
    tellings.look()
    first, second = tellings.due(10)
    tellings.record([second.number], {first.number: clock() + timedelta(seconds=60)}, "it says no")
    (only,) = tellings.due(10)
    assert (only.reference, only.stage) == (second.reference, Stage.RELAYED)
    state = tellings.state()
    assert state is not None
    assert (state.on_the_way, state.trouble) == (3, "it says no")
    clock.turn(61)
    assert [one.number for one in tellings.due(10)] == [first.number, only.number]
    assert tellings.due(10)[0].tries == 1


def test_a_full_way_is_not_filled_further_and_goes_on_later(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "ON_THE_WAY", 3)
    tellings = outbox.tellings
    tellings.begin()
    outbox.accept(drafts(3))
    assert tellings.look() == 3
    outbox.accept(drafts(3, first=10))
    assert tellings.look() == 0
    state = tellings.state()
    assert state is not None
    assert (state.on_the_way, state.not_looked_at) == (3, 3)
    assert len(told(tellings)) == 3
    assert len(told(tellings)) == 3


def test_many_watched_are_compared_in_parts_and_none_is_left_out(outbox: Outbox, clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "LOOKED_AT_ONCE", 7)
    tellings = outbox.tellings
    tellings.begin()
    accepted = outbox.accept(drafts(50))
    digests = digests_of(outbox)
    assert len(told(tellings)) == 50
    relay_all(outbox, clock)
    settle(outbox, accepted[::3], digests)
    seen = [each for _ in range(9) for each in told(tellings)]
    assert len(seen) == 50 + 17
    assert [each for each in seen if each[1] == "loaded"] == [(str(number), "loaded") for number in range(1, 51, 3)]


_MOVES = st.lists(
    st.tuples(st.sampled_from(["accept", "relay", "hold", "load", "refuse", "withdraw", "look", "take", "crash"]), st.integers(0, 3)),
    max_size=40,
)


@given(moves=_MOVES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_each_life_is_told_in_order_and_to_its_end(moves: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        clock = HandClock()
        outbox = Outbox.open(f"sqlite:///{Path(directory)}/outbox.sqlite", POST, "test", clock)
        try:
            _try_moves(outbox, clock, moves)
        finally:
            outbox.close()


class _Post:
    """An outbox to which things happen, and who is told of them."""

    def __init__(self, outbox: Outbox, clock: HandClock) -> None:
        self.outbox, self.clock = outbox, clock
        self.tellings = outbox.tellings
        self.tellings.begin()
        self.events: dict[int, Acceptance] = {}
        self.digests: dict[str, bytes] = {}
        self.seen: dict[str, list[Stage]] = defaultdict(list)

    def happen(self, move: str, number: int) -> None:
        if move == "accept" and number not in self.events:
            (self.events[number],) = self.outbox.accept([draft(number)])
            self.digests |= digests_of(self.outbox)
        elif move == "relay":
            relay_all(self.outbox, self.clock)
        elif number in self.events:
            self.settle(move, number)

    def settle(self, move: str, number: int) -> None:
        if move in _FATES:
            settle(self.outbox, [self.events[number]], self.digests, _FATES[move])
        elif move == "withdraw" and not self.outbox.fate_of([self.events[number].event_id])[0].settled:
            self.outbox.withdraw(WithdrawalWish(f"TJ/TJPNJ/2026/{number}", "a typing error"), "somebody")

    def tell(self, move: str, number: int) -> None:
        if move == "look":
            self.tellings.look()
        elif move == "take":
            _take(self.tellings, self.seen, record=number > 0)  # 0: the process dies before it is noted
        elif move == "crash":
            self.tellings = self.outbox.tellings
            self.tellings.begin()


_FATES = {"hold": Fate.HELD, "load": Fate.LOADED, "refuse": Fate.REFUSED}


def _try_moves(outbox: Outbox, clock: HandClock, moves: list[tuple[str, int]]) -> None:
    post = _Post(outbox, clock)
    for move, number in moves:
        clock.turn(1)
        post.happen(move, number)
        post.tell(move, number)
    for event in post.events.values():
        settle(outbox, [event], post.digests)
    for _ in range(12):
        post.tellings.look()
        _take(post.tellings, post.seen, record=True)
    assert set(post.seen) == {event.event_id for event in post.events.values()}
    for stages in post.seen.values():
        path = [stage for at, stage in enumerate(stages) if at == 0 or stages[at - 1] is not stage]  # told again after a crash
        reached = [REACHED[stage] for stage in path]
        assert reached == sorted(set(reached)), path
        assert (path[0], reached[-1]) == (Stage.ACCEPTED, 4)


def _take(tellings: Tellings, seen: dict[str, list[Stage]], *, record: bool) -> None:
    due = tellings.due(10)
    for one in due:
        seen[one.event_id].append(one.stage)
    if record and due:
        tellings.record([one.number for one in due], {})
