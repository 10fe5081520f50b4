"""Orders while the house runs, and when it dies in the middle of one: each item is done once, on both databases."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection, Engine, delete

from broker.audit import entries, first_broken
from broker.trust.anchors import TrustStore
from consumers import held
from consumers.context import Batch, Context
from consumers.database import open_engine
from consumers.held import Lock
from consumers.pipeline import Pipeline
from consumers.retrying import try_again
from consumers.review import carrying, orders
from consumers.review.carrying import Duty
from consumers.review.doors import ConsumerDoor
from consumers.review.items import counts
from consumers.review.orders import Decision
from consumers.review.selecting import Wanted, waiting_rows
from consumers.review.values import Action, Kind, Order, State
from consumers.tables import audit, parked, parked_event
from schemas.event import new_id
from schemas.fates import Fate
from schemas.names import EventType
from tests.integration.consumers import rules
from tests.integration.consumers.conftest import Hands
from tests.integration.consumers.desk import ControlDesk
from tests.integration.consumers.frontier import Frontier, declaration
from tests.integration.consumers.test_fates import rows
from tests.integration.consumers.test_held_commands import hold
from tests.integration.consumers.test_worker import Lane, lane

__all__ = ["lane"]


class Death(BaseException):
    """The end of the process, as far as Python can play it."""


def order(engine: Engine, clock: Hands, kind: Kind, action: Action, *, second: bool = False) -> Order:
    """Order something about all that waits."""
    until = clock() + timedelta(days=7) if second else None
    with engine.begin() as connection:
        chosen = tuple(one.chosen for one in waiting_rows(connection, kind, Wanted(), clock()))
        return orders.make(connection, Decision(kind, action, "because", "--all", chosen), "amina", until, clock())


def outcomes(engine: Engine, number: int = 1) -> dict[str, int]:
    with engine.connect() as connection:
        return counts(connection, number)


def acts(engine: Engine) -> Counter[tuple[str, str]]:
    """How often which act stands in the trail for which subject; and it hangs together."""
    with engine.connect() as connection:
        found = entries(connection, audit)
    assert first_broken(found) is None
    return Counter((entry.action, entry.subject) for entry in found)


def duty_of(pipeline: Pipeline) -> Duty:
    return Duty(pipeline.engine, pipeline.stop, pipeline.clock, ("record", "af-customs.record"))


def carry_out_all(pipeline: Pipeline) -> None:
    while duty_of(pipeline).carry_out(ConsumerDoor(pipeline))[0]:
        pass


def test_a_running_house_carries_out_an_order_at_its_next_look_and_the_sender_is_told(
    lane: Lane, ruled: Pipeline, engine: Engine, clock: Hands
) -> None:
    worker = lane.worker(ruled)
    lane.send("r1", local_reference="look")
    lane.send("r2", local_reference="look")
    while worker.turn():
        pass
    assert lane.answers() == ["HELD", "HELD"]
    order(engine, clock, Kind.HELD, Action.RELEASE)
    worker._look_at = 0.0  # a second later
    assert worker.turn()
    assert lane.answers() == ["LOADED", "LOADED"]
    assert outcomes(engine) == {"loaded": 2}
    assert rows(engine, "SELECT state FROM review_order") == [("done",)]
    assert rows(engine, "SELECT count(*) FROM held WHERE finished_at_utc IS NULL") == [(0,)]


def test_a_running_house_discards_what_it_is_told_to_and_tells_the_sender(
    lane: Lane, ruled: Pipeline, engine: Engine, clock: Hands
) -> None:
    worker = lane.worker(ruled)
    lane.send("d1", local_reference="look")
    worker.turn()
    order(engine, clock, Kind.HELD, Action.DISCARD)
    worker._look_at = 0.0
    assert worker.turn()
    assert lane.answers() == ["HELD", "REFUSED"]
    assert rows(engine, "SELECT count(*) FROM held WHERE finished_at_utc IS NULL") == [(0,)]


def test_a_running_house_opens_parked_messages_again_and_answers_their_post(
    lane: Lane, ruled: Pipeline, frontier: Frontier, engine: Engine, clock: Hands
) -> None:
    lane.send("p1", "p2")
    blind = lane.worker(replace(ruled, trust=TrustStore({}, {})))
    blind.turn()
    assert lane.answers() == []
    order(engine, clock, Kind.PARKED, Action.REPLAY)
    assert lane.worker(ruled).turn()
    assert lane.answers() == ["LOADED", "LOADED"]
    assert outcomes(engine) == {"opened": 1}
    assert rows(engine, "SELECT count(*) FROM parked WHERE closed_at_utc IS NULL") == [(0,)]


def test_an_order_that_waits_for_a_second_person_moves_nothing(lane: Lane, ruled: Pipeline, engine: Engine, clock: Hands) -> None:
    worker = lane.worker(ruled)
    lane.send("w1", local_reference="look")
    worker.turn()
    order(engine, clock, Kind.HELD, Action.RELEASE, second=True)
    worker._look_at = 0.0
    assert not worker.turn()
    assert outcomes(engine) == {"open": 1}
    with engine.begin() as connection:
        orders.approve(connection, 1, Kind.HELD, "bahrom", clock())
    worker._look_at = 0.0
    assert worker.turn()
    assert outcomes(engine) == {"loaded": 1}


def test_looking_for_orders_changes_nothing_and_an_idle_house_has_nothing_to_do(ruled: Pipeline, engine: Engine) -> None:
    assert not duty_of(ruled).calls("record")
    assert duty_of(ruled).carry_out(ConsumerDoor(ruled)) == (0, [])


def test_a_house_that_dies_between_two_discards_goes_on_and_does_each_once(
    ruled: Pipeline, frontier: Frontier, engine: Engine, clock: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "AT_ONCE", 2)
    ids = hold(ruled, frontier, *["look"] * 5)
    order(engine, clock, Kind.HELD, Action.DISCARD)
    seen: list[str] = []
    lock = held.lock

    def die_at_the_fourth(connection: Connection, event_id: str) -> Lock | None:
        seen.append(event_id)
        if len(seen) == 4:
            raise Death
        return lock(connection, event_id)

    monkeypatch.setattr("consumers.review.carrying.held.lock", die_at_the_fourth)
    with pytest.raises(Death):
        carry_out_all(ruled)
    assert outcomes(engine) == {"open": 3, "refused": 2}
    carry_out_all(ruled)
    assert outcomes(engine) == {"refused": 5}
    assert acts(engine) == Counter([("order.made", "order 1"), *(("held.discarded", each) for each in ids)])
    assert rows(engine, "SELECT state FROM review_order") == [("done",)]


def test_a_house_that_dies_in_the_middle_of_a_replay_loads_each_event_once(
    ruled: Pipeline, frontier: Frontier, engine: Engine, clock: Hands
) -> None:
    ids = hold(ruled, frontier, *["cursed"] * 4)
    order(engine, clock, Kind.HELD, Action.REPLAY)
    rules.MENDED["fault"] = True
    calls: list[int] = []

    def die_at_the_third(batch: Batch, context: Context) -> None:
        calls.append(1)
        rules.load_by_rules(batch, context)
        if len(calls) == 3:
            raise Death

    with pytest.raises(Death):
        try_again(replace(ruled, consumer=replace(ruled.consumer, handler=die_at_the_third)))
    assert outcomes(engine) == {"loaded": 2, "open": 2}
    clock.ahead += timedelta(minutes=6)  # an event that may have killed its worker is not tried at once
    assert len(try_again(ruled).answers) == 4  # two of them are only answered again: nobody had confirmed
    assert outcomes(engine) == {"loaded": 4}
    assert rows(engine, "SELECT count(*) FROM declaration") == [(4,)]
    assert acts(engine) == Counter([("order.made", "order 1"), *(("held.replayed", each) for each in ids)])


def test_a_house_that_dies_after_opening_a_parked_message_does_not_open_it_for_nothing(
    ruled: Pipeline, frontier: Frontier, engine: Engine, clock: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(ruled, trust=TrustStore({}, {})).process(frontier.deliveries([frontier.post.event(declaration("o1"))]))
    order(engine, clock, Kind.PARKED, Action.REPLAY)
    with monkeypatch.context() as deadly:
        deadly.setattr("consumers.review.carrying.finish_item", _die)
        with pytest.raises(Death):
            duty_of(ruled).carry_out(ConsumerDoor(ruled))
    assert rows(engine, "SELECT fate FROM inbox") == [("LOADED",)]
    assert outcomes(engine) == {"open": 1}
    assert duty_of(ruled).carry_out(ConsumerDoor(ruled)) == (0, [])  # somebody may still be at it
    clock.ahead += timedelta(minutes=2)
    done, answers = duty_of(ruled).carry_out(ConsumerDoor(ruled))
    assert (done, [answer.fate for answer in answers]) == (1, [Fate.LOADED])
    assert outcomes(engine) == {"opened": 1}
    assert rows(engine, "SELECT count(*) FROM declaration") == [(1,)]


def _die(*_: object) -> None:
    raise Death


def test_an_event_that_is_decided_before_its_turn_comes_is_left_as_it_is(
    ruled: Pipeline, frontier: Frontier, engine: Engine, clock: Hands
) -> None:
    first, second = hold(ruled, frontier, "cursed", "cursed")
    waiting = order(engine, clock, Kind.HELD, Action.REPLAY, second=True)
    rules.MENDED["fault"] = True
    clock.ahead += timedelta(minutes=2)
    assert len(try_again(ruled).answers) == 2  # by their own time, meanwhile
    with engine.begin() as connection:
        approved = orders.approve(connection, waiting.number, Kind.HELD, "bahrom", clock())
    assert approved.state is State.DONE
    assert outcomes(engine) == {"gone": 2}
    assert acts(engine)[("held.replayed", first)] == acts(engine)[("held.replayed", second)] == 1


def test_of_two_that_decide_about_one_event_the_second_leaves_it_alone(
    ruled: Pipeline, frontier: Frontier, engine: Engine, clock: Hands
) -> None:
    (event_id,) = hold(ruled, frontier, "look")
    with engine.begin() as connection:
        assert held.lock(connection, event_id) is not None
        if engine.dialect.name == "postgresql":  # on SQLite the other one waits for the whole transaction
            with engine.begin() as other:
                assert held.lock(other, event_id) is None
    order(engine, clock, Kind.HELD, Action.DISCARD)
    duty_of(ruled).carry_out(ConsumerDoor(ruled))
    with engine.begin() as connection:
        assert held.lock(connection, event_id) is None
        assert held.lock(connection, new_id()) is None


def test_a_parked_control_message_is_taken_by_the_control_worker_when_it_is_replayed(
    frontier: Frontier, engine: Engine, clock: Hands
) -> None:
    desk = ControlDesk(engine, frontier, frontier.post)
    trust = desk.worker._trust
    desk.worker._trust = TrustStore({}, {})
    desk.say(EventType.BEACON, {"mark": 3, "sent_at": "2026-11-24T05:00:00Z"})
    desk.worker.turn()
    assert rows(engine, "SELECT queue, code FROM parked") == [("af-customs", "trust-country-unknown")]
    desk.worker._trust = trust
    order(engine, clock, Kind.PARKED, Action.REPLAY)
    desk.worker._look_at = 0.0
    assert desk.worker.turn()
    assert outcomes(engine) == {"opened": 1}
    assert rows(engine, "SELECT count(*) FROM parked WHERE closed_at_utc IS NULL") == [(0,)]


def test_what_a_person_released_stays_released_when_it_is_held_for_a_fault_first(
    ruled: Pipeline, frontier: Frontier, engine: Engine, clock: Hands
) -> None:
    hold(ruled, frontier, "look")
    order(engine, clock, Kind.HELD, Action.RELEASE)

    def stumble(batch: Batch, context: Context) -> None:
        assert [event.released for event in batch] == [True]
        raise ZeroDivisionError

    try_again(replace(ruled, consumer=replace(ruled.consumer, handler=stumble)))
    assert outcomes(engine) == {"held": 1}
    clock.ahead += timedelta(minutes=10)
    assert [answer.fate for answer in try_again(ruled).answers] == [Fate.LOADED]


def test_a_refusal_of_a_released_event_still_counts(ruled: Pipeline, frontier: Frontier, engine: Engine, clock: Hands) -> None:
    raw = frontier.post.event(declaration("rr", local_reference="look"))
    ruled.process(frontier.deliveries([raw]))
    order(engine, clock, Kind.HELD, Action.RELEASE)

    def refuse(batch: Batch, context: Context) -> None:
        for event in batch:
            context.refuse(event, "value-implausible", "no")
            context.hold(event, "valuation-check", "nor that")

    (answer,) = try_again(replace(ruled, consumer=replace(ruled.consumer, handler=refuse))).answers
    assert (answer.event_id, answer.fate, answer.problems[0].code) == (json.loads(raw)["id"], Fate.REFUSED, "value-implausible")


def test_two_houses_and_a_person_at_once_do_each_item_once(
    ruled: Pipeline, frontier: Frontier, engine: Engine, clock: Hands, url: str
) -> None:
    ids = hold(ruled, frontier, *["cursed", "look"] * 20)
    rules.MENDED["fault"] = True
    clock.ahead += timedelta(minutes=2)  # the houses try them by their own time, too
    faults: list[BaseException] = []
    ended = threading.Event()

    def house() -> None:
        mine = open_engine(url)
        pipeline = replace(ruled, engine=mine, stop=threading.Event())
        try:
            while not ended.is_set():
                duty_of(pipeline).carry_out(ConsumerDoor(pipeline))
                try_again(pipeline)
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            faults.append(error)
        finally:
            mine.dispose()

    houses = [threading.Thread(target=house) for _ in range(2)]
    for each in houses:
        each.start()
    try:
        with engine.begin() as connection:
            waiting = waiting_rows(connection, Kind.HELD, Wanted(code="valuation-check"), clock())
        for number, (action, part) in enumerate(((Action.RELEASE, waiting[:10]), (Action.DISCARD, waiting[10:]))):
            decision = Decision(Kind.HELD, action, "because", "some", tuple(one.chosen for one in part))
            with engine.begin() as connection:
                orders.make(connection, decision, "amina", clock() + timedelta(days=1), clock())
            with engine.begin() as connection:
                orders.approve(connection, number + 1, Kind.HELD, "bahrom", clock())
        end = time.monotonic() + 60
        while rows(engine, "SELECT count(*) FROM inbox WHERE fate = 'HELD'") != [(0,)]:
            assert time.monotonic() < end, (faults, outcomes(engine, 1), outcomes(engine, 2))
            time.sleep(0.05)
    finally:
        ended.set()
        for each in houses:
            each.join()
    assert faults == []
    assert (outcomes(engine, 1), outcomes(engine, 2)) == ({"loaded": 10}, {"refused": 10})
    assert rows(engine, "SELECT count(*), count(DISTINCT event_id) FROM declaration") == [(30, 30)]
    found = acts(engine)
    assert all(times == 1 for times in found.values())
    assert len([subject for action, subject in found if action in ("held.released", "held.discarded")]) == 20
    assert len(ids) == 40


def test_rows_that_are_kept_no_more_are_done_without_ado(ruled: Pipeline, frontier: Frontier, engine: Engine, clock: Hands) -> None:
    strangers = replace(ruled, trust=TrustStore({}, {}))
    strangers.process(frontier.deliveries([frontier.post.event(declaration(f"k{number}")) for number in range(2)], size=1))
    order(engine, clock, Kind.PARKED, Action.REPLAY)
    with engine.begin() as connection:
        connection.execute(delete(parked_event))
        connection.execute(delete(parked))
    carry_out_all(ruled)
    assert outcomes(engine) == {"gone": 2}


def test_what_a_person_judged_is_not_forgotten_for_what_closes_by_itself(
    ruled: Pipeline, frontier: Frontier, engine: Engine, clock: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.parked.OPEN_ROWS", 2)
    strangers = replace(ruled, trust=TrustStore({}, {}))
    strangers.process(frontier.deliveries([frontier.post.event(declaration("judged"))]))
    order(engine, clock, Kind.PARKED, Action.DISCARD)
    carry_out_all(ruled)
    for number in range(6):
        deliveries = frontier.deliveries([frontier.post.event(declaration(f"n{number}"))])
        strangers.process(deliveries)
        ruled.process(deliveries)
    assert rows(engine, "SELECT count(*) FROM parked WHERE closed_by_order = 1") == [(1,)]
    assert rows(engine, "SELECT count(*) FROM parked WHERE closed_by_order IS NULL") == [(2,)]
