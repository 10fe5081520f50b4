"""Withdrawing at the post: which events may be, what is sent in their stead, and which answer settles them. On both databases."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from broker.audit import entries, first_broken
from broker.outbox.store import Outbox
from broker.outbox.tables import audit
from broker.outbox.tables import outbox as table
from broker.outbox.values import Occurrences, Relayed, Settlement, WithdrawalStep, WithdrawalWish, Withdrawn
from broker.outbox.withdrawing import OPAQUE_REASON
from broker.trust.signing import b64url
from schemas.control import Withdrawal
from schemas.errors import ConflictError, PanjError, Problem, UsageError
from schemas.event import Event, digest_of
from schemas.fates import Fate
from schemas.names import EventType, house_of
from tests.unit.outbox.drafts import HOUSE, HandClock, digests_of, draft, drafts, relay_all, settle

WITHDRAWN = Problem(code="withdrawn", text="withdrawn by its sender: wrong truck")


def withdraw(outbox: Outbox, number: int | str = 1, **more: Any) -> list[Withdrawn]:
    return outbox.withdraw(WithdrawalWish(f"TJ/TJPNJ/2026/{number}", "wrong truck", **more), "amina")


def said_by(outbox: Outbox) -> list[tuple[Event, Withdrawal]]:
    rows = outbox.tombstones(HOUSE.urn, 100)
    assert {row.type for row in rows} <= {EventType.WITHDRAWAL.value}
    assert all((row.digest, row.size_bytes) == (digest_of(row.raw), len(row.raw)) for row in rows)
    events = [Event.model_validate(json.loads(row.raw)) for row in rows]
    return [(event, Withdrawal.model_validate(event.data)) for event in events]


def test_an_event_never_relayed_leaves_as_its_tombstone_and_never_as_itself(outbox: Outbox) -> None:
    (taken,) = outbox.accept([draft(1)])
    digest = digests_of(outbox)[taken.event_id]
    (one,) = withdraw(outbox)
    assert (one.step, one.stood) == (WithdrawalStep.WITHDRAWN, "waiting")
    assert outbox.waiting(HOUSE.urn, 10, 10**6) == []
    ((event, said),) = said_by(outbox)
    assert (event.type, event.sequence, event.subject) == ("customs.withdrawal.v1", None, "TJ/TJPNJ/2026/1")
    assert (said.id, said.digest, said.sequence, said.epoch) == (taken.event_id, b64url(digest), 1, outbox.epoch)
    assert (said.reference, said.version, said.reason) == ("TJ/TJPNJ/2026/1", 1, "wrong truck")
    assert not outbox.is_quiet()
    assert (outbox.counts()[0].waiting, outbox.counts()[0].withdrawing) == (1, 1)


def test_the_tombstone_s_bytes_never_change_and_a_second_wish_changes_nothing(outbox: Outbox, clock: HandClock) -> None:
    outbox.accept([draft(1)])
    withdraw(outbox)
    (before,) = outbox.tombstones(HOUSE.urn, 10)
    clock.turn(60)
    (again,) = withdraw(outbox)
    assert again.step is WithdrawalStep.AGAIN
    assert outbox.tombstones(HOUSE.urn, 10) == [before]
    with outbox._engine.connect() as connection:
        assert len(entries(connection, audit)) == 1


def test_what_was_in_flight_or_held_waits_again_as_its_tombstone(outbox: Outbox, clock: HandClock) -> None:
    taken = outbox.accept(drafts(2))
    digests = digests_of(outbox)
    relay_all(outbox, clock)
    settle(outbox, taken[1:], digests, Fate.HELD)
    assert [withdraw(outbox, number)[0].stood for number in (1, 2)] == ["in flight", "answered HELD"]
    assert outbox.in_flight(HOUSE.urn) == (0, 0)
    assert outbox.relayed(HOUSE.urn) == []
    assert len(said_by(outbox)) == 2
    depth = outbox.counts()[0]
    assert (depth.waiting, depth.in_flight, depth.held, depth.withdrawing) == (2, 0, 0, 2)


def test_the_receipt_of_the_event_s_own_id_and_digest_settles_it(outbox: Outbox, clock: HandClock) -> None:
    (taken,) = outbox.accept([draft(1)])
    digest = digests_of(outbox)[taken.event_id]
    withdraw(outbox)
    (tombstone,) = outbox.tombstones(HOUSE.urn, 10)
    outbox.record(Occurrences(relayed=[Relayed((tombstone.position,), 1, clock(), tombstones=True)]))
    wrong = Settlement(taken.event_id, tombstone.digest, HOUSE.urn, Fate.REFUSED, (WITHDRAWN,))
    assert outbox.record(Occurrences(settlements=[wrong])).mismatched == 1
    outbox.record(Occurrences(settlements=[Settlement(taken.event_id, digest, HOUSE.urn, Fate.REFUSED, (WITHDRAWN,))]))
    (fate,) = outbox.fate_of([taken.event_id])
    assert (fate.fate, fate.problems) == (Fate.REFUSED, (WITHDRAWN,))
    assert outbox.is_quiet()
    assert (outbox.counts()[0].withdrawing, outbox.counts()[0].withdrawn_late) == (0, 0)


def test_loaded_before_is_told_until_a_later_version_corrects_it(outbox: Outbox) -> None:
    (taken,) = outbox.accept([draft(1)])
    digests = digests_of(outbox)
    withdraw(outbox)
    settle(outbox, [taken], digests, Fate.LOADED)
    assert outbox.counts()[0].withdrawn_late == 1
    with outbox._engine.begin() as connection:  # as when the house lost it and asks again: it gets what it had loaded
        connection.execute(table.update().values(settled_at_utc=None, fate=None, relayed_at_utc=None))
    assert [row.type for row in outbox.waiting(HOUSE.urn, 10, 10**6)] == [EventType.EXPORT_DECLARATION.value]
    assert outbox.tombstones(HOUSE.urn, 10) == []
    settle(outbox, [taken], digests, Fate.LOADED)
    assert outbox.accept([draft(1)])[0].duplicate  # it is loaded: the same file again is the same event again
    outbox.accept([draft(1, version=2)])
    assert outbox.counts()[0].withdrawn_late == 0


def test_an_answer_held_that_crossed_the_tombstone_changes_nothing(outbox: Outbox) -> None:
    (taken,) = outbox.accept([draft(1)])
    digests = digests_of(outbox)
    withdraw(outbox)
    assert settle(outbox, [taken], digests, Fate.HELD).repeated == 1
    assert outbox.counts()[0].held == 0


def test_a_confirm_of_the_event_s_bundle_does_not_count_for_its_tombstone(outbox: Outbox, clock: HandClock) -> None:
    outbox.accept([draft(1)])
    withdraw(outbox)
    outbox.record(Occurrences(relayed=[Relayed((1,), 1, clock())]))  # the bundle had left before
    assert len(outbox.tombstones(HOUSE.urn, 10)) == 1
    outbox.record(Occurrences(relayed=[Relayed((1,), 1, clock(), tombstones=True)]))
    assert outbox.tombstones(HOUSE.urn, 10) == []
    (row,) = outbox.rows_at([1])
    assert row.type == EventType.WITHDRAWAL.value


def test_settled_events_cannot_be_withdrawn_and_it_is_told_what_can_be_done(outbox: Outbox) -> None:
    taken = outbox.accept(drafts(2))
    digests = digests_of(outbox)
    settle(outbox, taken[:1], digests, Fate.LOADED)
    settle(outbox, taken[1:], digests, Fate.REFUSED)
    with pytest.raises(ConflictError, match=r"withdraw-settled") as loaded:
        withdraw(outbox, 1)
    assert "cancellation" in str(loaded.value)
    with pytest.raises(ConflictError, match="nothing to withdraw"):
        withdraw(outbox, 2)
    with pytest.raises(UsageError, match="withdraw-unknown"):
        withdraw(outbox, 3)
    with pytest.raises(UsageError, match="withdraw-unknown"):
        withdraw(outbox, 1, version=2)


def test_one_version_or_one_destination_alone_may_be_withdrawn(outbox: Outbox) -> None:
    other = house_of("uz")
    outbox.accept([draft(1), draft(1, version=2), draft(1, destination=other)])
    assert [one.version for one in withdraw(outbox, version=2)] == [2]
    assert [one.destination for one in withdraw(outbox, destination=other.urn)] == [other.urn]
    assert [row.position for row in outbox.waiting(HOUSE.urn, 10, 10**6)] == [1]
    assert [one.step.value for one in withdraw(outbox)] == ["withdrawn", "withdrawn before", "withdrawn before"]


def test_a_dry_run_tells_and_changes_nothing(outbox: Outbox) -> None:
    outbox.accept([draft(1)])
    (one,) = outbox.withdraw(WithdrawalWish("TJ/TJPNJ/2026/1", "wrong truck"), "amina", dry_run=True)
    assert one.step is WithdrawalStep.WITHDRAWN
    assert outbox.tombstones(HOUSE.urn, 10) == []
    with outbox._engine.connect() as connection:
        assert entries(connection, audit) == []


def test_who_withdrew_what_and_why_is_in_the_audit_trail(outbox: Outbox) -> None:
    (taken,) = outbox.accept([draft(1)])
    withdraw(outbox)
    with outbox._engine.connect() as connection:
        (entry,) = entries(connection, audit)
    assert (entry.actor, entry.action, entry.subject, entry.reason) == ("amina", "event.withdrawn", taken.event_id, "wrong truck")
    assert json.loads(entry.detail)["reference"] == "TJ/TJPNJ/2026/1"
    assert first_broken([entry]) is None


def test_the_same_version_again_is_told_to_be_withdrawn_and_the_next_one_goes(outbox: Outbox) -> None:
    outbox.accept([draft(1)])
    withdraw(outbox)
    for content in ("", "changed"):
        with pytest.raises(ConflictError, match="version-withdrawn") as told:
            outbox.accept([draft(7), draft(1, content=content)])
        assert told.value.problems[0].field == "drafts.1"
    assert outbox.accept([draft(1, version=2)])[0].sequence == 2


def test_an_opaque_subject_stays_opaque_and_the_reason_at_home(outbox: Outbox) -> None:
    (taken,) = outbox.accept([draft(1)])
    with outbox._engine.begin() as connection:
        (raw,) = connection.execute(select(table.c.raw)).one()
        hidden = bytes(raw).replace(b'"subject":"TJ/TJPNJ/2026/1"', b'"subject":"0d4e"')
        connection.execute(table.update().values(raw=hidden))
    withdraw(outbox)
    ((event, said),) = said_by(outbox)
    assert (event.subject, said.reference, said.reason) == ("0d4e", "0d4e", OPAQUE_REASON)
    assert taken.event_id == said.id


def code_of(act: Callable[[], object]) -> str | None:
    """The code of the refusal, None where there was none."""
    try:
        act()
    except PanjError as error:
        return error.code
    return None


_ACTS = st.lists(
    st.sampled_from(["accept", "relay", "confirm-late", "relay-tombstones", "withdraw", "held", "loaded", "withdrawn", "refused"]),
    max_size=14,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=_ACTS)
def test_in_whatever_order_things_happen_a_withdrawn_event_is_sent_as_its_tombstone_until_one_final_answer(
    outbox: Outbox, clock: HandClock, acts: list[str]
) -> None:
    """One declaration of its own for each example: all that may happen to it, in any order."""
    number = f"p{clock.turn(1).timestamp():.0f}"
    taken, digests = outbox.accept([draft(number)]), digests_of(outbox)
    (position,) = [row.position for row in outbox.rows_of(f"TJ/TJPNJ/2026/{number}")]
    withdrawn, final = False, None
    for act in acts:
        clock.turn(1)
        if act == "accept":
            told = code_of(lambda: outbox.accept([draft(number)]))
            assert told == ("version-withdrawn" if withdrawn and final is not Fate.LOADED else None)
        elif act in ("relay", "confirm-late", "relay-tombstones"):
            outbox.record(Occurrences(relayed=[Relayed((position,), 1, clock(), tombstones=act == "relay-tombstones")]))
        elif act == "withdraw":
            assert code_of(lambda: withdraw(outbox, number)) == ("withdraw-settled" if final else None)
            withdrawn = withdrawn or final is None
        else:
            fate = {"held": Fate.HELD, "loaded": Fate.LOADED}.get(act, Fate.REFUSED)
            settle(outbox, taken, digests, fate)
            final = final or (fate if fate.final else None)
        kinds = {row.type for row in outbox.rows_at([position])}
        expected = EventType.WITHDRAWAL.value if withdrawn else EventType.EXPORT_DECLARATION.value
        assert kinds == (set() if final else {expected})
        assert position not in [row.position for row in outbox.waiting(HOUSE.urn, 1_000, 10**9)] or not withdrawn
    assert outbox.fate_of([taken[0].event_id])[0].fate is final
