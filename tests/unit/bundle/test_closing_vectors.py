"""The vectors of closings: their digests as anybody computes them, what a house answers, both sides' signatures, and the chain."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime
from typing import Any

import pytest
from cryptography import x509

from broker.operations.ledger import Closing, Ledger, Side, examine
from broker.trust.testimony import PinnedAnchor, Tribunal
from schemas import strict_json
from schemas.closing import Line, block_digest, block_of, compare, digest_text, tell
from schemas.content import validate
from schemas.control import Manifest, ManifestAnswer
from schemas.event import Event, digest_of
from tests.unit.bundle import closing_vectors, vectors

DOCUMENT: dict[str, Any] = json.loads(vectors.FILE.read_text(encoding="utf-8"))["closings"]
EXCHANGES: dict[str, dict[str, Any]] = {each["name"]: each for each in DOCUMENT["exchanges"]}


def sha256(text: str) -> str:
    """The SHA-256 of a text in base64url without padding, with nothing of ours."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def line(told: dict[str, Any]) -> Line:
    return Line(told["sequence"], told["id"], base64.urlsafe_b64decode(told["digest"] + "="))


def said(side: dict[str, str]) -> Any:
    event = Event.model_validate(strict_json.parse(side["text"].encode()))
    return validate(event.type, event.data)


@pytest.fixture(scope="module")
def court() -> Tribunal:
    anchors = DOCUMENT["anchors_pem"].items()
    return Tribunal([PinnedAnchor(country, x509.load_pem_x509_certificate(pem.encode())) for country, pem in anchors])


@pytest.mark.parametrize("block", DOCUMENT["blocks"], ids=lambda block: block["name"])
def test_a_block_s_digest_is_that_of_its_lines(block: dict[str, Any]) -> None:
    assert block["text"] == "".join(f"{each['sequence']} {each['id']} {each['digest']}\n" for each in block["lines"])
    assert sha256(block["text"]) == block["digest"] == digest_text(block_digest(map(line, block["lines"])))
    absent = [number for first, last in block["absent"] for number in range(first, last + 1)]
    assert sorted([*absent, *(each["sequence"] for each in block["lines"])]) == list(range(block["first"], block["last"] + 1))
    assert block["first"] == block_of(block["last"])


@pytest.mark.parametrize("exchange", DOCUMENT["exchanges"], ids=lambda exchange: exchange["name"])
def test_a_manifest_gets_the_answer_that_it_gets_in_the_vectors(exchange: dict[str, Any], court: Tribunal) -> None:
    stated: Manifest = said(exchange["manifest"])
    answer: ManifestAnswer = said(exchange["answer"])
    assert (answer.number, answer.manifest) == (stated.number, sha256(exchange["manifest"]["text"]))
    archived = {each["first"]: (each["last"], each["digest"]) for each in exchange["archived"]}
    overtaken = stated.number <= answer.last_number
    held = list(map(line, exchange["held"]))
    differences = () if overtaken else tell(each for stream in stated.streams for each in compare(stream, held, archived)).differences
    assert answer.differences == differences
    assert answer.agreed == (not differences and not overtaken)
    for side, urn in (("manifest", vectors.POST.urn), ("answer", vectors.THEIR_HOUSE.urn)):
        assert sha256(exchange[side]["text"]) == exchange[side]["digest"]
        assert court.judge(exchange[side]["jws"], digest_of(exchange[side]["text"].encode())).urn == urn


def test_every_kind_of_answer_is_among_them() -> None:
    answers = {name: said(exchange["answer"]) for name, exchange in EXCHANGES.items()}
    kinds = ("missing", "held", "archived")
    differing = {
        name: [kind for each in answer.differences for kind in kinds if getattr(each, kind)]
        for name, answer in answers.items()
        if not answer.agreed
    }
    assert differing == {"lacking": ["missing"], "another-in-place": ["held"], "pruned-another": ["archived"], "overtaken": []}


@pytest.mark.parametrize("chain", DOCUMENT["chains"], ids=lambda chain: chain["name"])
def test_a_chain_holds_or_breaks_where_it_says(chain: dict[str, Any], court: Tribunal) -> None:
    closings = [closing(EXCHANGES[name]) for name in chain["closings"]]
    verdict = examine(Ledger(vectors.POST, vectors.POST, vectors.THEIR_HOUSE, closings), court)
    assert verdict.whole == chain["expected"]["holds"]
    broken = [fault.number for fault in verdict.faults] + [last + 1 for _, last in verdict.gaps]
    assert min(broken, default=None) == chain["expected"]["breaks_at"]


@pytest.mark.parametrize("side", ["manifest", "answer"])
def test_a_chain_of_the_vectors_breaks_where_one_of_its_texts_is_altered(side: str, court: Tribunal) -> None:
    first = EXCHANGES["first"]
    altered = first | {side: first[side] | {"text": first[side]["text"].replace('"number":1', '"number":2')}}
    verdict = examine(Ledger(vectors.POST, vectors.POST, vectors.THEIR_HOUSE, [closing(altered)]), court)
    assert any(f"the {side}'s signature does not hold" in fault.what for fault in verdict.faults)


def closing(exchange: dict[str, Any]) -> Closing:
    """As a side keeps it that took it for agreed."""
    sides = [
        Side(each["text"].encode(), digest_of(each["text"].encode()), each["jws"]) for each in (exchange["manifest"], exchange["answer"])
    ]
    stated: Manifest = said(exchange["manifest"])
    return Closing(stated.number, True, datetime.fromisoformat("2026-11-24T12:00:00Z"), 1, 0, *sides)


def test_the_file_still_has_what_its_script_writes() -> None:
    fresh = json.loads(json.dumps(closing_vectors.documents()))
    for document in (fresh, kept := json.loads(json.dumps(DOCUMENT))):
        del document["anchors_pem"]
        for exchange in document["exchanges"]:
            for side in ("manifest", "answer"):
                del exchange[side]["jws"]
    assert kept == fresh
