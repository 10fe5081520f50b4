from __future__ import annotations

import json
import threading
from typing import Any

import pytest
import structlog

from broker.relay import lane as lane_module
from broker.trust.signing import verify
from schemas.errors import UnavailableError
from schemas.event import digest_of
from schemas.fates import Fate
from schemas.names import EventType, house_of
from tests.unit.outbox.drafts import CROSSING, HOUSE, POST, draft, drafts
from tests.unit.relay.frontier import Frontier, control_message, identity_of, with_header


def test_a_lone_event_leaves_in_the_turn_after_its_acceptance(frontier: Frontier) -> None:
    (taken,) = frontier.outbox.accept([draft(1)])
    frontier.relay.turn()
    frontier.house.work()
    assert frontier.house.seen == {taken.event_id: 1}
    frontier.turns(2)
    assert frontier.outbox.fate_of([taken.event_id])[0].fate is Fate.LOADED
    assert frontier.relay.quiet()


def test_the_receipt_that_settled_an_event_is_kept_as_the_house_signed_it(frontier: Frontier) -> None:
    taken = frontier.outbox.accept(drafts(3))
    frontier.turns(4)
    kept = [frontier.outbox.kept(one.reference)[0] for one in taken]
    raws = {one.receipt_raw for one in kept}
    assert len(raws) == 1
    (raw,), jws = raws, kept[0].receipt_jws
    assert raw is not None
    assert jws is not None
    assert verify(jws, [digest_of(raw)], frontier.trust, frontier.clock()).urn == HOUSE.urn
    assert [answer["id"] for answer in json.loads(raw)["data"]["answers"]] == [one.event_id for one in taken]


def test_a_backlog_leaves_in_few_bundles_and_every_event_is_settled_once(frontier: Frontier) -> None:
    taken = frontier.outbox.accept(drafts(3_200))
    frontier.turns(12)
    assert frontier.house.seen == {one.event_id: 1 for one in taken}
    assert max(count for _, count in frontier.house.bundles) == 500
    assert frontier.outbox.counts()[0].settled == 3_200
    assert frontier.relay.quiet()


def test_what_is_accepted_while_a_backlog_waits_passes_it_and_the_backlog_goes_on_too(frontier: Frontier) -> None:
    old = frontier.outbox.accept(drafts(3_000))
    frontier.clock.turn(3_600)
    frontier.restart(window_events=200)
    fresh = frontier.outbox.accept(drafts(40, first=10_001))
    frontier.turns(3)
    assert all(fate.fate is Fate.LOADED for fate in frontier.outbox.fate_of([one.event_id for one in fresh]))
    settled = frontier.outbox.counts()[0].settled
    assert 100 <= settled < 1_000
    for first in range(20_001, 20_401, 40):  # fresh ones without end do not stop the old ones
        frontier.outbox.accept(drafts(40, first=first))
        frontier.turns(2)
    assert sum(fate.settled for fate in frontier.outbox.fate_of([one.event_id for one in old])) > settled + 500
    frontier.turns(60)
    assert frontier.relay.quiet()
    assert set(frontier.house.seen.values()) == {1}


def test_the_window_is_never_passed_while_no_receipt_comes(frontier: Frontier) -> None:
    frontier.house.answers = False
    frontier.outbox.accept(drafts(2_500))
    frontier.turns(10)
    frontier.turns(1, seconds=1)  # without an answer for a second it is recorded as relayed
    assert frontier.outbox.in_flight(HOUSE.urn)[0] == 1_000
    assert frontier.outbox.counts()[0].waiting == 1_500
    frontier.restart()
    frontier.turns(5)
    assert sum(frontier.house.seen.values()) == 1_000


def test_the_window_bounds_bytes_too(frontier: Frontier) -> None:
    frontier.house.answers = False
    frontier.restart(window_bytes=64 * 1024)
    frontier.outbox.accept(drafts(200, length=1_000))
    frontier.turns(6)
    frontier.turns(1, seconds=1)
    events, size = frontier.outbox.in_flight(HOUSE.urn)
    assert 1 <= events < 100
    assert size < 64 * 1024 + 2_000


def test_a_dead_line_never_multiplies_the_backlog(frontier: Frontier) -> None:
    frontier.outbox.accept(drafts(600))
    frontier.ours.cut()
    frontier.turns(4)
    published = frontier.ours.published
    frontier.turns(120, seconds=60)  # two hours
    beacons = frontier.ours.published - published
    assert 60 <= beacons <= 121  # nothing but a beacon a minute
    frontier.ours.mend()
    frontier.turns(6)
    assert set(frontier.house.seen.values()) == {1}
    assert len(frontier.house.seen) == 600
    assert frontier.relay.quiet()


