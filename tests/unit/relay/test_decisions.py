from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.outbox.values import BeaconState, OutboxRow, RelayedRow
from broker.ports import Published
from broker.relay.decisions import (
    GRACE_CAP_SECONDS,
    BundleLimits,
    Credit,
    ResendDecision,
    beacon_due,
    beacon_interval_seconds,
    bundle_limits,
    credit,
    cut_bundles,
    due_for_resend,
    failure_wait_seconds,
    grace_seconds,
    is_morsel,
)
from broker.relay.outage import Outages
from schemas.limits import BODY_BYTES, BUNDLE_EVENTS

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
COUNTS = st.integers(min_value=0, max_value=10**9)


@st.composite
def some_rows(draw: st.DrawFn) -> list[OutboxRow]:
    shapes = draw(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(1, 400)), max_size=60))
    return [
        OutboxRow(position, destination, event_type, size, NOW, 0, bytes(32), b"")
        for position, (destination, event_type, size) in enumerate(shapes, 1)
    ]


@given(some_rows(), st.integers(1, 10), st.integers(1, 1_000))
def test_bundles_hold_every_row_once_in_order_within_the_limits(rows: list[OutboxRow], events: int, size: int) -> None:
    bundles = cut_bundles(rows, BundleLimits(events, size))
    assert sorted(row.position for bundle in bundles for row in bundle.rows) == [row.position for row in rows]
    for bundle in bundles:
        assert {(row.destination, row.type) for row in bundle.rows} == {(bundle.destination, bundle.type)}
        assert len(bundle.rows) <= events
        assert len(bundle.rows) == 1 or bundle.size_bytes + 2 * len(bundle.rows) <= size
    for name in {(row.destination, row.type) for row in rows}:
        positions = [row.position for bundle in bundles if (bundle.destination, bundle.type) == name for row in bundle.rows]
        assert positions == sorted(positions)
    assert [bundle.rows[0].position for bundle in bundles] == sorted(bundle.rows[0].position for bundle in bundles)


@given(some_rows())
def test_bundles_are_as_few_as_can_be_where_only_their_number_bounds_them(rows: list[OutboxRow]) -> None:
    names = [(row.destination, row.type) for row in rows]
    fewest = sum(-(-names.count(name) // 5) for name in set(names))
    assert len(cut_bundles(rows, BundleLimits(5, 10**9))) == fewest


def test_a_slow_line_makes_small_bundles_and_a_fast_one_the_protocols() -> None:
    assert bundle_limits(None).events == BUNDLE_EVENTS
    assert bundle_limits(None).bytes < BODY_BYTES
    assert bundle_limits(64).bytes == 64_000
    assert bundle_limits(10**6) == bundle_limits(None)


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_credit_is_never_negative_and_never_more_than_the_window(window: int, window_bytes: int, flying: int, flying_bytes: int) -> None:
    left = credit(Credit(window, window_bytes), Credit(flying, flying_bytes))
    assert 0 <= left.events <= window
    assert 0 <= left.bytes <= window_bytes
    assert left.spent == (flying >= window or flying_bytes >= window_bytes)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 60), st.floats(0, 10**6), st.floats(0.1, 86_400), st.booleans())
def test_a_row_is_sent_again_only_after_a_later_beacon_and_its_grace(
    relayed_mark: int, returned_mark: int, relays: int, age: float, grace: float, held: bool
) -> None:
    row = RelayedRow(1, 100, NOW - timedelta(seconds=age), relayed_mark, relays, "HELD" if held else None)
    decision = due_for_resend(row, returned_mark, NOW, grace)
    if decision is ResendDecision.DUE:
        assert returned_mark > relayed_mark
        assert age >= min(grace, 1) - 0.001
        assert not held or age >= 3_599
    if returned_mark <= relayed_mark:
        assert decision is ResendDecision.BEACON_MISSING
    # Once due it stays due: time and beacons only bring it nearer.
    if decision is ResendDecision.DUE:
        assert due_for_resend(row, returned_mark + 1, NOW + timedelta(days=1), grace) is ResendDecision.DUE


