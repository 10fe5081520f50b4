"""The test vectors of docs/protocol.md: they end as they say, and the events in them are what the document shows."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from broker.bundle.open import Expected, open_message
from broker.ports import Message
from broker.trust.anchors import TrustStore
from schemas.content import validate
from schemas.errors import DistrustError
from schemas.names import Party
from tests.unit.bundle import vectors

DOCUMENT: dict[str, Any] = json.loads(vectors.FILE.read_text(encoding="utf-8"))
RECEIVER = DOCUMENT["receiver"]


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> TrustStore:
    place: Path = tmp_path_factory.mktemp("vectors")
    (place / "tj.pem").write_text(DOCUMENT["anchor_pem"])
    (place / "tj.crl").write_bytes(bytes.fromhex(DOCUMENT["crl_hex"]))
    return TrustStore({"tj": place / "tj.pem"}, {"tj": place})


@pytest.mark.parametrize("vector", DOCUMENT["vectors"], ids=lambda vector: vector["name"])
def test_a_vector_ends_as_it_says(trust: TrustStore, vector: dict[str, Any]) -> None:
    message = Message(
        vector["routing_key"],
        bytes.fromhex(vector["body_hex"]),
        vector["headers"] | {"jws": vector["jws"]},
        vector["content_type"],
        vector["content_encoding"],
    )
    expected = Expected(RECEIVER["lane_country"], Party.of_urn(RECEIVER["urn"]), RECEIVER["environment"])
    now = datetime.fromisoformat(RECEIVER["clock_utc"])
    if vector["expected"]["opens"]:
        found = open_message(message, trust, expected, now)
        assert not found.unreadable
        shown = DOCUMENT["events"][: len(found.events)]
        assert [(each.raw.decode(), each.digest.hex()) for each in found.events] == [
            (event["text"], event["sha256_hex"]) for event in shown
        ]
        for each in found.events:
            assert validate(each.event.type, each.event.data).reference == each.event.subject
    else:
        with pytest.raises(DistrustError) as caught:
            open_message(message, trust, expected, now)
        assert caught.value.code == vector["expected"]["code"]


def test_the_file_still_has_the_cases_and_events_of_its_script() -> None:
    fresh = vectors.document()
    kept = ("name", "why", "routing_key", "expected")
    assert [[each[name] for name in kept] for each in DOCUMENT["vectors"]] == [[each[name] for name in kept] for each in fresh["vectors"]]
    assert (DOCUMENT["events"], DOCUMENT["key_pem"], DOCUMENT["receiver"]) == (fresh["events"], fresh["key_pem"], fresh["receiver"])


def test_the_key_of_the_vectors_is_the_one_that_everybody_can_make() -> None:
    key = serialization.load_pem_private_key(DOCUMENT["key_pem"].encode(), password=None)
    assert key.public_key() == vectors.fixed_key("tj-panji-poyon").public_key()
