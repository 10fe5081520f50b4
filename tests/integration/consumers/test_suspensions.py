"""Suspended intake, on both databases: what comes is held with its bytes and nothing is decided, until the suspension ends by itself or by
a person; then all of it is decided, in its order.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from sqlalchemy import Engine, select

from broker.audit import entries, first_broken
from broker.operations.contributions import Attention
from broker.suspension import Scope, Suspension
from broker.trust.signing import b64url
from consumers import suspensions
from consumers.answers import Answered
from consumers.context import Batch, Context
from consumers.loaders.record import load_record
from consumers.operations import observe
from consumers.pipeline import Pipeline
from consumers.retrying import Retried, resume, try_again
from consumers.tables import audit, held, inbox
from schemas.event import digest_of
from schemas.fates import Fate
from schemas.names import EventType
from tests.integration.consumers.conftest import Hands, PipelineOf
from tests.integration.consumers.desk import ControlDesk
from tests.integration.consumers.frontier import EXPORT, TRANSIT, Frontier, declaration
from tests.integration.consumers.test_fates import fates, load_unless_cursed, rows
from tests.integration.consumers.test_operations import settings_for
from tests.integration.consumers.test_withdrawals import answers, tombstone
from tests.integration.consumers.test_worker import Lane, lane  # noqa: F401 - a fixture


def suspend(engine: Engine, scope: Scope, clock: Hands, hours: float | None = None, name: str = "s1") -> None:
    until = None if hours is None else clock() + timedelta(hours=hours)
    with engine.begin() as connection:
        suspensions.begin(connection, Suspension(name, scope, "audit of the risk rules", "amina", clock(), until))


def end(engine: Engine, clock: Hands, name: str = "s1") -> bool:
    with engine.begin() as connection:
        return suspensions.end(connection, name, "karim", "rules are mended", clock())


def drain(pipeline: Pipeline) -> list[Answered]:
    """Take up all that is to be taken up."""
    found: list[Answered] = []
    while (resumed := resume(pipeline)).tried:
        found += resumed.answers
    return found


def test_what_a_suspension_covers_is_held_with_its_bytes_and_answered_held(
    pipeline: Pipeline, frontier: Frontier, engine: Engine, clock: Hands
) -> None:
    suspend(engine, Scope(partner="tj"), clock)
    raw = frontier.post.event(declaration("s1"))
    with structlog.testing.capture_logs() as logs:
        (told,) = pipeline.process(frontier.deliveries([raw]))
    assert (told.fate, told.problems[0].code) == (Fate.HELD, "suspended")
    assert "audit of the risk rules" not in told.problems[0].text  # our reasons are ours
    with engine.connect() as connection:
        kept = connection.execute(select(inbox)).one()
        row = connection.execute(select(held)).one()
    assert (kept.raw, kept.fate, kept.reference, kept.version) == (raw, "HELD", "TJ/TJPNJ/2026/s1", 1)
    assert (row.code, row.suspension, row.attempts, row.next_attempt_at_utc) == ("suspended", "s1", 0, None)
    assert rows(engine, "SELECT count(*) FROM declaration") == [(0,)]
    assert [entry["event"] for entry in logs if entry["log_level"] != "debug"] == ["events.suspended"]
    # The same again is the same again.
    assert fates(pipeline.process(frontier.deliveries([raw]))) == ["HELD"]


def test_ended_all_of_it_is_decided_without_an_attempt_burnt(pipeline: Pipeline, frontier: Frontier, engine: Engine, clock: Hands) -> None:
    suspend(engine, Scope(partner="tj"), clock)
    good = [frontier.post.event(declaration(f"e{number}")) for number in range(120)]
    bad = frontier.post.event(declaration("bad", invoice_amount="-1"))
    assert set(fates(pipeline.process(frontier.deliveries([*good, bad])))) == {"HELD"}  # a refusal would be final: nothing is decided
    clock.ahead += timedelta(days=30)
    assert try_again(pipeline).tried == 0
    assert resume(pipeline) == Retried([], 0)
    assert end(engine, clock)
    assert sorted(fates(drain(pipeline))) == ["LOADED"] * 120 + ["REFUSED"]
    assert rows(engine, "SELECT count(*) FROM declaration") == [(120,)]
    assert set(rows(engine, "SELECT attempts, suspension FROM held")) == {(0, None)}
    # And from then on everything is as it was.
    assert fates(pipeline.process(frontier.deliveries([frontier.post.event(declaration("later"))]))) == ["LOADED"]


def test_it_ends_by_itself_when_its_time_is_over(pipeline: Pipeline, frontier: Frontier, engine: Engine, clock: Hands) -> None:
    suspend(engine, Scope(type=EXPORT), clock, hours=2)
    pipeline.process(frontier.deliveries([frontier.post.event(declaration("t1"))]))
    clock.ahead += timedelta(hours=1, minutes=59)
    assert drain(pipeline) == []
    clock.ahead += timedelta(minutes=2)
    assert fates(drain(pipeline)) == ["LOADED"]
    assert not end(engine, clock)


@pytest.mark.parametrize(
    ("scope", "held_back"),
    [
        (Scope(partner="tj"), True),
        (Scope(partner="uz"), False),
        (Scope(partner="tj", post="panji-poyon"), True),
        (Scope(partner="tj", post="ishkoshim"), False),
        (Scope(type=EXPORT), True),
        (Scope(type=TRANSIT), False),
        (Scope(partner="tj", type=TRANSIT), False),
        (Scope(partner="tj", post="panji-poyon", type=EXPORT), True),
    ],
)
def test_a_suspension_covers_what_fits_all_that_it_names(
    pipeline: Pipeline, frontier: Frontier, engine: Engine, clock: Hands, scope: Scope, held_back: bool
) -> None:
    suspend(engine, scope, clock)
    assert fates(pipeline.process(frontier.deliveries([frontier.post.event(declaration("c1"))]))) == ["HELD" if held_back else "LOADED"]


def test_versions_are_decided_in_their_order_and_before_what_comes_after_the_end(
    pipeline_of: PipelineOf, frontier: Frontier, engine: Engine, clock: Hands
) -> None:
    seen: list[tuple[str, int]] = []

    def note(batch: Batch, context: Context) -> None:
        seen.extend((event.reference, event.version) for event in batch)
        load_record(batch, context)

    pipeline = pipeline_of(note)
    suspend(engine, Scope(partner="tj"), clock)
    first, second = frontier.post.event(declaration("v", 1)), frontier.post.event(declaration("v", 2))
    pipeline.process(frontier.deliveries([second]))
    pipeline.process(frontier.deliveries([first]))
    end(engine, clock)
    third = frontier.post.event(declaration("v", 3))
    assert fates(pipeline.process(frontier.deliveries([third]))) == ["HELD"]  # it has ended, and is not yet taken up: what comes queues up
    drain(pipeline)
    assert seen == [("TJ/TJPNJ/2026/v", 1), ("TJ/TJPNJ/2026/v", 2), ("TJ/TJPNJ/2026/v", 3)]
    assert fates(pipeline.process(frontier.deliveries([frontier.post.event(declaration("v", 4))]))) == ["LOADED"]


def test_what_a_second_suspension_covers_stays_with_that_one(pipeline: Pipeline, frontier: Frontier, engine: Engine, clock: Hands) -> None:
    suspend(engine, Scope(partner="tj"), clock, name="s1")
    suspend(engine, Scope(type=EXPORT), clock, name="s2")
    pipeline.process(frontier.deliveries([frontier.post.event(declaration("o1"))]))
    pipeline.process(frontier.deliveries([frontier.post.event(declaration("o2", guarantee={"type_code": "1"}), TRANSIT)], TRANSIT))
    end(engine, clock, "s1")
    drain(pipeline)
    assert rows(engine, "SELECT suspension FROM held WHERE suspension IS NOT NULL") == [("s2",)]
    assert rows(engine, "SELECT count(*) FROM held h JOIN inbox i ON i.event_id = h.event_id WHERE i.fate = 'HELD'") == [(1,)]
    end(engine, clock, "s2")
    assert fates(drain(pipeline)) == ["LOADED"]


def test_an_event_that_breaks_its_handler_costs_none_of_the_others_and_is_held_as_such(
    pipeline_of: PipelineOf, frontier: Frontier, engine: Engine, clock: Hands
) -> None:
    pipeline = pipeline_of(load_unless_cursed)
    suspend(engine, Scope(partner="tj"), clock)
    raws = [frontier.post.event(declaration(f"b{number}", local_reference="cursed" if number == 3 else "fine")) for number in range(8)]
    pipeline.process(frontier.deliveries(raws))
    end(engine, clock)
    assert fates(drain(pipeline)) == ["LOADED"] * 7
    assert rows(engine, "SELECT code, suspension FROM held WHERE code <> 'suspended'") == [("handler-surprise", None)]
    clock.ahead += timedelta(minutes=2)
    assert fates(try_again(pipeline_of(None)).answers).count("LOADED") >= 1


def test_a_worker_that_dies_of_what_was_held_leaves_it_to_be_tried_one_by_one(
    pipeline_of: PipelineOf, frontier: Frontier, engine: Engine, clock: Hands
) -> None:
    class Death(BaseException):
        """The end of the process, as far as Python can play it."""

    def die(batch: Batch, context: Context) -> None:
        raise Death

    suspend(engine, Scope(partner="tj"), clock)
    pipeline_of(None).process(frontier.deliveries([frontier.post.event(declaration(f"d{number}")) for number in range(3)]))
    end(engine, clock)
    with pytest.raises(Death):
        resume(pipeline_of(die))
    assert rows(engine, "SELECT count(*) FROM declaration") == [(0,)]
    clock.ahead += timedelta(minutes=2)
    assert fates(try_again(pipeline_of(None)).answers) == ["LOADED"] * 3


def test_a_suspended_event_may_be_withdrawn(pipeline: Pipeline, frontier: Frontier, engine: Engine, clock: Hands) -> None:
    suspend(engine, Scope(partner="tj"), clock)
    raw = frontier.post.event(declaration("w"))
    pipeline.process(frontier.deliveries([raw]))
    desk = ControlDesk(engine, frontier, frontier.post)
    desk.say(EventType.WITHDRAWAL, tombstone(raw))
    (answer,) = answers(desk.heard())
    assert (answer.fate, answer.problems[0].code, answer.digest) == (Fate.REFUSED, "withdrawn", b64url(digest_of(raw)))
    end(engine, clock)
    assert drain(pipeline) == []
    assert rows(engine, "SELECT count(*) FROM declaration") == [(0,)]


def test_the_worker_takes_up_what_was_held_before_what_comes_and_answers_it(
    lane: Lane,  # noqa: F811 - the fixture
    pipeline: Pipeline,
    engine: Engine,
    clock: Hands,
) -> None:
    worker = lane.worker(pipeline)
    suspend(engine, Scope(partner="tj"), clock)
    lane.send(*(f"k{number}" for number in range(130)))
    worker.turn()
    assert lane.answers() == ["HELD"] * 130
    end(engine, clock)
    lane.send("fresh")
    worker._look_at = 0.0
    worker.turn()
    assert lane.answers() == ["LOADED"] * 50
    for _ in range(10):
        worker.turn()
        worker._look_at = 0.0
    assert lane.answers() == ["LOADED"] * 81
    assert rows(engine, "SELECT count(*) FROM held WHERE finished_at_utc IS NULL") == [(0,)]


def test_two_processes_take_up_each_event_once(pipeline: Pipeline, frontier: Frontier, engine: Engine, clock: Hands) -> None:
    import threading  # noqa: PLC0415

    suspend(engine, Scope(partner="tj"), clock)
    raws = [frontier.post.event(declaration(f"p{number}")) for number in range(150)]
    pipeline.process(frontier.deliveries(raws))
    end(engine, clock)
    found: list[Answered] = []
    threads = [threading.Thread(target=lambda: found.extend(drain(pipeline))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(answer.event_id for answer in found) == sorted(json.loads(raw)["id"] for raw in raws)
    assert rows(engine, "SELECT count(*) FROM declaration") == [(150,)]


def test_who_suspended_and_who_ended_it_is_in_the_audit_trail(engine: Engine, clock: Hands) -> None:
    suspend(engine, Scope(partner="tj", post="panji-poyon"), clock, hours=3)
    end(engine, clock)
    with engine.connect() as connection:
        trail = entries(connection, audit)
    assert [(entry.actor, entry.action, entry.subject, entry.reason) for entry in trail] == [
        ("amina", "suspension.begun", "s1", "audit of the risk rules"),
        ("karim", "suspension.ended", "s1", "rules are mended"),
    ]
    assert json.loads(trail[0].detail)["post"] == "panji-poyon"
    assert first_broken(trail) is None


def test_status_shows_it_apart_from_what_is_held_and_when_it_is_about_to_end(
    pipeline: Pipeline, frontier: Frontier, engine: Engine, url: str, tmp_path: object, clock: Hands
) -> None:
    suspend(engine, Scope(partner="tj"), clock, hours=0.5)
    pipeline.process(frontier.deliveries([frontier.post.event(declaration("st"))]))
    readings = {reading.name: reading for reading in observe(settings_for(url, tmp_path))}  # type: ignore[arg-type]  # a Path
    assert (readings["suspended intake"].value, readings["suspended intake"].attention) == (1, Attention.WATCH)
    assert "ends by itself in 29 min" in readings["suspended intake"].advice
    assert readings["held"].value == 0
    with engine.begin() as connection:
        long_ago = datetime.now(UTC) - timedelta(days=20)
        forgotten = Suspension("s9", Scope(type=TRANSIT), "?", "amina", long_ago)
        suspensions.begin(connection, replace(forgotten, reason="forgotten"))
    advices = [reading for reading in observe(settings_for(url, tmp_path)) if reading.name == "suspended intake"]  # type: ignore[arg-type]
    assert [reading.attention for reading in advices] == [Attention.ACT, Attention.WATCH]
    assert "20 days without an end" in advices[0].advice


def test_a_rehearsal_says_that_it_would_be_held(pipeline: Pipeline, frontier: Frontier, engine: Engine, clock: Hands) -> None:
    suspend(engine, Scope(partner="tj"), clock)
    from consumers.opening import open_deliveries  # noqa: PLC0415

    opened = open_deliveries(frontier.deliveries([frontier.post.event(declaration("re"))]), frontier.trust, frontier.expected, clock())
    told, _ = pipeline.rehearse(opened.arrivals)
    assert fates(told) == ["HELD"]
    assert rows(engine, "SELECT count(*) FROM inbox") == [(0,)]