@given(st.integers(1, 1_000), st.floats(0.1, 86_400))
def test_grace_doubles_up_to_a_bound(relays: int, first: float) -> None:
    now, later = grace_seconds(relays, first), grace_seconds(relays + 1, first)
    assert first <= now <= later <= max(first, GRACE_CAP_SECONDS)
    assert later in (pytest.approx(2 * now), max(first, GRACE_CAP_SECONDS))


@given(st.integers(0, 10_000), st.floats(0.1, 3_600), st.booleans())
def test_beacons_grow_rare_while_none_comes_back_but_never_stop(unanswered: int, usual: float, unsettled: bool) -> None:
    def interval(marks: int) -> float:
        return beacon_interval_seconds(BeaconState("x", marks + 5, NOW, 5, NOW), unsettled=unsettled, beacon_seconds=usual)

    assert usual <= interval(unanswered) <= interval(unanswered + 1) <= max(60.0, usual)
    assert interval(0) == (usual if unsettled else max(60.0, usual))


def test_the_first_beacon_leaves_at_once_and_a_clock_set_back_does_not_silence_it() -> None:
    assert beacon_due(BeaconState("x"), NOW, unsettled=False, beacon_seconds=10)
    sent = BeaconState("x", 1, NOW, 1, NOW)
    assert not beacon_due(sent, NOW + timedelta(seconds=9), unsettled=True, beacon_seconds=10)
    assert beacon_due(sent, NOW + timedelta(seconds=10), unsettled=True, beacon_seconds=10)
    assert beacon_due(sent, NOW - timedelta(hours=1), unsettled=True, beacon_seconds=10)


@given(st.integers(1, 10_000), st.sampled_from([Published.LOST, Published.REFUSED, Published.RETURNED]))
def test_failures_are_followed_by_growing_bounded_waits(failures: int, how: Published) -> None:
    assert 1 <= failure_wait_seconds(failures, how) <= failure_wait_seconds(failures + 1, how) <= 60


def test_an_outage_is_tried_with_one_bundle_at_growing_waits_until_one_is_taken() -> None:
    outages = Outages("urn:customs:af:customs")
    outages.failed("t", Published.RETURNED, 500, 100.0)
    outages.failed("t", Published.RETURNED, 500, 100.0)  # left together with the first: counts as one
    assert (outages.types, outages.due(100.9), outages.due(101.0)) == (frozenset({"t"}), [], ["t"])
    outages.trying("t")
    assert outages.due(10**9) == []
    outages.failed("t", Published.RETURNED, 500, 101.0)
    assert (outages.due(102.9), outages.due(103.0)) == ([], ["t"])
    assert outages.succeeded("t")
    assert (outages.types, outages.due(10**9), outages.succeeded("t")) == (frozenset(), [], False)


@given(st.integers(1, 5_000), st.integers(1, 10**7), st.integers(1, 5_000), st.integers(1, 10**7))
def test_what_fits_into_the_credit_never_waits_for_more_of_it(events: int, size: int, more_events: int, more_bytes: int) -> None:
    left = Credit(events + more_events, 2 * size + more_bytes)
    assert not is_morsel(Credit(events, size), left, Credit(5_000, 16 * 1024**2), BundleLimits(500, 4 * 1024**2))


@pytest.mark.parametrize(("taken", "waits"), [(1, True), (24, True), (25, False), (100, False)])
def test_a_piece_of_a_backlog_waits_until_a_quarter_of_a_small_window_is_free(taken: int, waits: bool) -> None:
    assert is_morsel(Credit(taken, taken * 400), Credit(taken, 10**6), Credit(100, 2**24), bundle_limits(None)) is waits


def test_a_piece_of_a_backlog_waits_until_a_bundle_is_free_of_a_large_window() -> None:
    window, limits = Credit(5_000, 16 * 1024**2), bundle_limits(None)
    assert is_morsel(Credit(499, 200_000), Credit(499, 10**7), window, limits)
    assert not is_morsel(Credit(500, 200_000), Credit(500, 10**7), window, limits)
    assert is_morsel(Credit(40, 39_000), Credit(4_000, 39_500), window, limits)  # cut off by bytes