def test_what_was_lost_is_sent_again_only_after_a_beacon_came_back_and_the_grace_passed(frontier: Frontier) -> None:
    frontier.house.answers = False
    taken = frontier.outbox.accept(drafts(3))
    frontier.turns(3)
    assert set(frontier.house.seen.values()) == {1}
    frontier.turns(2, seconds=11)  # a beacon left after it and came back, but 30 s have not passed
    assert frontier.outbox.beacons()[0].returned_mark >= 2
    assert set(frontier.house.seen.values()) == {1}
    frontier.house.answers = True
    frontier.turns(4, seconds=5)
    assert frontier.house.seen == {one.event_id: 2 for one in taken}
    frontier.turns(3)
    assert frontier.relay.quiet()


def test_nothing_is_sent_again_while_the_house_keeps_its_beacons(frontier: Frontier) -> None:
    frontier.house.answers = frontier.house.returns_beacons = False
    frontier.outbox.accept(drafts(3))
    frontier.turns(100, seconds=60)
    assert set(frontier.house.seen.values()) == {1}


def test_waits_between_resends_grow(frontier: Frontier) -> None:
    frontier.house.answers = False
    frontier.outbox.accept(drafts(1))
    frontier.turns(400, seconds=2)  # 800 s: relayed at 0, again after 30, 60, 120, 240 more
    assert 4 <= sum(frontier.house.seen.values()) <= 5


def test_fresh_events_keep_going_while_old_ones_wait_for_receipts(frontier: Frontier) -> None:
    frontier.house.answers = False
    frontier.outbox.accept(drafts(10))
    frontier.turns(3)
    frontier.house.answers = True
    fresh = frontier.outbox.accept(drafts(10, 100))
    frontier.turns(3)
    assert all(fate.fate is Fate.LOADED for fate in frontier.outbox.fate_of([one.event_id for one in fresh]))
    frontier.turns(1, seconds=1)
    assert frontier.outbox.in_flight(HOUSE.urn)[0] == 10


def test_a_held_event_is_not_sent_again_and_frees_its_credit(frontier: Frontier) -> None:
    frontier.house.fate = Fate.HELD
    frontier.outbox.accept(drafts(1_000))
    frontier.turns(6)
    frontier.house.fate = Fate.LOADED
    fresh = frontier.outbox.accept([draft("late")])
    frontier.turns(20, seconds=60)
    assert frontier.outbox.fate_of([fresh[0].event_id])[0].fate is Fate.LOADED
    assert set(frontier.house.seen.values()) == {1}
    assert frontier.outbox.counts()[0].held == 1_000
    frontier.turns(60, seconds=60)  # past the hour they are asked about, and their final fate comes
    assert frontier.outbox.counts()[0].settled == 1_001


def test_killed_before_the_confirm_was_recorded_the_bundle_leaves_again_and_settles_once(frontier: Frontier) -> None:
    taken = frontier.outbox.accept(drafts(5))
    frontier.relay.turn()  # published, confirmed by the broker, not recorded
    frontier.restart()
    frontier.turns(4)
    assert frontier.house.seen == {one.event_id: 2 for one in taken}
    assert frontier.outbox.counts()[0].settled == 5


def test_killed_after_every_turn_it_still_ends_with_all_settled(frontier: Frontier) -> None:
    frontier.outbox.accept(drafts(50))
    for _ in range(12):
        frontier.turns(1, seconds=1)
        frontier.restart()
    frontier.turns(3)
    assert frontier.outbox.counts()[0].settled == 50


def test_killed_between_recording_and_acknowledging_the_receipt_comes_again_and_changes_nothing(
    frontier: Frontier, monkeypatch: pytest.MonkeyPatch
) -> None:
    frontier.outbox.accept(drafts(5))
    frontier.turns(1)
    subscription = frontier.relay._queues.subscriptions["af"]
    monkeypatch.setattr(subscription, "ack", lambda _: None)  # the process dies here
    frontier.relay.turn()
    assert frontier.outbox.counts()[0].settled == 5
    frontier.restart()
    frontier.turns(2)
    assert frontier.outbox.counts()[0].settled == 5
    assert frontier.ours.depth(POST.unit) == 0


def test_marks_rise_through_restarts(frontier: Frontier) -> None:
    marks = []
    for _ in range(4):
        frontier.turns(2, seconds=61)
        marks.append(frontier.outbox.beacons()[0].sent_mark)
        frontier.restart()
    assert marks == sorted(set(marks))
    frontier.turns(1)
    assert frontier.outbox.beacons()[0].returned_mark >= marks[-1]


