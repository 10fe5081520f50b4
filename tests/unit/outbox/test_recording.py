from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from broker.clocks import Skew
from broker.outbox.parked import ROWS
from broker.outbox.store import Outbox
from broker.outbox.tables import receipt as receipt_table
from broker.outbox.values import (
    BeaconReturned,
    BeaconSent,
    BeaconState,
    Occurrences,
    ParkedControl,
    ReceivedReceipt,
    Recorded,
    Relayed,
    Settlement,
)
from schemas.errors import UnavailableError
from schemas.event import digest_of
from schemas.fates import Fate
from schemas.names import house_of
from tests.unit.outbox.drafts import HOUSE, PROBLEM, HandClock, digests_of, draft, drafts, relay_all, settle


def test_a_row_waits_then_is_in_flight_then_settled(outbox: Outbox, clock: HandClock) -> None:
    taken = outbox.accept(drafts(3))
    digests = digests_of(outbox)
    relay_all(outbox, clock)
    assert outbox.waiting(HOUSE.urn, 10, 10**6) == []
    assert outbox.in_flight(HOUSE.urn)[0] == 3
    settle(outbox, taken[:1], digests)
    settle(outbox, taken[1:2], digests, Fate.REFUSED)
    (depth,) = outbox.counts()
    assert (depth.accepted, depth.waiting, depth.in_flight, depth.settled, depth.refused) == (3, 0, 1, 2, 1)
    fates = {fate.event_id: fate for fate in outbox.fate_of([one.event_id for one in taken])}
    assert fates[taken[0].event_id].fate is Fate.LOADED
    assert fates[taken[1].event_id].problems == (PROBLEM,)
    assert not fates[taken[2].event_id].settled
    assert not outbox.is_quiet()
    settle(outbox, taken[2:], digests)
    assert outbox.is_quiet()


def test_a_receipt_settles_only_where_id_digest_and_house_fit(outbox: Outbox, clock: HandClock) -> None:
    (taken,) = outbox.accept([draft(1)])
    digest = digests_of(outbox)[taken.event_id]
    relay_all(outbox, clock)
    strangers = [
        Settlement(taken.event_id, bytes(32), HOUSE.urn, Fate.LOADED),
        Settlement(taken.event_id, b"", HOUSE.urn, Fate.LOADED),
        Settlement("01930000-0000-7000-8000-000000000000", digest, HOUSE.urn, Fate.LOADED),
        Settlement(taken.event_id, digest, house_of("uz").urn, Fate.LOADED),
    ]
    recorded = outbox.record(Occurrences(settlements=strangers))
    assert (recorded.mismatched, dict(recorded.settled)) == (4, {})
    (depth,) = outbox.counts()
    assert (depth.in_flight, depth.receipts_mismatched) == (1, 3)


def test_the_first_final_fate_stands(outbox: Outbox, clock: HandClock) -> None:
    taken = outbox.accept(drafts(1))
    digests = digests_of(outbox)
    relay_all(outbox, clock)
    settle(outbox, taken, digests)
    assert settle(outbox, taken, digests).repeated == 1
    assert settle(outbox, taken, digests, Fate.HELD).repeated == 1
    assert settle(outbox, taken, digests, Fate.REFUSED).contradicted == 1
    assert outbox.fate_of([taken[0].event_id])[0].fate is Fate.LOADED
    assert outbox.counts()[0].receipts_contradicted == 1


def test_held_is_an_interim_answer_and_the_final_one_settles(outbox: Outbox, clock: HandClock) -> None:
    taken = outbox.accept(drafts(2))
    digests = digests_of(outbox)
    relay_all(outbox, clock)
    assert settle(outbox, taken, digests, Fate.HELD).held == {HOUSE.urn: [1, 2]}
    assert (outbox.counts()[0].held, outbox.in_flight(HOUSE.urn)) == (2, (0, 0))
    assert outbox.is_quiet()
    assert outbox.fate_of([taken[0].event_id])[0].answered_fate is Fate.HELD
    settle(outbox, taken[:1], digests)
    fate = outbox.fate_of([taken[0].event_id])[0]
    assert (fate.fate, fate.problems) == (Fate.LOADED, ())
    assert outbox.counts()[0].held == 1


def test_held_and_final_in_one_recording_end_final(outbox: Outbox, clock: HandClock) -> None:
    (taken,) = outbox.accept(drafts(1))
    digest = digests_of(outbox)[taken.event_id]
    relay_all(outbox, clock)
    answers = [
        Settlement(taken.event_id, digest, HOUSE.urn, Fate.HELD, (PROBLEM,)),
        Settlement(taken.event_id, digest, HOUSE.urn, Fate.LOADED),
    ]
    outbox.record(Occurrences(settlements=answers))
    fate = outbox.fate_of([taken.event_id])[0]
    assert (fate.fate, fate.problems) == (Fate.LOADED, ())


