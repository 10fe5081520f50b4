"""Questions about closings touch only unfinished rows, however many are settled."""

from __future__ import annotations

from sqlalchemy import text

from broker.outbox.closing_values import StreamName
from broker.outbox.closings import TOP, first_waiting, unanswered_flying
from broker.outbox.engine import open_engine
from broker.outbox.store import Outbox
from tests.unit.outbox.drafts import CROSSING, EXPORT, HOUSE, HandClock, digests_of, draft, drafts, relay_all, settle


def test_how_far_streams_are_answered_is_asked_through_the_partial_indexes(outbox: Outbox, url: str) -> None:
    engine = open_engine(url)
    if engine.dialect.name != "sqlite":
        return
    for query, index in (
        (unanswered_flying(HOUSE.urn), "outbox_relayed"),
        (first_waiting(HOUSE.urn, StreamName("a", "b")), "outbox_waiting"),
    ):
        asked = query.compile(engine, compile_kwargs={"literal_binds": True})
        with engine.connect() as connection:
            plan = str(connection.execute(text(f"EXPLAIN QUERY PLAN {asked}")).all())
        assert index in plan, plan
    engine.dispose()


def test_a_stream_is_answered_up_to_its_first_event_that_is_not(outbox: Outbox, clock: HandClock) -> None:
    taken = outbox.accept([*drafts(5), draft(1, event_type=CROSSING)])
    exports, crossings = StreamName(EXPORT, outbox.epoch), StreamName(CROSSING, outbox.epoch)
    assert outbox.closings.answered(HOUSE.urn) == {exports: 0, crossings: 0}
    digests = digests_of(outbox)
    relay_all(outbox, clock)
    settle(outbox, [taken[0], taken[1], taken[3], taken[5]], digests)
    assert outbox.closings.answered(HOUSE.urn) == {exports: 2, crossings: 1}
    assert outbox.closings.highest_answered(HOUSE.urn, outbox.epoch) == 4
    outbox.accept(drafts(1, 100))
    settle(outbox, [taken[2], taken[4]], digests)
    assert outbox.closings.answered(HOUSE.urn) == {exports: 5, crossings: 1}
    assert outbox.closings.answered("urn:customs:uz:customs") == {}


def test_the_highest_answered_is_found_beneath_a_backlog_that_waits(outbox: Outbox, clock: HandClock) -> None:
    taken = outbox.accept(drafts(6))
    digests = digests_of(outbox)
    relay_all(outbox, clock)
    settle(outbox, [taken[0], taken[3]], digests)
    outbox.accept(drafts(TOP + 10, 100))
    assert outbox.closings.highest_answered(HOUSE.urn, outbox.epoch) == 4
    assert outbox.closings.highest_answered(HOUSE.urn, "0" * 16) == 0
