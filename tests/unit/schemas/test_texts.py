"""No text that comes over the wire can hold what speaks to a terminal or pretends to be another line: the models are walked for it."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from schemas.content import MODELS
from schemas.event import Event
from tests.attacks.texts import TextField, text_fields

WHAT: dict[str, type[BaseModel]] = {"event": Event, **MODELS}
FIELDS = [(name, field) for name, model in WHAT.items() for field in text_fields(model)]


def test_the_walk_finds_texts_in_every_model_at_every_depth() -> None:
    found = {f"{name} {field.path}" for name, field in FIELDS}
    assert {name for name, _ in FIELDS} >= {"event", *MODELS} - {"customs.beacon.v1"}
    assert "customs.export-declaration.v1 items.*.documents.*.issuer" in found
    assert "customs.receipt.v1 answers.*.problems.*.text" in found
    assert len(found) > 150


@pytest.mark.parametrize(("name", "field"), FIELDS, ids=lambda each: getattr(each, "path", str(each)))
def test_each_text_is_bounded_and_harmless(name: str, field: TextField) -> None:
    assert field.harmless, f"{name} {field} takes control characters"
    assert field.most or field.pattern, f"{name} {field} has no end"