def receipt(number: int) -> ReceivedReceipt:
    raw = f"receipt {number}".encode()
    return ReceivedReceipt(digest_of(raw), HOUSE.urn, raw, f"signature {number}")


@pytest.mark.parametrize("each", [1, 40])
def test_a_receipt_is_kept_as_it_came_once_for_all_that_it_settles(outbox: Outbox, clock: HandClock, each: int) -> None:
    taken = outbox.accept(drafts(2 * each))
    digests = digests_of(outbox)
    relay_all(outbox, clock)
    receipts = [receipt(1), receipt(2)]
    answers = [
        Settlement(one.event_id, digests[one.event_id], HOUSE.urn, Fate.LOADED, receipt=receipts[index // each].digest)
        for index, one in enumerate(taken)
    ]
    outbox.record(Occurrences(settlements=answers, receipts=receipts))
    for index, one in enumerate(taken):
        (kept,) = outbox.kept(one.reference)
        assert (kept.event_id, kept.receipt_raw) == (one.event_id, receipts[index // each].raw)
        assert (kept.receipt_jws, kept.received_at_utc) == (f"signature {index // each + 1}", clock())
        assert digest_of(kept.raw) == digests[one.event_id]


def test_a_receipt_that_settles_nothing_is_not_kept_and_the_final_one_replaces_the_interim_one(outbox: Outbox, clock: HandClock) -> None:
    (taken,) = outbox.accept([draft(1)])
    digest = digests_of(outbox)[taken.event_id]
    relay_all(outbox, clock)
    assert outbox.kept(taken.reference)[0].receipt_raw is None

    def say(number: int, fate: Fate, said_of: bytes = digest) -> bytes | None:
        answer = Settlement(taken.event_id, said_of, HOUSE.urn, fate, receipt=receipt(number).digest)
        outbox.record(Occurrences(settlements=[answer], receipts=[receipt(number)]))
        return outbox.kept(taken.reference)[0].receipt_raw

    assert say(1, Fate.LOADED, bytes(32)) is None
    assert say(2, Fate.HELD) == b"receipt 2"
    assert say(3, Fate.LOADED) == b"receipt 3"
    assert say(4, Fate.LOADED) == b"receipt 3"
    with outbox._engine.connect() as connection:
        assert connection.execute(select(receipt_table.c.raw).order_by(receipt_table.c.raw)).scalars().all() == [b"receipt 2", b"receipt 3"]


def test_a_receipt_that_overtakes_the_confirm_settles_and_the_confirm_changes_nothing(outbox: Outbox, clock: HandClock) -> None:
    taken = outbox.accept(drafts(1))
    settle(outbox, taken, digests_of(outbox))
    assert outbox.waiting(HOUSE.urn, 10, 10**6) == []
    outbox.record(Occurrences(relayed=[Relayed((1,), 3, clock())]))
    assert outbox.relayed(HOUSE.urn) == []
    (row,) = outbox.rows_of("TJ/TJPNJ/2026/1")
    assert (row.fate, row.relayed_at_utc) == ("LOADED", clock())


def test_relaying_again_counts_and_moves_the_mark(outbox: Outbox, clock: HandClock) -> None:
    outbox.accept(drafts(1))
    outbox.record(Occurrences(relayed=[Relayed((1,), 3, clock())]))
    later = clock.turn(60)
    outbox.record(Occurrences(relayed=[Relayed((1,), 9, later)]))
    (row,) = outbox.relayed(HOUSE.urn)
    assert (row.relays, row.relayed_mark, row.relayed_at_utc) == (2, 9, later)
    assert outbox.relayed(HOUSE.urn, later - timedelta(seconds=1)) == []


def test_beacon_marks_only_rise_and_the_skew_is_measured(outbox: Outbox, clock: HandClock) -> None:
    sent = clock()
    outbox.record(Occurrences(sent=[BeaconSent(HOUSE.urn, 1, sent)]))
    outbox.record(Occurrences(returned=[BeaconReturned(HOUSE.urn, 2, sent, sent)]))  # never sent
    assert outbox.beacons() == [BeaconState(HOUSE.urn, 1, sent)]
    home = clock.turn(4)
    outbox.record(Occurrences(returned=[BeaconReturned(HOUSE.urn, 1, sent + timedelta(seconds=12), home)]))
    assert outbox.beacons() == [BeaconState(HOUSE.urn, 1, sent, 1, home, Skew(8.0, 12.0), home)]
    outbox.record(Occurrences(sent=[BeaconSent(HOUSE.urn, 2, home)]))
    outbox.record(Occurrences(sent=[BeaconSent(HOUSE.urn, 1, sent)]))
    assert (outbox.beacons()[0].sent_mark, outbox.beacons()[0].returned_mark) == (2, 1)


def test_receipts_measure_the_skew_between_relaying_and_coming_home(outbox: Outbox, clock: HandClock) -> None:
    outbox.record(Occurrences(sent=[BeaconSent(HOUSE.urn, 1, clock())]))
    events = outbox.accept(drafts(3))
    digests = digests_of(outbox)
    relay_all(outbox, clock)
    relayed, ahead = clock(), timedelta(hours=2)

    def answer(number: int) -> Recorded:
        came = replace(receipt(number), said_at_utc=clock() + ahead)
        event = events[number].event_id
        answers = [Settlement(event, digests[event], HOUSE.urn, Fate.LOADED, receipt=came.digest)]
        return outbox.record(Occurrences(settlements=answers, receipts=[came]))

    clock.turn(3)
    assert answer(0).skews == {HOUSE.urn: Skew(7200.0, 7203.0)}
    assert outbox.beacons()[0].skew == Skew(7200.0, 7203.0)
    clock.turn(5)
    assert answer(1).skews == {}  # measured a moment ago
    clock.turn(20)
    assert answer(2).skews == {HOUSE.urn: Skew(7200.0, 7203.0)}  # the narrower one stands
    assert clock() - relayed == timedelta(seconds=28)


def test_an_event_that_left_twice_measures_nothing(outbox: Outbox, clock: HandClock) -> None:
    outbox.record(Occurrences(sent=[BeaconSent(HOUSE.urn, 1, clock())]))
    (event,) = outbox.accept(drafts(1))
    digests = digests_of(outbox)
    first = clock()
    outbox.record(Occurrences(relayed=[Relayed((1,), 1, first)]))
    outbox.record(Occurrences(relayed=[Relayed((1,), 1, clock.turn(60))]))
    came = replace(receipt(1), said_at_utc=first + timedelta(seconds=1))  # the answer to the first copy, come late
    answers = [Settlement(event.event_id, digests[event.event_id], HOUSE.urn, Fate.LOADED, receipt=came.digest)]
    assert outbox.record(Occurrences(settlements=answers, receipts=[came])).skews == {}
    assert outbox.beacons()[0].skew is None


def test_what_a_beacon_says_of_the_house_is_kept_with_its_epoch(outbox: Outbox, clock: HandClock) -> None:
    sent = clock()
    outbox.record(Occurrences(sent=[BeaconSent(HOUSE.urn, 1, sent)]))
    outbox.record(Occurrences(returned=[BeaconReturned(HOUSE.urn, 1, sent, sent, outbox.epoch, 17)]))
    (state,) = outbox.beacons()
    assert (state.highest_epoch, state.highest) == (outbox.epoch, 17)
    outbox.record(Occurrences(sent=[BeaconSent(HOUSE.urn, 2, sent)], returned=[BeaconReturned(HOUSE.urn, 1, sent, sent, outbox.epoch, 99)]))
    assert outbox.beacons()[0].highest == 17  # an old beacon says nothing new


def test_parked_control_messages_are_counted_by_their_digest_and_bounded(outbox: Outbox, clock: HandClock) -> None:
    one = ParkedControl(bytes(32), "af", "jws-signature")
    outbox.record(Occurrences(parked=[one, one]))
    clock.turn(1)
    outbox.record(Occurrences(parked=[one]))
    (row,) = outbox.parked_control()
    assert (row.times, row.code, row.lane) == (3, "jws-signature", "af")
    clock.turn(1)
    outbox.record(Occurrences(parked=[ParkedControl(number.to_bytes(32, "big"), "af", "jws-signature") for number in range(1, ROWS + 3)]))
    assert len(outbox.parked_control()) == ROWS


def test_one_relay_per_outbox_and_the_error_names_the_holder(outbox: Outbox, clock: HandClock) -> None:
    outbox.lease.take("elsewhere:1:aa", 15)
    outbox.lease.take("elsewhere:1:aa", 15)
    with pytest.raises(UnavailableError, match="elsewhere:1:aa"):
        outbox.lease.take("elsewhere:2:bb", 15)
    assert outbox.holder() == "elsewhere:1:aa"
    clock.turn(10)
    outbox.lease.renew("elsewhere:1:aa", 15)
    clock.turn(10)
    with pytest.raises(UnavailableError, match="outbox-leased"):
        outbox.lease.take("elsewhere:2:bb", 15)
    clock.turn(6)
    outbox.lease.take("elsewhere:2:bb", 15)
    with pytest.raises(UnavailableError, match="outbox-lease-lost"):
        outbox.lease.renew("elsewhere:1:aa", 15)
    outbox.lease.release("elsewhere:1:aa")  # not its own any more: nothing happens
    assert outbox.holder() == "elsewhere:2:bb"
    outbox.lease.release("elsewhere:2:bb")
    assert outbox.holder() is None
