"""The page about the data model names every field, and none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemas.crossing import CrossingEvent, PartQuantity, Vehicle
from schemas.declarations import Declaration, Document, Guarantee, Item, Part, TransitDeclaration

PAGE = (Path(__file__).parents[3] / "docs" / "data-model.md").read_text("utf-8")
SECTIONS = {
    "## Declarations": (Declaration, Document),
    "### Items": (Item,),
    "### Transit": (TransitDeclaration, Guarantee),
    "## Crossing": (CrossingEvent, Vehicle, PartQuantity),
}


def section(title: str) -> str:
    begun = PAGE[PAGE.index(title) :]
    return re.split(r"\n##", begun[3:])[0]


@pytest.mark.parametrize("title", SECTIONS)
def test_every_field_is_told_where_it_belongs(title: str) -> None:
    told = set(re.findall(r"`([a-z_]+)`", section(title)))
    inherited = set(Declaration.model_fields) if title == "### Transit" else set()
    assert {field for model in SECTIONS[title] for field in model.model_fields} - inherited <= told


@pytest.mark.parametrize("title", SECTIONS)
def test_no_field_is_told_that_is_not_there(title: str) -> None:
    first_cells = [line.split("|")[1] for line in section(title).splitlines() if line.startswith("| `")]
    known = {field for model in (*SECTIONS[title], Part) for field in model.model_fields}
    assert set(re.findall(r"`([a-z_]+)`", " ".join(first_cells))) <= known