def test_a_beacon_tells_the_house_our_epoch_and_brings_home_how_far_it_holds_it(frontier: Frontier) -> None:
    frontier.outbox.accept(drafts(7))
    frontier.turns(3, seconds=11)
    (state,) = frontier.outbox.beacons()
    assert (state.highest_epoch, state.highest) == (frontier.outbox.epoch, 7)


def test_a_broker_that_is_away_loses_nothing(frontier: Frontier, monkeypatch: pytest.MonkeyPatch) -> None:
    times = hand_time(monkeypatch)
    frontier.outbox.accept(drafts(700))
    frontier.ours.fail()
    for _ in range(20):
        frontier.turns(1)
        times[0] += 1
    assert frontier.outbox.counts()[0].waiting == 700
    frontier.ours.recover()
    times[0] += 10
    frontier.turns(8)
    assert frontier.outbox.counts()[0].settled == 700


def test_an_unrouted_type_stays_in_the_outbox_is_told_once_and_blocks_no_other(frontier: Frontier, monkeypatch: pytest.MonkeyPatch) -> None:
    times = hand_time(monkeypatch)
    with structlog.testing.capture_logs() as logs:
        frontier.outbox.accept([draft(1, event_type=CROSSING), *drafts(3, 10)])
        for _ in range(30):
            frontier.turns(1)
            times[0] += 1
        assert frontier.outbox.counts()[0].settled == 3
        assert frontier.outbox.counts()[0].waiting == 1
        frontier.outbox.accept(drafts(3, 20))
        frontier.turns(3)
        assert frontier.outbox.counts()[0].settled == 6
    told = [entry for entry in logs if entry["event"] == "bundle.returned"]
    assert len(told) == 1
    assert "topology check" in told[0]["advice"]
    frontier.theirs.declare("af-customs.record", "af-customs.customs-crossing-event-v1.*")
    times[0] += 60
    frontier.turns(4)
    assert frontier.relay.quiet()


def test_a_receipt_from_anybody_but_the_house_is_parked_and_settles_nothing(frontier: Frontier) -> None:
    frontier.house.answers = False
    (taken,) = frontier.outbox.accept([draft(1)])
    frontier.turns(3)
    row = frontier.outbox.rows_of("TJ/TJPNJ/2026/1")[0]
    answer: dict[str, Any] = {"answers": [{"id": taken.event_id, "digest": "A" * 43, "fate": "LOADED", "problems": []}]}
    assert row.event_id == taken.event_id
    other_house = house_of("tj")
    for message, code in (
        (with_header(control_message(EventType.RECEIPT, answer, HOUSE, frontier.house.identity, frontier.clock()), jws="e..s"), "jws"),
        (control_message(EventType.RECEIPT, answer, other_house, identity_of(frontier.tajik, other_house), frontier.clock()), "trust"),
    ):
        frontier.theirs.broker().publish([message, message])
        frontier.turns(2)
        assert any(parked.code.startswith(code) and parked.times == 2 for parked in frontier.outbox.parked_control())
    frontier.turns(1, seconds=1)
    assert frontier.ours.depth(POST.unit) == 0
    assert frontier.outbox.in_flight(HOUSE.urn)[0] == 1


def test_a_receipt_with_another_digest_is_counted_and_settles_nothing(frontier: Frontier) -> None:
    frontier.house.answers = False
    (taken,) = frontier.outbox.accept([draft(1)])
    frontier.turns(3)
    answers = [{"id": taken.event_id, "digest": digest * 43, "fate": "LOADED", "problems": []} for digest in "AB"]  # B…: not canonical
    frontier.house.say(EventType.RECEIPT, {"answers": answers})
    frontier.turns(2)
    frontier.turns(1, seconds=1)
    assert frontier.outbox.in_flight(HOUSE.urn)[0] == 1
    assert frontier.outbox.counts()[0].receipts_mismatched == 2


def test_a_control_event_with_bad_content_is_parked_and_the_relay_goes_on(frontier: Frontier) -> None:
    frontier.house.say(EventType.RECEIPT, {"answers": "none"})
    frontier.house.say(EventType.BEACON, {"mark": 0})
    (taken,) = frontier.outbox.accept([draft(1)])
    frontier.turns(4)
    assert len(frontier.outbox.parked_control()) == 2
    assert frontier.outbox.fate_of([taken.event_id])[0].settled


