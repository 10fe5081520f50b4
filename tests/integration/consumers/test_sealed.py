"""Encrypted events in the customs house, on both databases: loaded, refused under the sender's key, held while a key is missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from broker.bundle.lines import expand, split
from broker.bundle.sealed import seal
from broker.settings.model import House
from broker.trust.anchors import TrustStore
from broker.trust.sealing import DecryptionKeys, Recipient, unseal_problems
from consumers.answers import receipts
from consumers.loaders.record.tables import declaration as declaration_table
from consumers.pipeline import Pipeline
from consumers.retrying import try_again
from consumers.tables import inbox
from schemas.event import new_id, new_salt
from schemas.sealed import SEALED_SCHEMA
from schemas.strict_json import parse
from tests.integration.consumers.conftest import Hands, PipelineOf
from tests.integration.consumers.frontier import HOUSE, Frontier, declaration


class Sealing:
    """The house's encryption key, and events that are encrypted to it."""

    def __init__(self, frontier: Frontier) -> None:
        self.frontier = frontier
        pair = frontier.afghan.create_encryption(HOUSE)
        trust = TrustStore({"af": frontier.afghan.anchor}, {"af": frontier.afghan.crl.parent})  # the sender's own
        self.recipient = Recipient.load(pair.certificate, HOUSE, trust, datetime.now(UTC))
        house = House(certificate=Path("-"), key=Path("-"), database="sqlite:///x", encryption=(pair,))
        self.keys = DecryptionKeys.load(house)

    def event(self, data: dict[str, Any], **changes: Any) -> tuple[bytes, bytes]:
        """An event and its reply key."""
        salt, event_id = new_salt(), new_id()
        sealed, reply_key = seal(data, salt, self.recipient)
        attributes = {"id": event_id, "salt": salt, "subject": event_id, "dataschema": SEALED_SCHEMA, "data": sealed}
        return self.frontier.post.event(data, **(attributes | changes)), reply_key


@pytest.fixture(scope="module")
def sealing(frontier: Frontier) -> Sealing:
    return Sealing(frontier)


def test_an_encrypted_declaration_is_loaded_and_the_signed_bytes_stay_encrypted(
    pipeline: Pipeline, frontier: Frontier, engine: Engine, sealing: Sealing
) -> None:
    raw, _ = sealing.event(declaration("sealed-1", exporter_name="Bodom Export"))
    (answer,) = replace(pipeline, keys=sealing.keys).process(frontier.deliveries([raw]))
    assert answer.fate.value == "LOADED"
    with engine.connect() as connection:
        kept = connection.execute(select(inbox)).one()
        loaded = connection.execute(select(declaration_table)).one()
    assert loaded.exporter_name == "Bodom Export"
    assert (kept.raw, kept.reference) == (raw, "TJ/TJPNJ/2026/sealed-1")
    assert b"Bodom" not in kept.raw


def test_a_refusal_goes_back_encrypted_and_so_does_the_first_fate_when_it_comes_again(
    pipeline: Pipeline, frontier: Frontier, sealing: Sealing
) -> None:
    raw, reply_key = sealing.event(declaration("sealed-2", invoice_currency="XXZ"))
    house = replace(pipeline, keys=sealing.keys)
    for _ in range(2):
        answers = house.process(frontier.deliveries([raw]))
        ((_, message),) = receipts(answers, HOUSE, "test", frontier.house_identity, datetime.now(UTC))
        (receipt,) = split(expand(message.body, message.content_encoding))
        assert b"XXZ" not in receipt
        (told,) = parse(receipt)["data"]["answers"]
        assert "problems" not in told
        assert unseal_problems(told["sealed"], reply_key)[0].value == "XXZ"
        assert unseal_problems(told["sealed"], bytes(32))[0].code == "reasons-unreadable"


def test_an_event_for_a_missing_key_is_held_and_loads_once_the_key_is_there(
    pipeline_of: PipelineOf, frontier: Frontier, engine: Engine, sealing: Sealing, clock: Hands
) -> None:
    raw, _ = sealing.event(declaration("sealed-3"))
    house = pipeline_of(None)
    (answer,) = house.process(frontier.deliveries([raw]))
    assert (answer.fate.value, answer.problems[0].code) == ("HELD", "sealed-key-unknown")
    clock.ahead = timedelta(minutes=2)
    assert try_again(house).answers == []
    clock.ahead = timedelta(hours=1)
    (final,) = try_again(replace(house, keys=sealing.keys)).answers
    assert final.fate.value == "LOADED"
    with engine.connect() as connection:
        assert connection.execute(select(inbox.c.reference)).scalar_one() == "TJ/TJPNJ/2026/sealed-3"


def test_an_envelope_that_tells_the_reference_is_refused(pipeline: Pipeline, frontier: Frontier, sealing: Sealing) -> None:
    raw, _ = sealing.event(declaration("sealed-4"), subject="TJ/TJPNJ/2026/sealed-4")
    (answer,) = replace(pipeline, keys=sealing.keys).process(frontier.deliveries([raw]))
    assert (answer.fate.value, answer.problems[0].code) == ("REFUSED", "subject-mismatch")
