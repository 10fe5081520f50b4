"""Every fate that an event can meet at the customs house, on both databases."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select, text

from broker.trust.signing import b64url
from consumers.answers import Answered
from consumers.context import Batch, Context
from consumers.loaders.record import load_record
from consumers.loaders.record.tables import declaration as declaration_table
from consumers.pipeline import Pipeline
from consumers.retrying import try_again
from consumers.suspects import take_in_carefully
from consumers.tables import attempt, crl, evidence, held, inbox, parked
from schemas.errors import ContentError
from schemas.event import new_epoch
from schemas.fates import Fate
from tests.integration.consumers.conftest import Hands, PipelineOf
from tests.integration.consumers.frontier import Frontier, declaration


def fates(answers: list[Answered]) -> list[str]:
    return [answer.fate.value for answer in answers]


def rows(engine: Engine, query: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def load_unless_cursed(batch: Batch, context: Context) -> None:
    for event in batch:
        if event.data.local_reference == "cursed":
            raise ZeroDivisionError("exporter's secret name")
    load_record(batch, context)


def test_a_sound_event_is_loaded_with_its_inbox_row_and_its_evidence(pipeline: Pipeline, frontier: Frontier, engine: Engine) -> None:
    raw = frontier.post.event(declaration(1))
    assert fates(pipeline.process(frontier.deliveries([raw]))) == ["LOADED"]
    with engine.connect() as connection:
        kept = connection.execute(select(inbox)).one()
        loaded = connection.execute(select(declaration_table)).one()
        signature = connection.execute(select(evidence).where(evidence.c.bundle_digest == kept.bundle_digest)).one()
    assert (kept.raw, kept.fate, kept.version, loaded.event_id) == (raw, "LOADED", 1, kept.event_id)
    assert str(loaded.gross_mass_kg) in ("3751.500", "3751.500000")
    assert loaded.accepted_at_utc.isoformat() == "2026-11-23T09:05:00+00:00"
    assert loaded.accepted_at_offset_minutes == 300
    assert signature.signatory == frontier.post.party.urn


def test_the_crl_that_stood_when_a_bundle_was_opened_is_kept_once(pipeline: Pipeline, frontier: Frontier, engine: Engine) -> None:
    for number in range(3):
        pipeline.process(frontier.deliveries([frontier.post.event(declaration(f"crl-{number}"))]))
    first = frontier.tajik.crl.read_bytes()
    frontier.tajik.write_crl()
    assert frontier.trust.reload()
    pipeline.process(frontier.deliveries([frontier.post.event(declaration("crl-3"))]))
    second = frontier.tajik.crl.read_bytes()
    with engine.connect() as connection:
        kept = connection.execute(select(crl).order_by(crl.c.first_seen_utc)).all()
        judged_by = connection.execute(select(evidence.c.crls).order_by(evidence.c.received_at_utc)).scalars().all()
    assert [row.der for row in kept] == [first, second]
    assert [(row.country, row.issuer) for row in kept] == [("tj", "CN=Panj pilot authority tj,C=TJ")] * 2
    assert int(kept[1].number) == int(kept[0].number) + 1
    assert judged_by == [[b64url(row.digest)] for row in (kept[0], kept[0], kept[0], kept[1])]


def test_a_second_copy_is_answered_with_its_first_fate_and_counted(pipeline: Pipeline, frontier: Frontier, engine: Engine) -> None:
    good = frontier.post.event(declaration("dup-1"))
    bad = frontier.post.event(declaration("dup-2", invoice_currency=5))
    first = pipeline.process(frontier.deliveries([good, bad]))
    second = pipeline.process(frontier.deliveries([good, bad, good]))
    assert fates(first) == ["LOADED", "REFUSED"]
    assert fates(second) == ["LOADED", "REFUSED", "LOADED"]
    assert second[1].problems == first[1].problems
    assert rows(engine, "SELECT duplicates FROM inbox ORDER BY event_id") == [(2,), (1,)]
    assert rows(engine, "SELECT count(*) FROM declaration") == [(1,)]


def test_two_copies_in_one_batch_load_once(pipeline: Pipeline, frontier: Frontier, engine: Engine) -> None:
    raw = frontier.post.event(declaration("twice"))
    assert fates(pipeline.process(frontier.deliveries([raw, raw], size=1))) == ["LOADED", "LOADED"]
    assert rows(engine, "SELECT count(*) FROM declaration") == [(1,)]


def test_bad_content_is_refused_with_code_and_field_and_costs_no_other_event(
    pipeline: Pipeline, frontier: Frontier, engine: Engine
) -> None:
    bad = declaration("bad")
    bad["items"][1]["gross_mass_kg"] = "-1"
    answers = pipeline.process(frontier.deliveries([frontier.post.event(declaration("good")), frontier.post.event(bad)]))
    told = {answer.fate: answer for answer in answers}
    assert set(told) == {Fate.LOADED, Fate.REFUSED}
    assert [(problem.code, problem.field) for problem in told[Fate.REFUSED].problems] == [("field-invalid", "items.1.gross_mass_kg")]
    assert rows(engine, "SELECT registration_number FROM declaration") == [("good",)]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"data": declaration("x", administration="af"), "subject": "AF/TJPNJ/2026/x"}, "administration-mismatch"),
        ({"subject": "TJ/A/1"}, "subject-mismatch"),
    ],
)
def test_an_envelope_that_disagrees_with_its_content_is_refused(
    pipeline: Pipeline, frontier: Frontier, changes: dict[str, object], code: str
) -> None:
    (answer,) = pipeline.process(frontier.deliveries([frontier.post.event(declaration("x"), **changes)]))
    assert (answer.fate, answer.problems[0].code) == (Fate.REFUSED, code)


def test_a_surprise_of_the_handler_holds_the_one_event_and_loads_the_others(
    pipeline_of: PipelineOf, frontier: Frontier, engine: Engine
) -> None:
    events = [frontier.post.event(declaration(number, local_reference="cursed" if number == 77 else "fine")) for number in range(120)]
    answers = pipeline_of(load_unless_cursed).process(frontier.deliveries(events))
    assert fates(answers).count("LOADED") == 119
    (one,) = [answer for answer in answers if answer.fate is Fate.HELD]
    assert one.problems[0].code == "handler-surprise"
    assert "secret" not in one.problems[0].text
    assert rows(engine, "SELECT count(*) FROM declaration") == [(119,)]
    assert rows(engine, "SELECT reference FROM inbox WHERE fate = 'HELD'") == [("TJ/TJPNJ/2026/77",)]


def test_a_content_error_of_the_handler_refuses_the_one_event(pipeline_of: PipelineOf, frontier: Frontier) -> None:
    def strict(batch: Batch, context: Context) -> None:
        for event in batch:
            if event.data.registration_number == "2":
                raise ContentError("weight-implausible", "too heavy for one truck", field="gross_mass_kg")

    answers = pipeline_of(strict).process(frontier.deliveries([frontier.post.event(declaration(number)) for number in range(4)]))
    assert sorted(fates(answers)) == ["LOADED", "LOADED", "LOADED", "REFUSED"]


def test_a_handler_that_commits_is_stopped_before_it_can(pipeline_of: PipelineOf, frontier: Frontier, engine: Engine) -> None:
    def commit(batch: Batch, context: Context) -> None:
        load_record(batch, context)
        context.transaction.commit()

    answers = pipeline_of(commit).process(frontier.deliveries([frontier.post.event(declaration("c"))]))
    assert fates(answers) == ["HELD"]
    assert rows(engine, "SELECT count(*) FROM declaration") == [(0,)]


def test_a_held_event_is_tried_again_and_then_answered_for_good(
    pipeline_of: PipelineOf, frontier: Frontier, engine: Engine, clock: Hands
) -> None:
    cursed = pipeline_of(load_unless_cursed)
    (first,) = cursed.process(frontier.deliveries([frontier.post.event(declaration("h", local_reference="cursed"))]))
    assert try_again(cursed).answers == []  # not yet its time
    clock.ahead += timedelta(seconds=61)
    assert try_again(cursed).answers == []  # still cursed
    assert rows(engine, "SELECT attempts FROM held") == [(1,)]
    clock.ahead += timedelta(minutes=6)
    (final,) = try_again(pipeline_of(None)).answers
    assert (final.event_id, final.digest, final.fate) == (first.event_id, first.digest, Fate.LOADED)
    assert rows(engine, "SELECT fate FROM inbox") == [("LOADED",)]
    assert rows(engine, "SELECT count(*) FROM declaration") == [(1,)]


def test_an_event_held_too_often_is_left_to_a_person(pipeline_of: PipelineOf, frontier: Frontier, engine: Engine, clock: Hands) -> None:
    cursed = pipeline_of(load_unless_cursed)
    cursed.process(frontier.deliveries([frontier.post.event(declaration("p", local_reference="cursed"))]))
    for _ in range(8):
        clock.ahead += timedelta(hours=13)
        try_again(cursed)
    assert rows(engine, "SELECT attempts, next_attempt_at_utc FROM held") == [(5, None)]


def test_a_tampered_bundle_is_parked_once_with_a_counter_and_closed_when_its_events_load(
    pipeline: Pipeline, frontier: Frontier, engine: Engine
) -> None:
    raws = [frontier.post.event(declaration(f"t{number}")) for number in range(3)]
    (sound,) = frontier.deliveries(raws)
    message = frontier.post.bundle([raws[0], raws[1], frontier.post.event(declaration("other"))])
    tampered = frontier.delivery(replace(message, body=sound.delivery.message.body, headers=message.headers))
    assert pipeline.process([tampered, tampered]) == []
    ((code, times, closed),) = rows(engine, "SELECT code, times, closed_at_utc FROM parked")
    assert str(code).startswith("jws-")
    assert (times, closed) == (2, None)
    assert fates(pipeline.process([sound])) == ["LOADED"] * 3
    assert rows(engine, "SELECT count(*) FROM parked WHERE closed_at_utc IS NULL") == [(0,)]


def test_one_id_with_other_bytes_is_parked_and_never_answered(pipeline: Pipeline, frontier: Frontier, engine: Engine) -> None:
    raw = frontier.post.event(declaration("i"))
    pipeline.process(frontier.deliveries([raw]))
    forged = frontier.post.event(declaration("i", gross_mass_kg="1"), id=json.loads(raw)["id"])
    assert pipeline.process(frontier.deliveries([forged])) == []
    assert rows(engine, "SELECT code FROM parked") == [("event-conflict",)]


def test_one_place_of_a_stream_taken_by_two_events_is_parked(pipeline: Pipeline, frontier: Frontier, engine: Engine) -> None:
    raw = frontier.post.event(declaration("s1"))
    other = frontier.post.event(declaration("s2"), sequence=json.loads(raw)["sequence"])
    assert fates(pipeline.process(frontier.deliveries([raw, other]))) == ["LOADED"]
    assert rows(engine, "SELECT code FROM parked") == [("sequence-conflict",)]


def test_the_same_version_under_a_new_epoch_is_loaded_already_and_with_other_content_refused(
    pipeline: Pipeline, frontier: Frontier, engine: Engine
) -> None:
    pipeline.process(frontier.deliveries([frontier.post.event(declaration("e"))]))
    epoch = new_epoch()
    same = frontier.post.event(declaration("e"), epoch=epoch)
    other = frontier.post.event(declaration("e", gross_mass_kg="9"), epoch=epoch)
    answers = {answer.event_id: answer for answer in pipeline.process(frontier.deliveries([same, other]))}
    assert answers[json.loads(same)["id"]].fate is Fate.LOADED
    assert answers[json.loads(other)["id"]].problems[0].code == "version-conflict"
    assert rows(engine, "SELECT count(*) FROM declaration") == [(1,)]


def test_a_delivery_that_came_back_often_is_taken_in_event_by_event(pipeline: Pipeline, frontier: Frontier, engine: Engine) -> None:
    raws = [frontier.post.event(declaration(f"r{number}")) for number in range(4)]
    pipeline.process(frontier.deliveries(raws[:1]))
    suspect = frontier.delivery(frontier.post.bundle(raws), redeliveries=3)
    assert fates(take_in_carefully(pipeline, suspect)) == ["LOADED"] * 4
    with engine.connect() as connection:
        assert connection.execute(select(attempt)).all() == []


def test_an_event_whose_worker_died_is_held_without_being_tried(pipeline_of: PipelineOf, frontier: Frontier, engine: Engine) -> None:
    class Death(BaseException):
        """The end of the process, as far as Python can play it."""

    def die(batch: Batch, context: Context) -> None:
        raise Death

    raws = [frontier.post.event(declaration(f"d{number}")) for number in range(2)]
    suspect = frontier.delivery(frontier.post.bundle(raws), redeliveries=4)
    with pytest.raises(Death):
        take_in_carefully(pipeline_of(die), suspect)
    answers = take_in_carefully(pipeline_of(None), suspect)
    assert [(answer.fate.value, answer.event_id) for answer in answers] == [
        ("HELD", json.loads(raws[0])["id"]),
        ("LOADED", json.loads(raws[1])["id"]),
    ]
    assert answers[0].problems[0].code == "worker-died"
    with engine.connect() as connection:
        # Not tried again by itself: it would take the next worker with it.
        assert connection.execute(select(held.c.code, held.c.next_attempt_at_utc)).all() == [("worker-died", None)]
        assert connection.execute(select(attempt)).all() == []


def test_what_is_parked_is_bounded_in_bytes(
    pipeline: Pipeline, frontier: Frontier, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.parked.TOTAL_BYTES", 1_000)
    monkeypatch.setattr("consumers.parked.OPEN_ROWS", 5)
    message = frontier.post.bundle([frontier.post.event(declaration("b"))])
    for number in range(9):
        pipeline.process([frontier.delivery(replace(message, body=bytes([number]) * 400))])
    with engine.connect() as connection:
        kept = connection.execute(select(parked.c.kept_bytes, parked.c.times)).all()
    assert sum(row.kept_bytes for row in kept) <= 1_000
    assert (len(kept), sum(row.times for row in kept)) == (6, 9)


def test_an_instant_at_the_end_of_the_calendar_is_refused(pipeline: Pipeline, frontier: Frontier) -> None:
    raws = [frontier.post.event(declaration(f"y{year}", accepted_at=f"{year}-01-01T00:00:00+05:00")) for year in ("0001", "9999", "2026")]
    assert sorted(fates(pipeline.process(frontier.deliveries(raws)))) == ["LOADED", "REFUSED", "REFUSED"]
