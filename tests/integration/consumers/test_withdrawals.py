"""Withdrawals at the house, on both databases: before, with and after the event, by its own post only, and from two processes at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select, text

from broker.bundle.open import OpenEvent
from broker.trust.signing import b64url
from consumers import withdrawals as withdrawals_module
from consumers.answers import Answered
from consumers.context import Batch, Context
from consumers.held import due_now
from consumers.loaders.record import load_record
from consumers.loaders.record.tables import declaration as declaration_table
from consumers.operations import trace
from consumers.pipeline import Pipeline
from consumers.retrying import try_again
from consumers.streams import streams_of
from consumers.tables import evidence, held, inbox, withdrawal
from schemas.control import Answer, Receipt
from schemas.event import digest_of, new_epoch
from schemas.fates import Fate
from schemas.names import EventType
from tests.integration.consumers.conftest import Hands, PipelineOf
from tests.integration.consumers.desk import ControlDesk
from tests.integration.consumers.frontier import EXPORT, Frontier, declaration
from tests.integration.consumers.test_fates import fates, load_unless_cursed, rows
from tests.integration.consumers.test_operations import settings_for


@pytest.fixture
def desk(engine: Engine, frontier: Frontier) -> ControlDesk:
    return ControlDesk(engine, frontier, frontier.post)


def tombstone(raw: bytes, **changes: Any) -> dict[str, Any]:
    """The data of the withdrawal of this event."""
    event = json.loads(raw)
    said = {
        "id": event["id"],
        "digest": b64url(digest_of(raw)),
        "type": event["type"],
        "epoch": event["epoch"],
        "sequence": event["sequence"],
        "reference": event["subject"],
        "version": event["data"]["version"],
        "reason": "wrong truck",
    }
    return said | changes


def withdraw(desk: ControlDesk, *raws: bytes, **changes: Any) -> list[Answer]:
    for raw in raws:
        desk.say(EventType.WITHDRAWAL, tombstone(raw, **changes))
    return answers(desk.heard())


def answers(events: list[OpenEvent]) -> list[Answer]:
    return [answer for opened in events for answer in Receipt.model_validate(opened.event.data).answers]


def test_a_withdrawal_takes_the_place_of_an_event_that_has_not_come(
    desk: ControlDesk, frontier: Frontier, pipeline: Pipeline, engine: Engine
) -> None:
    raw = frontier.post.event(declaration("w1"))
    (answer,) = withdraw(desk, raw)
    assert (answer.id, answer.digest, answer.fate) == (json.loads(raw)["id"], b64url(digest_of(raw)), Fate.REFUSED)
    assert [problem.code for problem in answer.problems] == ["withdrawn"]
    assert "wrong truck" in answer.problems[0].text
    # The event comes after all: it is answered with that first fate, and never loaded.
    (late,) = pipeline.process(frontier.deliveries([raw]))
    assert (late.fate, late.digest, late.problems) == (Fate.REFUSED, digest_of(raw), answer.problems)
    assert rows(engine, "SELECT count(*) FROM declaration") == [(0,)]
    assert rows(engine, "SELECT count(*) FROM parked") == [(0,)]
    assert rows(engine, "SELECT fate, version, reference, sequence, duplicates FROM inbox") == [
        ("REFUSED", 1, "TJ/TJPNJ/2026/w1", json.loads(raw)["sequence"], 1)
    ]


def test_a_stream_that_begins_with_a_withdrawal_is_known_as_any_other(frontier: Frontier, engine: Engine) -> None:
    post = frontier.new_post("langar")
    withdraw(ControlDesk(engine, frontier, post), post.event(declaration("first")))
    with engine.connect() as connection:
        assert streams_of(connection, post.party.urn) == [(EXPORT, post.epoch)]


def test_the_tombstone_and_its_signature_are_kept_as_evidence(desk: ControlDesk, frontier: Frontier, engine: Engine) -> None:
    raw = frontier.post.event(declaration("w2"))
    said = desk.say(EventType.WITHDRAWAL, tombstone(raw))
    desk.heard()
    with engine.connect() as connection:
        kept = connection.execute(select(inbox)).one()
        stone = connection.execute(select(withdrawal)).one()
        signature = connection.execute(select(evidence).where(evidence.c.bundle_digest == stone.bundle_digest)).one()
    assert (kept.digest, kept.raw, kept.bundle_digest) == (digest_of(raw), said, stone.bundle_digest)
    assert (stone.raw, stone.digest, stone.filled_place, stone.reason) == (said, digest_of(said), True, "wrong truck")
    assert b64url(digest_of(said)) in _header_of(signature.jws)


def _header_of(jws: str) -> str:
    import base64  # noqa: PLC0415

    part = jws.partition(".")[0]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()


def test_an_event_that_was_loaded_before_stays_loaded_and_the_sender_learns_it(
    desk: ControlDesk, frontier: Frontier, pipeline: Pipeline, engine: Engine
) -> None:
    raw = frontier.post.event(declaration("w3"))
    pipeline.process(frontier.deliveries([raw]))
    (answer,) = withdraw(desk, raw)
    assert (answer.fate, answer.problems) == (Fate.LOADED, ())
    assert rows(engine, "SELECT count(*) FROM declaration") == [(1,)]
    assert rows(engine, "SELECT count(*) FROM withdrawal WHERE filled_place") == [(0,)]
    with engine.connect() as connection:
        assert connection.execute(select(inbox.c.raw)).scalar_one() == raw


def test_an_event_that_was_refused_before_keeps_its_first_reasons(desk: ControlDesk, frontier: Frontier, pipeline: Pipeline) -> None:
    raw = frontier.post.event(declaration("w4", invoice_amount="-1"))
    (first,) = pipeline.process(frontier.deliveries([raw]))
    (answer,) = withdraw(desk, raw)
    assert (answer.fate, answer.problems) == (Fate.REFUSED, first.problems)


def test_a_held_event_is_refused_and_not_tried_any_more(
    desk: ControlDesk, frontier: Frontier, pipeline_of: PipelineOf, engine: Engine, clock: Hands
) -> None:
    raw = frontier.post.event(declaration("w5", local_reference="cursed"))
    pipeline_of(load_unless_cursed).process(frontier.deliveries([raw]))
    (answer,) = withdraw(desk, raw)
    assert (answer.fate, answer.problems[0].code) == (Fate.REFUSED, "withdrawn")
    clock.ahead = timedelta(minutes=10)
    assert [(told.fate, told.problems[0].code) for told in try_again(pipeline_of(None)).answers] == [(Fate.REFUSED, "withdrawn")]
    assert rows(engine, "SELECT count(*) FROM declaration") == [(0,)]
    with engine.connect() as connection:
        assert connection.execute(select(inbox.c.raw)).scalar_one() == raw


def test_the_same_tombstone_again_is_answered_again_and_changes_nothing(desk: ControlDesk, frontier: Frontier, engine: Engine) -> None:
    raw = frontier.post.event(declaration("w6"))
    said = desk.say(EventType.WITHDRAWAL, tombstone(raw))
    first = answers(desk.heard())
    desk.repeat(EventType.WITHDRAWAL, said)
    assert answers(desk.heard()) == first
    desk.say(EventType.WITHDRAWAL, tombstone(raw, reason="another reason"))
    assert answers(desk.heard()) == first
    assert rows(engine, "SELECT reason FROM withdrawal") == [("wrong truck",)]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"digest": "A" * 43}, "event-conflict"),
        ({"sequence": 77}, "event-conflict"),
        ({"type": EventType.TRANSIT_DECLARATION.value}, "event-conflict"),
        ({"id": "01900000-0000-7000-8000-000000000000"}, "sequence-conflict"),
        ({"digest": "B" * 43}, "field-invalid"),  # not canonical base64url
        ({"id": "not-an-id" * 4}, "field-invalid"),
        ({"reason": ""}, "field-invalid"),
        ({"type": EventType.BEACON.value}, "rule-broken"),
    ],
)
def test_a_tombstone_that_contradicts_what_is_kept_is_parked_and_answers_nothing(
    desk: ControlDesk, frontier: Frontier, pipeline: Pipeline, engine: Engine, changes: dict[str, Any], code: str
) -> None:
    raw = frontier.post.event(declaration("w7"))
    pipeline.process(frontier.deliveries([raw]))
    assert withdraw(desk, raw, **changes) == []
    assert rows(engine, "SELECT code FROM parked") == [(code,)]
    assert rows(engine, "SELECT fate FROM inbox") == [("LOADED",)]


def test_a_post_withdraws_its_own_events_only(frontier: Frontier, pipeline: Pipeline, engine: Engine) -> None:
    raw = frontier.post.event(declaration("w8"))
    pipeline.process(frontier.deliveries([raw]))
    other = ControlDesk(engine, frontier, frontier.new_post("ishkoshim"))
    other.say(EventType.WITHDRAWAL, tombstone(raw))
    assert other.heard() == []
    assert rows(engine, "SELECT code FROM parked") == [("event-conflict",)]
    # Nor does it block another post's place: a place is a source's own.
    fresh = frontier.post.event(declaration("w9"))
    other.say(EventType.WITHDRAWAL, tombstone(fresh, id="01900000-0000-7000-8000-000000000001"))
    assert [answer.fate for answer in answers(other.heard())] == [Fate.REFUSED]
    assert fates(pipeline.process(frontier.deliveries([fresh]))) == ["LOADED"]


def test_a_bundle_of_tombstones_is_answered_by_one_receipt(desk: ControlDesk, frontier: Frontier, engine: Engine) -> None:
    raws = [frontier.post.event(declaration(f"w{number}")) for number in range(100, 120)]
    for raw in raws:
        desk.say(EventType.WITHDRAWAL, tombstone(raw))
    assert len(answers(desk.heard())) == 20
    assert rows(engine, "SELECT count(*) FROM inbox WHERE fate = 'REFUSED'") == [(20,)]


def test_what_a_parked_message_claimed_is_closed_by_the_withdrawal(
    desk: ControlDesk, frontier: Frontier, pipeline: Pipeline, engine: Engine
) -> None:
    raw = frontier.post.event(declaration("w10"))
    (sound,) = frontier.deliveries([raw])
    other = frontier.post.bundle([frontier.post.event(declaration("w10-other"))])
    pipeline.process([frontier.delivery(replace(other, body=sound.delivery.message.body))])
    assert rows(engine, "SELECT count(*) FROM parked WHERE closed_at_utc IS NULL") == [(1,)]
    withdraw(desk, raw)
    assert rows(engine, "SELECT count(*) FROM parked WHERE closed_at_utc IS NULL") == [(0,)]


def test_trace_tells_that_it_was_withdrawn(desk: ControlDesk, frontier: Frontier, pipeline: Pipeline, url: str, tmp_path: Any) -> None:
    early, late = frontier.post.event(declaration("w11")), frontier.post.event(declaration("w12"))
    pipeline.process(frontier.deliveries([late]))
    withdraw(desk, early, late)
    told = {step.what: step.detail for step in trace(settings_for(url, tmp_path), "TJ/TJPNJ/2026/w11")}
    assert set(told) == {"withdrawn by its sender", "refused"}
    assert "took its place" in told["withdrawn by its sender"]
    life = sorted(trace(settings_for(url, tmp_path), "TJ/TJPNJ/2026/w12"), key=lambda step: step.at_utc)
    assert [step.what for step in life] == ["received", "loaded", "withdrawn by its sender"]


_ACTS = st.lists(st.sampled_from(["event", "cursed", "tombstone", "another tombstone", "retry"]), min_size=1, max_size=8)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=_ACTS)
def test_in_whatever_order_an_event_and_its_withdrawals_come_the_first_final_fate_stands(
    desk: ControlDesk, frontier: Frontier, pipeline_of: PipelineOf, engine: Engine, clock: Hands, acts: list[str]
) -> None:
    """One event for each example, which its loader may refuse to finish (`cursed`), and all that may happen to it."""
    raw = frontier.post.event(declaration(new_epoch(), local_reference="cursed"))
    event_id = json.loads(raw)["id"]

    def retry() -> list[Answered]:
        with engine.begin() as connection:
            due_now(connection, held.c.event_id == event_id, clock())
        return [one for one in try_again(pipeline_of(None)).answers if one.event_id == event_id]

    ways: dict[str, Callable[[], Sequence[Answered | Answer]]] = {
        "event": lambda: pipeline_of(None).process(frontier.deliveries([raw])),
        "cursed": lambda: pipeline_of(load_unless_cursed).process(frontier.deliveries([raw])),
        "tombstone": lambda: withdraw(desk, raw),
        "another tombstone": lambda: withdraw(desk, raw, reason="again"),
        "retry": retry,
    }
    final: str | None = None
    for act in acts:
        told = {answer.fate.value for answer in ways[act]()}
        with engine.connect() as connection:
            kept = connection.execute(select(inbox.c.fate).where(inbox.c.event_id == event_id)).scalar()
            loaded = connection.execute(select(declaration_table.c.event_id).where(declaration_table.c.event_id == event_id)).all()
        assert told <= {kept}
        assert final in (None, kept)
        final = kept if kept in ("LOADED", "REFUSED") else None
        assert bool(loaded) == (kept == "LOADED")
    assert rows(engine, "SELECT count(*) FROM parked") == [(0,)]


class _Gate:
    """Lets two threads meet: whoever is inside waits until the other side has begun."""

    def __init__(self) -> None:
        self.inside, self.go_on = threading.Event(), threading.Event()


def _together(first: Callable[[], object], gate: _Gate, second: Callable[[], object]) -> None:
    """Begin `first`, and while it stands at the gate, `second`; then let `first` go on, and wait for both."""
    faults: list[BaseException] = []

    def run(act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            faults.append(error)

    one, two = threading.Thread(target=run, args=(first,)), threading.Thread(target=run, args=(second,))
    one.start()
    assert gate.inside.wait(30)
    two.start()
    two.join(0.5)  # it either ends before the other, or waits for it
    gate.go_on.set()
    one.join(60)
    two.join(60)
    assert not one.is_alive()
    assert not two.is_alive()
    assert faults == []


def test_the_event_being_loaded_in_another_process_goes_first(
    desk: ControlDesk, frontier: Frontier, pipeline_of: PipelineOf, engine: Engine
) -> None:
    gate = _Gate()

    def load_slowly(batch: Batch, context: Context) -> None:
        load_record(batch, context)
        gate.inside.set()
        gate.go_on.wait(30)

    raw = frontier.post.event(declaration("r1"))
    loading = pipeline_of(load_slowly)
    told: list[Any] = []
    heard: list[Answer] = []
    _together(lambda: told.extend(loading.process(frontier.deliveries([raw]))), gate, lambda: heard.extend(withdraw(desk, raw)))
    (load,), (answer,) = told, heard
    assert load.fate is answer.fate
    ((fate, declarations),) = rows(engine, "SELECT fate, (SELECT count(*) FROM declaration) FROM inbox")
    assert (fate, declarations) in (("LOADED", 1), ("REFUSED", 0))
    assert fate == answer.fate.value


def test_the_withdrawal_being_taken_in_another_process_goes_first(
    desk: ControlDesk, frontier: Frontier, pipeline: Pipeline, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = _Gate()
    take = withdrawals_module.take_withdrawal

    def take_slowly(*arguments: Any) -> Any:
        taken = take(*arguments)
        gate.inside.set()
        gate.go_on.wait(30)
        return taken

    monkeypatch.setattr(withdrawals_module, "take_withdrawal", take_slowly)
    raw = frontier.post.event(declaration("r2"))
    told: list[Any] = []
    heard: list[Answer] = []
    _together(lambda: heard.extend(withdraw(desk, raw)), gate, lambda: told.extend(pipeline.process(frontier.deliveries([raw]))))
    assert [each.fate for each in told] == [each.fate for each in heard] == [Fate.REFUSED]
    assert rows(engine, "SELECT fate, (SELECT count(*) FROM declaration) FROM inbox") == [("REFUSED", 0)]


def test_a_held_event_tried_at_the_moment_of_its_withdrawal_ends_in_one_way(
    desk: ControlDesk, frontier: Frontier, pipeline_of: PipelineOf, engine: Engine, clock: Hands
) -> None:
    gate = _Gate()

    def load_slowly(batch: Batch, context: Context) -> None:
        load_record(batch, context)
        gate.inside.set()
        gate.go_on.wait(30)

    raw = frontier.post.event(declaration("r3", local_reference="cursed"))
    pipeline_of(load_unless_cursed).process(frontier.deliveries([raw]))
    clock.ahead = timedelta(minutes=10)
    heard: list[Answer] = []
    _together(lambda: try_again(pipeline_of(load_slowly)), gate, lambda: heard.extend(withdraw(desk, raw)))
    ((fate, declarations),) = rows(engine, "SELECT fate, (SELECT count(*) FROM declaration) FROM inbox")
    assert (fate, declarations) in (("LOADED", 1), ("REFUSED", 0))
    assert [answer.fate.value for answer in heard] == [fate]


def test_many_threads_with_events_and_their_tombstones_give_each_place_one_fate(
    frontier: Frontier, pipeline_of: PipelineOf, engine: Engine
) -> None:
    raws = [frontier.post.event(declaration(f"m{number}")) for number in range(60)]
    seen: dict[str, set[str]] = {json.loads(raw)["id"]: set() for raw in raws}

    def load(part: list[bytes]) -> None:
        for raw in part:
            for answer in pipeline_of(None).process(frontier.deliveries([raw])):
                seen[answer.event_id].add(answer.fate.value)

    def take_back(part: list[bytes]) -> None:
        desk = ControlDesk(engine, frontier, frontier.post)
        for answer in withdraw(desk, *part):
            seen[answer.id].add(answer.fate.value)

    threads = [threading.Thread(target=load, args=(raws[::step],)) for step in (1, -1)]
    threads += [threading.Thread(target=take_back, args=(raws[::step],)) for step in (1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    with engine.connect() as connection:
        kept = connection.execute(text("SELECT CAST(event_id AS VARCHAR(36)) AS id, fate FROM inbox"))
        fates_kept = {row.id: row.fate for row in kept}
        loaded = set(connection.execute(text("SELECT CAST(event_id AS VARCHAR(36)) FROM declaration")).scalars())
    assert seen == {event_id: {fate} for event_id, fate in fates_kept.items()}
    assert loaded == {event_id for event_id, fate in fates_kept.items() if fate == "LOADED"}
    assert EXPORT in {json.loads(raw)["type"] for raw in raws}
