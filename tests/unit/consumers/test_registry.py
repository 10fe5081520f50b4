"""The thirteen lines of an integration team, and what is said when they are wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from broker.settings.model import ConsumerSettings
from consumers import consumer
from consumers.registry import load_consumer
from schemas.declarations import ExportDeclaration, TransitDeclaration
from schemas.errors import SettingsError, UsageError
from schemas.names import EventType

THIRTEEN_LINES = '''
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


def configured(handler: str, queue: str = "transit-risk", event_type: EventType = EventType.TRANSIT_DECLARATION) -> ConsumerSettings:
    return ConsumerSettings(queue=queue, types=(event_type,), handler=handler)


def test_the_thirteen_lines_register_a_consumer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "our_risk.py").write_text(THIRTEEN_LINES)
    monkeypatch.syspath_prepend(tmp_path)
    found = load_consumer(configured("our_risk"))
    assert (found.queue, found.types, found.batch_size) == ("transit-risk", (EventType.TRANSIT_DECLARATION,), 100)
    sys.modules.pop("our_risk")


def test_the_record_takes_all_stream_types() -> None:
    found = load_consumer(configured("consumers.loaders.record", "record", EventType.CROSSING_EVENT))
    assert len(found.types) == 4


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (configured("consumers.loaders.nowhere"), "consumer-module-missing"),
        (configured("consumers.loaders.record"), "consumer-missing"),
    ],
)
def test_a_consumer_that_is_not_there_is_told_by_module_and_queue(settings: ConsumerSettings, code: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_consumer(settings)
    assert caught.value.code == code


def test_a_type_that_the_consumer_does_not_take_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "our_other_risk.py").write_text(THIRTEEN_LINES)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingsError, match="does not take these types"):
        load_consumer(configured("our_other_risk", event_type=EventType.EXPORT_DECLARATION))
    sys.modules.pop("our_other_risk")


def test_arguments_that_make_no_sense_are_refused_at_once() -> None:
    with pytest.raises(UsageError, match="one or several of"):
        consumer(dict, queue="x")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="between 1 and 500"):
        consumer((ExportDeclaration, TransitDeclaration), queue="x", batch_size=501)
