"""What `panj status` and `panj trace` learn from the customs house, and the thirteen lines at work."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from broker.operations.contributions import Attention
from broker.settings.model import BrokerSettings, ConsumerSettings, House, Management, Settings
from consumers.operations import observe, trace
from consumers.pipeline import Pipeline
from consumers.registry import load_consumer
from schemas.errors import UnavailableError
from schemas.names import EventType
from tests.integration.consumers.conftest import PipelineOf
from tests.integration.consumers.frontier import TRANSIT, Frontier, declaration
from tests.integration.consumers.test_fates import load_unless_cursed

THIRTEEN_LINES = '''
from sqlalchemy import Column, MetaData, String, Table, insert
transit = Table("our_transit", MetaData(), Column("reference", String(100)))
def row_of(event):
    return {"reference": event.data.reference}

from consumers import consumer
from schemas import TransitDeclaration

@consumer(TransitDeclaration, queue="transit-risk", batch_size=100)
def load_transits(batch, context):
    """Load transit declarations into our own risk database."""
    for event in batch:
        if event.data.guarantee is None:
            context.refuse(event, "guarantee-missing", "a transit needs a guarantee", field="guarantee")
    context.transaction.execute(insert(transit), [row_of(event) for event in batch.accepted])
'''


def settings_for(url: str, directory: Path) -> Settings:
    nowhere = directory / "nowhere"
    return Settings(
        country="af",
        environment="test",
        time_zone="Asia/Kabul",
        broker=BrokerSettings(ca=nowhere, cluster_name="af", management=Management(url="http://127.0.0.1:1", password_file=nowhere)),
        house=House(database=url, certificate=nowhere, key=nowhere),
    )


def test_the_thirteen_lines_load_refuse_and_isolate(
    pipeline: Pipeline, frontier: Frontier, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "our_transit_risk.py").write_text(THIRTEEN_LINES)
    monkeypatch.syspath_prepend(tmp_path)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE our_transit (reference VARCHAR(100))"))
    configured = ConsumerSettings(queue="transit-risk", types=(EventType.TRANSIT_DECLARATION,), handler="our_transit_risk")
    ours = Pipeline(load_consumer(configured), engine, frontier.trust, frontier.expected, pipeline.stop)
    guarantee = {"type_code": "1", "reference": "G1"}
    events = [frontier.post.event(declaration(f"q{number}", guarantee=guarantee), TRANSIT) for number in range(3)]
    events.append(frontier.post.event(declaration("q9"), TRANSIT))
    answers = ours.process(frontier.deliveries(events, TRANSIT))
    assert [answer.fate.value for answer in answers] == ["LOADED"] * 3 + ["REFUSED"]
    assert answers[3].problems[0].field == "guarantee"
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM our_transit")).scalar_one() == 3
    sys.modules.pop("our_transit_risk")


def test_status_tells_fates_held_parked_and_holes(
    pipeline_of: PipelineOf, frontier: Frontier, engine: Engine, url: str, tmp_path: Path
) -> None:
    post = frontier.new_post("langar")
    post.event(declaration("never-sent"))
    events = [post.event(declaration("s1")), post.event(declaration("s2", local_reference="cursed"))]
    bundle = frontier.delivery(post.bundle(events))
    pipeline_of(load_unless_cursed).process([bundle, bundle])
    readings = {(reading.subject, reading.name): reading for reading in observe(settings_for(url, tmp_path))}
    assert readings[("af-customs", "loaded")].value == 1
    assert readings[("af-customs", "duplicates")].value == 2
    assert readings[("af-customs", "held")].attention is Attention.WATCH
    assert readings[("af-customs", "parked")].value == 0
    assert readings[(f"urn:customs:tj:langar customs.export-declaration.v1 {post.epoch}", "holes")].value == 1


def test_trace_tells_one_declarations_life_by_reference_or_number(pipeline: Pipeline, frontier: Frontier, url: str, tmp_path: Path) -> None:
    for data in (declaration("tr-1"), declaration("tr-1", 2, invoice_amount="-1"), declaration("tr-1", 3)):
        pipeline.process(frontier.deliveries([frontier.post.event(data)]))
    by_reference = list(trace(settings_for(url, tmp_path), "TJ/TJPNJ/2026/tr-1"))
    assert [step.what for step in by_reference] == ["received", "loaded", "received", "refused", "received", "loaded"]
    assert "field-invalid" in by_reference[3].detail
    assert list(trace(settings_for(url, tmp_path), "tr-1")) == by_reference
    assert list(trace(settings_for(url, tmp_path), "unknown")) == []


def test_a_database_that_is_away_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="does not answer"):
        list(observe(settings_for("postgresql+psycopg://nobody@127.0.0.1:1/nowhere", tmp_path)))
