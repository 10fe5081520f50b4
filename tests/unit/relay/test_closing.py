"""Closing the accounts, over brokers in memory: agreed in a chain, healed where the house lost something, told where nobody can heal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import delete, update

from broker.outbox.closing_progress import RESENT_SPARE
from broker.outbox.closing_values import Account, Different, StreamName, Wish
from broker.outbox.engine import open_engine, writing
from broker.outbox.tables import outbox
from broker.outbox.values import Occurrences, WithdrawalWish
from broker.relay import closing_decisions
from broker.relay import lane as lane_module
from broker.trust.signing import b64url
from schemas.closing import Line
from schemas.control import ManifestAnswer
from schemas.event import digest_of
from schemas.fates import Fate
from schemas.names import EventType
from tests.unit.outbox.drafts import CROSSING, EXPORT, HOUSE, draft, drafts
from tests.unit.relay.frontier import Frontier

DAY = 86_400.0


def until(frontier: Frontier, done: Callable[[], bool], seconds: float = 11.0, turns: int = 400) -> int:
    """Let turns pass until something holds; how many that took."""
    for turn in range(turns):
        if done():
            return turn
        frontier.turns(1, seconds)
    raise AssertionError("it never came to it")


def account(frontier: Frontier) -> Account:
    return frontier.outbox.closings.account(HOUSE.urn)


def ask(frontier: Frontier, *, everything: bool = False) -> None:
    """Ask for a closing, as `panj reconcile` does, and wait for its end."""
    frontier.clock.turn(2)
    asked = frontier.clock()
    frontier.outbox.record(Occurrences(wishes=[Wish(HOUSE.urn, "asked by a person", asked, everything)]))
    until(frontier, lambda: not account(frontier).under_way and (account(frontier).begun_at_utc or asked - timedelta(1)) >= asked)


def settled(frontier: Frontier, count: int, first: int = 1, event_type: str = EXPORT) -> None:
    """Have so many events accepted and settled."""
    if event_type == CROSSING:
        frontier.theirs.declare("af-customs.record", "af-customs.customs-crossing-event-v1.*")
    frontier.outbox.accept([draft(number, event_type=event_type) for number in range(first, first + count)])
    until(frontier, frontier.relay.quiet, seconds=1)


def test_an_account_is_closed_every_day_and_each_closing_names_the_one_before(frontier: Frontier) -> None:
    settled(frontier, 1_200)
    settled(frontier, 3, 5_000, CROSSING)
    assert frontier.house.manifests == []
    until(frontier, lambda: account(frontier).number == 1, seconds=DAY / 20)
    first, second = frontier.house.manifests[0].streams
    assert [(stream.type, stream.last, len(stream.blocks)) for stream in (first, second)] == [(CROSSING, 3, 1), (EXPORT, 1_200, 2)]
    until(frontier, lambda: account(frontier).number == 3, seconds=DAY / 20)
    assert [manifest.number for manifest in frontier.house.manifests] == [1, 2, 3]
    rows = frontier.outbox.closings.chain(HOUSE.urn)
    previous = [manifest.previous for manifest in frontier.house.manifests]
    assert previous == [None, *(b64url(row.answer_digest) for row in rows[:2])]
    for row in rows:
        assert row.agreed
        assert digest_of(row.manifest) == row.manifest_digest
        assert digest_of(row.answer) == row.answer_digest
    assert account(frontier).horizon_seconds == 30 * DAY


def test_what_was_agreed_longer_ago_than_the_house_s_horizon_is_not_compared_again_but_by_wish(frontier: Frontier) -> None:
    frontier.house.horizon_seconds = 3_600
    settled(frontier, 2_500)
    ask(frontier)
    ask(frontier)
    assert [len(manifest.streams[0].blocks) for manifest in frontier.house.manifests] == [3, 3]
    frontier.clock.turn(3_601)
    ask(frontier)
    (stream,) = frontier.house.manifests[-1].streams
    assert [(block.first, block.last) for block in stream.blocks] == [(2_001, 2_500)]
    ask(frontier, everything=True)
    assert len(frontier.house.manifests[-1].streams[0].blocks) == 3


def test_a_house_restored_from_a_backup_is_noticed_by_its_beacon_and_gets_what_it_lost(frontier: Frontier) -> None:
    settled(frontier, 1_700)
    ask(frontier)
    frontier.house.forget(above=900)
    until(frontier, lambda: account(frontier).number == 2)
    assert account(frontier).reason == "the house holds sequences up to 900, and had answered 1700"
    assert len(frontier.house.held[(EXPORT, frontier.outbox.epoch)]) == 1_700
    assert sorted(frontier.house.seen.values()) == [1] * 900 + [2] * 800
    (run,) = account(frontier).streams
    assert (run.resent, run.differing, run.agreed) == (800, 0, 2)
    assert frontier.relay.quiet()
    numbers = [manifest.number for manifest in frontier.house.manifests]
    frontier.turns(30, seconds=60)
    assert [manifest.number for manifest in frontier.house.manifests] == numbers  # noticed once


def test_events_that_a_house_lost_in_the_middle_are_found_by_the_closing(frontier: Frontier) -> None:
    settled(frontier, 1_100)
    lines = frontier.house.held[(EXPORT, frontier.outbox.epoch)]
    lines[:] = [line for line in lines if line.sequence not in (5, 6, 1_050)]
    ask(frontier)
    assert len(lines) == 1_100
    assert sum(frontier.house.seen.values()) == 1_103
    assert [manifest.number for manifest in frontier.house.manifests] == [1, 1]


def test_killed_after_every_turn_the_closing_still_comes_to_its_end(frontier: Frontier) -> None:
    settled(frontier, 1_200)
    ask(frontier)
    frontier.house.forget(above=10)
    frontier.outbox.record(Occurrences(wishes=[Wish(HOUSE.urn, "asked by a person", frontier.clock.turn(2))]))
    for _ in range(200):
        frontier.turns(1, seconds=11)
        frontier.turns(1)
        frontier.restart()
        if account(frontier).number >= 2:
            break
    assert account(frontier).number == 2
    assert len(frontier.house.held[(EXPORT, frontier.outbox.epoch)]) == 1_200
    assert [row.agreed for row in frontier.outbox.closings.chain()] == [True, True]


def test_a_manifest_that_is_lost_with_a_broker_is_repeated_but_never_into_a_dead_line(frontier: Frontier) -> None:
    settled(frontier, 5)
    frontier.house.closes = False  # it goes to a broker whose disk is wiped
    frontier.outbox.record(Occurrences(wishes=[Wish(HOUSE.urn, "asked by a person", frontier.clock.turn(2))]))
    until(frontier, lambda: frontier.outbox.closings.outstanding(HOUSE.urn, 1) is not None, seconds=1)
    frontier.ours.cut()
    frontier.turns(60, seconds=60)
    outstanding = frontier.outbox.closings.outstanding(HOUSE.urn, 1)
    assert outstanding is not None
    assert outstanding.sends <= 2  # one more may leave for the beacon that came home just before the cut
    frontier.ours.mend()
    frontier.house.closes = True
    until(frontier, lambda: account(frontier).number == 1, seconds=60)
    assert len({manifest.model_dump_json() for manifest in frontier.house.manifests}) == 1  # the same bytes again


def test_a_block_that_differs_by_an_id_is_told_with_both_ids_and_everything_else_closes(frontier: Frontier) -> None:
    settled(frontier, 2_300)
    settled(frontier, 2, 9_000, CROSSING)
    name = StreamName(EXPORT, frontier.outbox.epoch)
    lines = frontier.house.held[name]
    ours = lines[1_499]
    lines[1_499] = Line(1_500, "01900000-0000-7000-8000-000000000000", bytes(32))
    lines[:] = [line for line in lines if line.sequence != 2_200]  # and something that can be healed
    ask(frontier)
    (difference,) = frontier.outbox.closings.differences()
    assert (difference.stream, difference.sequence, difference.what) == (name, 1_500, Different.OTHER)
    assert (difference.event_id, difference.digest) == (ours.id, ours.digest)
    assert (difference.house_event_id, difference.house_digest) == (lines[1_499].id, bytes(32))
    assert 2_200 in {line.sequence for line in lines}
    assert account(frontier).number == 1
    runs = {run.type: run for run in account(frontier).streams}
    assert (runs[EXPORT].ceiling, runs[EXPORT].differing, runs[EXPORT].resent) == (1_000, 1, 1)
    assert runs[CROSSING].ceiling is None
    stated = {stream.type.value: stream.last for stream in frontier.house.manifests[-1].streams}
    assert stated == {EXPORT: 1_000, CROSSING: 2}
    lines[1_499] = ours  # people have settled it
    ask(frontier)
    assert frontier.outbox.closings.differences() == []
    assert frontier.house.manifests[-1].streams[1].last == 2_300


def test_a_house_that_lacks_the_same_events_again_and_again_is_not_sent_them_for_ever(frontier: Frontier) -> None:
    settled(frontier, 20)
    frontier.house.hold = lambda events: None  # type: ignore[method-assign]  # it answers and keeps nothing
    frontier.house.forget(above=0)
    ask(frontier)
    differences = frontier.outbox.closings.differences()
    assert [each.sequence for each in differences] == list(range(1, 21))
    assert {each.what for each in differences} == {Different.LOST}
    assert 20 < sum(frontier.house.seen.values()) <= 20 + 3 * 20 + RESENT_SPARE


def test_held_events_are_part_of_the_account_and_those_under_way_are_not(frontier: Frontier) -> None:
    settled(frontier, 3)
    frontier.house.fate = Fate.HELD
    frontier.outbox.accept(drafts(1, 100))
    until(frontier, frontier.relay.quiet, seconds=1)
    frontier.house.answers = False
    frontier.outbox.accept(drafts(1, 200))
    frontier.turns(3)
    frontier.house.answers, frontier.house.fate = True, Fate.LOADED
    frontier.outbox.accept(drafts(1, 300))
    frontier.turns(3)
    ask(frontier)
    assert frontier.house.manifests[-1].streams[0].last == 4


def test_a_held_event_that_the_house_lost_is_sent_again(frontier: Frontier) -> None:
    frontier.house.fate = Fate.HELD
    settled(frontier, 3)
    frontier.house.fate = Fate.LOADED
    frontier.house.forget(above=1)
    ask(frontier)
    assert sorted(frontier.house.seen.values()) == [1, 2, 2]
    assert frontier.outbox.counts()[0].held == 1
    assert account(frontier).number == 1


def test_a_withdrawn_event_that_the_house_lost_comes_back_as_its_tombstone_and_not_as_itself(
    frontier: Frontier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "monotonic", lambda: frontier.clock().timestamp())
    frontier.house.answers = False
    (taken,) = frontier.outbox.accept(drafts(1))
    frontier.turns(2)
    frontier.outbox.withdraw(WithdrawalWish("TJ/TJPNJ/2026/1", "entered twice"), "rahim")
    frontier.house.answers = True
    until(frontier, lambda: frontier.outbox.fate_of([taken.event_id])[0].settled)
    seen, tombstones = frontier.house.seen[taken.event_id], frontier.house.tombstones
    frontier.house.forget(above=0)
    ask(frontier)
    assert account(frontier).number == 1
    assert frontier.house.seen[taken.event_id] == seen
    assert frontier.house.tombstones == tombstones + 1
    assert frontier.outbox.fate_of([taken.event_id])[0].fate is Fate.REFUSED


def test_what_a_restored_post_learned_or_never_knew_is_compared_as_far_as_it_goes(frontier: Frontier) -> None:
    settled(frontier, 10)
    engine = open_engine(frontier.url)
    with writing(engine) as connection:  # as `panj post recover` leaves it: 4 and 5 are holes, of 7 the post has no bytes
        connection.execute(delete(outbox).where(outbox.c.sequence.in_([4, 5])))
        connection.execute(update(outbox).where(outbox.c.sequence == 7).values(learned=1, bytes=0, raw=b""))
    engine.dispose()
    lines = frontier.house.held[(EXPORT, frontier.outbox.epoch)]
    lines[:] = [line for line in lines if line.sequence != 4]  # nobody knows 4; 5 is the house's alone
    ask(frontier)
    assert frontier.house.manifests[-1].streams[0].blocks[0].absent == ((4, 5),)
    assert account(frontier).number == 1
    assert sum(frontier.house.seen.values()) == 10
    lines[:] = [line for line in lines if line.sequence not in (6, 7)]
    ask(frontier)
    (difference,) = frontier.outbox.closings.differences()
    assert (difference.sequence, difference.what) == (7, Different.LOST)
    assert 6 in {line.sequence for line in lines}


def test_the_house_may_ask_for_a_closing(frontier: Frontier) -> None:
    settled(frontier, 3)
    frontier.house.say(EventType.MANIFEST_REQUEST, {"reason": "restored from last night's backup", "everything": True})
    until(frontier, lambda: account(frontier).number == 1)
    assert account(frontier).reason == f"asked by {HOUSE.urn}: restored from last night's backup"
    assert account(frontier).everything


def test_more_blocks_than_one_manifest_holds_are_closed_one_after_another(frontier: Frontier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing_decisions, "MANIFEST_BLOCKS", 2)
    settled(frontier, 2_500)
    settled(frontier, 1, 9_000, CROSSING)
    ask(frontier)
    said = [[(stream.type.value, stream.last, len(stream.blocks)) for stream in manifest.streams] for manifest in frontier.house.manifests]
    assert said == [[(CROSSING, 1, 1), (EXPORT, 1_000, 1)], [(CROSSING, 1, 0), (EXPORT, 2_500, 2)]]
    assert account(frontier).number == 2


def test_a_post_whose_chain_was_set_back_goes_on_after_the_house_s(frontier: Frontier) -> None:
    settled(frontier, 3)
    frontier.house.last = (7, "A" * 43)
    ask(frontier)
    assert account(frontier).number == 8
    assert [manifest.number for manifest in frontier.house.manifests] == [1, 8]
    assert frontier.house.manifests[-1].previous == "A" * 43


def test_a_house_whose_chain_was_set_back_is_answered_on(frontier: Frontier) -> None:
    settled(frontier, 3)
    ask(frontier)
    ask(frontier)
    frontier.house.last = (0, None)
    ask(frontier)
    assert account(frontier).number == 3
    assert account(frontier).house_number == 0


def test_an_answer_to_a_manifest_that_nobody_stated_changes_nothing(frontier: Frontier) -> None:
    settled(frontier, 3)
    ask(frontier)
    before = account(frontier)
    answer = ManifestAnswer(number=2, manifest="A" * 43, agreed=True, backup_horizon_seconds=1, last_number=1, last_digest="A" * 43)
    frontier.house.say(EventType.MANIFEST_ANSWER, answer.model_dump(mode="json", exclude_none=True))
    frontier.turns(5)
    assert account(frontier) == before


def test_an_answer_that_comes_twice_counts_once(frontier: Frontier, monkeypatch: pytest.MonkeyPatch) -> None:
    settled(frontier, 3)
    subscription = frontier.relay._queues.subscriptions["af"]
    monkeypatch.setattr(subscription, "ack", lambda _: None)  # the process dies before it acknowledges
    ask(frontier)
    number = account(frontier).number
    frontier.restart()
    frontier.turns(5)
    assert account(frontier).number == number == 1


def test_a_closing_keeps_nobody_waiting_for_a_house_that_never_answers_manifests(frontier: Frontier) -> None:
    frontier.house.closes = False
    settled(frontier, 3)
    until(frontier, lambda: account(frontier).under_way, seconds=DAY / 20)
    settled(frontier, 300, 1_000)
    assert frontier.relay.quiet()
