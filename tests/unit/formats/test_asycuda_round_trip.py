from __future__ import annotations

import io
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from producers.formats.asycuda import FORMAT
from producers.formats.reading import Conventions, ReadDeclaration
from schemas.content import validate
from schemas.errors import ContentError
from tests.unit.formats.declarations import declarations

SAMPLES = Path(__file__).parents[4] / "shared" / "samples" / "asycuda"
OURS = Conventions("tj", date_order="mdy")  # as they are written


def again(event_type: str, data: dict[str, Any], conventions: Conventions = OURS) -> ReadDeclaration:
    """What a declaration is after it was written as a SAD and read again."""
    (part,) = FORMAT.read(io.BytesIO(FORMAT.write(event_type, data, conventions)), conventions).parts
    assert isinstance(part, ReadDeclaration), part
    return part


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@given(declarations())
def test_what_a_sad_can_say_comes_back_from_it(said: tuple[str, dict[str, Any]]) -> None:
    event_type, data = said
    told = again(event_type, data)
    assert told.type == event_type
    assert validate(event_type, told.data) == validate(event_type, data)
    assert {warning.code for warning in told.warnings} <= {"values-kept"}


@pytest.mark.parametrize("name", ["export-declaration", "import-declaration", "transit-declaration", "export-electricity"])
def test_our_own_examples_come_back_but_for_what_a_sad_has_no_element_for(name: str) -> None:
    read = json.loads(files("schemas.examples").joinpath(f"{name}.json").read_text("utf-8"))
    said = read["declaration"]
    for field in ("accepted_at", "extensions", "departure_office", "transit_offices"):
        said.pop(field, None)
    for of_all in {"documents", "previous_documents"} & said.keys():  # a SAD has them with its first item
        said["items"][0].setdefault(of_all, []).extend(said.pop(of_all))
    for item in said["items"]:
        for document in item.get("documents", ()):
            document.pop("issuer", None)
        for document in item.get("previous_documents", ()):
            document.pop("issued_on", None)
    said.get("guarantee", {}).pop("currency", None)
    told = again(read["type"], said, Conventions(said["administration"], date_order="mdy")).data
    told.pop("extensions", None)
    assert validate(read["type"], told) == validate(read["type"], {"item_count": len(said["items"]), **said})


def test_national_digits_without_a_commodity_code_stay_what_they_are() -> None:
    said = {"administration": "tj", "items": [{"number": 1, "national_code": "00", "description": "Apples"}], "item_count": 1}
    assert again("customs.export-declaration.v1", said).data == said


def test_a_crossing_event_is_no_sad() -> None:
    with pytest.raises(ContentError) as raised:
        FORMAT.write("customs.crossing-event.v1", {}, OURS)
    assert raised.value.problems[0].code == "format-cannot-say"


def _real() -> list[Path]:
    return sorted(SAMPLES.glob("*.xml"))


@pytest.mark.skipif(not _real(), reason="real files lie outside the project, in ../shared/samples/asycuda, and are not there")
def test_real_files_come_back_with_everything_that_was_kept_beside_them() -> None:
    taken = []
    for path in _real():
        with path.open("rb") as stream:
            (part,) = FORMAT.read(stream, Conventions("tj")).parts
        if isinstance(part, ReadDeclaration):
            told = again(part.type, part.data)
            assert told.data == {"item_count": len(part.data["items"]), **part.data}, path.name
            taken.append(path.name)
    assert len(taken) == 13
