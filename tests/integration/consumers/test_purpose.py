"""What was released for another purpose never reaches a handler, and whoever reads the record gets what was released for the stated one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Engine, func, select, text

from consumers import migrations
from consumers.context import Batch, Context
from consumers.database import open_engine
from consumers.held import due_now
from consumers.loaders.record import load_record
from consumers.loaders.record.tables import declaration as declaration_table
from consumers.pipeline import Pipeline
from consumers.reading import loaded_events, record_for
from consumers.retrying import try_again
from consumers.tables import held, inbox
from schemas.event import digest_of
from tests.integration.consumers.conftest import Hands, PipelineOf
from tests.integration.consumers.frontier import CROSSING, Frontier, crossing, declaration

CONTROL = frozenset({"customs-control"})


def reading_for(pipeline: Pipeline, *purposes: str) -> Pipeline:
    return replace(pipeline, consumer=replace(pipeline.consumer, purposes=frozenset(purposes)))


def test_an_event_released_for_another_purpose_never_reaches_the_handler(pipeline_of: PipelineOf, frontier: Frontier, clock: Hands) -> None:
    seen: list[str] = []

    def load(batch: Batch, context: Context) -> None:
        seen.extend(event.purpose for event in batch)
        load_record(batch, context)

    pipeline = reading_for(pipeline_of(load), "customs-control")
    raws = [frontier.post.event(declaration("p1")), frontier.post.event(declaration("p2"), purpose="statistics")]
    control, statistics = pipeline.process(frontier.deliveries(raws))
    assert (control.fate.value, statistics.fate.value) == ("LOADED", "HELD")
    assert (statistics.problems[0].code, statistics.problems[0].value) == ("purpose-unread", "statistics")
    with pipeline.engine.begin() as connection:  # a person releases it: rules are lifted, what was agreed is not
        due_now(connection, held.c.event_id == statistics.event_id, clock(), released_by_order=1)
    assert try_again(pipeline).answers == []
    assert seen == ["customs-control"]


def test_it_loads_once_the_house_reads_for_that_purpose(pipeline: Pipeline, frontier: Frontier, clock: Hands, engine: Engine) -> None:
    (held_one,) = reading_for(pipeline, "customs-control").process(
        frontier.deliveries([frontier.post.event(declaration("p3"), purpose="statistics")])
    )
    clock.ahead = timedelta(hours=1)
    (answer,) = try_again(reading_for(pipeline, "customs-control", "statistics")).answers
    assert (answer.event_id, answer.fate.value) == (held_one.event_id, "LOADED")
    with engine.connect() as connection:
        kept = connection.execute(select(inbox.c.purpose, inbox.c.legal_basis, inbox.c.version)).one()
        loaded = connection.execute(select(declaration_table.c.purpose, declaration_table.c.legal_basis)).one()
    assert tuple(kept) == ("statistics", "bilateral protocol", 1)
    assert tuple(loaded) == ("statistics", "bilateral protocol")


def test_the_record_is_read_for_a_purpose_only(pipeline: Pipeline, frontier: Frontier, engine: Engine) -> None:
    post = frontier.post
    pipeline.process(
        frontier.deliveries(
            [
                post.event(declaration("r1")),
                post.event(declaration("r2"), purpose="statistics"),
                post.event(declaration("r1", 2), purpose="statistics"),
            ]
        )
    )
    pipeline.process(frontier.deliveries([post.event(crossing("x1", "arrived", "r1"), CROSSING)], CROSSING))
    control, statistics, nothing = record_for(CONTROL), record_for(["statistics"]), record_for(["risk"])
    with engine.connect() as connection:

        def numbers(selectable: object) -> list[tuple[object, ...]]:
            columns = selectable.c  # type: ignore[attr-defined]
            return sorted(tuple(row) for row in connection.execute(select(columns.reference, columns.version)))

        assert numbers(control.declarations) == [("TJ/TJPNJ/2026/r1", 1)]
        assert numbers(control.current_declarations) == []  # its second version is current, and was not released for this
        assert numbers(statistics.current_declarations) == [("TJ/TJPNJ/2026/r1", 2), ("TJ/TJPNJ/2026/r2", 1)]
        assert connection.execute(select(func.count()).select_from(control.items)).scalar() == 3
        assert connection.execute(select(func.count()).select_from(statistics.current_items)).scalar() == 6
        assert connection.execute(select(func.count()).select_from(control.crossings)).scalar() == 1
        assert connection.execute(select(func.count()).select_from(nothing.crossings)).scalar() == 0
        assert [(event.reference, event.version) for event in loaded_events(connection, ["statistics"])] == [
            ("TJ/TJPNJ/2026/r2", 1),
            ("TJ/TJPNJ/2026/r1", 2),
        ]
        assert [event.data.registration_number for event in loaded_events(connection, None, inbox.c.reference.like("%/r2"))] == ["r2"]


def test_what_came_before_the_purpose_was_kept_is_told_from_its_signed_bytes(url: str, frontier: Frontier) -> None:
    engine = open_engine(url)
    migrations.upgrade(engine, "unclassified_0014")
    raw = frontier.post.event(declaration("old"), purpose="risk-analysis", legalbasis="протокол «2015»")
    row = {
        "event_id": json.loads(raw)["id"],
        "digest": digest_of(raw),
        "raw": raw,
        "now": "2026-01-01T00:00:00.000000Z",
        "bundle_digest": bytes(32),
    }
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO inbox (event_id, source, destination, type, epoch, sequence, reference, digest, fate, received_at_utc,"
                " decided_at_utc, bundle_digest, raw) VALUES (:event_id, 's', 'd', 't', 'e', 1, 'r', :digest, 'LOADED', :now, :now,"
                " :bundle_digest, :raw)"
            ),
            row,
        )
    migrations.upgrade(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT purpose, legal_basis FROM inbox")).one() == ("risk-analysis", "протокол «2015»")