def test_a_second_relay_is_refused_and_a_lost_lease_stops_the_first(frontier: Frontier) -> None:
    second = frontier.new_relay()
    with pytest.raises(UnavailableError, match="outbox-leased"):
        second.open()
    frontier.clock.turn(100)  # the first one stalls; its lease ends
    second.open()
    frontier.relay._tenure._renewed_at -= 100
    frontier.outbox.accept([draft(1)])
    with pytest.raises(UnavailableError, match="outbox-lease-lost"):
        frontier.relay.turn()
    frontier.house.work()
    assert sum(frontier.house.seen.values()) == 0
    second.close()


def test_nothing_is_signed_by_an_expired_certificate_or_a_clock_set_back(frontier: Frontier) -> None:
    frontier.outbox.accept([draft(1)])
    frontier.clock.turn(-60)
    published = frontier.ours.published
    for _ in range(2):
        with pytest.raises(UnavailableError, match="clock-behind"):
            frontier.relay.turn()
    assert frontier.ours.published == published  # no beacon either
    frontier.clock.turn(60 + 3600 * 24 * 3650)
    with pytest.raises(UnavailableError, match="certificate-expired"):
        frontier.relay.turn()
    frontier.clock.turn(-3600 * 24 * 3650)
    frontier.turns(3)
    assert frontier.relay.quiet()


def test_a_resend_is_not_signed_either_while_the_clock_stands_before_a_later_event(frontier: Frontier) -> None:
    frontier.house.answers = False
    frontier.outbox.accept([draft(1)])
    frontier.turns(3)
    frontier.turns(1, seconds=50)
    frontier.outbox.accept([draft(2)])
    frontier.clock.turn(-20)
    with pytest.raises(UnavailableError, match="clock-behind"):
        frontier.relay.turn()
    frontier.restart()  # a new process knows it from the outbox
    with pytest.raises(UnavailableError, match="clock-behind"):
        frontier.relay.turn()
    frontier.clock.turn(20)
    frontier.turns(3)
    frontier.house.answers = True
    frontier.turns(8, seconds=20)
    assert frontier.relay.quiet()


def test_what_comes_home_is_recorded_while_nothing_may_be_signed(frontier: Frontier) -> None:
    frontier.outbox.accept([draft(1)])
    frontier.relay.turn()
    frontier.house.work()
    frontier.clock.turn(-60)
    with pytest.raises(UnavailableError, match="clock-behind"):
        frontier.relay.turn()
    assert frontier.relay.quiet()


def test_run_relays_wakes_on_acceptance_and_stops_when_told(frontier: Frontier) -> None:
    frontier.relay.close()
    stop = threading.Event()
    runner = threading.Thread(target=frontier.relay.run, args=(stop,))

    def work() -> None:
        while not stop.wait(0.01):
            frontier.house.work()

    houses = threading.Thread(target=work)
    runner.start()
    houses.start()
    try:
        taken = frontier.outbox.accept(drafts(20))
        frontier.relay.wake()
        fates = frontier.relay.wait_settled([one.event_id for one in taken], 20)
        assert [fate.fate for fate in fates] == [Fate.LOADED] * 20
    finally:
        stop.set()
        frontier.relay.wake()
        runner.join(10)
        houses.join(10)
    assert not runner.is_alive()
    assert frontier.outbox.holder() is None


def hand_time(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The lanes' monotonic clock, turned by hand."""
    times = [1_000.0]
    monkeypatch.setattr(lane_module, "monotonic", lambda: times[0])
    return times


def test_what_is_answered_at_once_is_written_once_with_when_and_after_which_beacon_it_left(frontier: Frontier) -> None:
    frontier.turns(2)  # the first beacon
    frontier.outbox.accept([draft(1)])
    frontier.relay.turn()
    frontier.clock.turn(0.2)
    confirmed_at = frontier.clock()
    frontier.relay.turn()
    frontier.clock.turn(0.2)
    frontier.house.work()
    assert frontier.outbox.counts()[0].waiting == 1  # nothing is recorded before it is answered
    frontier.relay.turn()
    row = frontier.outbox.rows_of("TJ/TJPNJ/2026/1")[0]
    assert row.fate == "LOADED"
    assert (row.relayed_at_utc, row.relayed_mark, row.relays) == (confirmed_at, 1, 1)
    assert row.settled_at_utc == frontier.clock()


def test_what_left_and_was_not_recorded_when_the_process_died_leaves_again_and_is_settled_once(frontier: Frontier) -> None:
    accepted = frontier.outbox.accept(drafts(20))
    frontier.relay.turn()
    frontier.relay.turn()  # confirmed
    frontier.restart()
    frontier.turns(4)
    assert set(frontier.house.seen.values()) == {2}
    assert all(fate.fate is Fate.LOADED for fate in frontier.outbox.fate_of([one.event_id for one in accepted]))
    assert frontier.relay.quiet()
