"""docs/formats.md, "Adding a format": its example is a whole format, and does what the page says."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import ModuleType

from producers.formats.reading import Conventions, Format, ReadDeclaration, Unread
from schemas.content import validate

PAGE = (Path(__file__).parents[3] / "docs/formats.md").read_text()
SOURCE, SAMPLE = (re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[-1] for language in ("python", "xml"))


def gate() -> Format:
    module = ModuleType("gate_format")
    exec(SOURCE, module.__dict__)  # noqa: S102  the page's own example, which is what is tried
    return module.FORMAT  # type: ignore[no-any-return]


def test_the_example_takes_its_file_and_keeps_what_no_row_takes() -> None:
    found = gate()
    assert found.recognises(SAMPLE.encode())
    (told,) = found.read(io.BytesIO(SAMPLE.encode()), Conventions("tj")).parts
    assert isinstance(told, ReadDeclaration)
    value = validate(told.type, told.data)
    assert (value.reference, value.vehicle_ids, str(value.items[0].gross_mass_kg)) == (
        "TJ/PNJ01/2026/417",
        ("1234AB01", "5678TJ"),
        "21500.5",
    )
    assert told.data["extensions"] == {"gate": {"Clerk": "N. Rahimov"}}
    assert [row.field for row in found.describe()][-1] == "items[].gross_mass_kg"


def test_the_example_tells_where_what_is_wrong_stands() -> None:
    (told,) = gate().read(io.BytesIO(SAMPLE.replace("21500.50", "heavy").encode()), Conventions("tj")).parts
    assert isinstance(told, Unread)
    (problem,) = told.problems
    assert (problem.place.path, problem.place.line, problem.problem.value) == ("Goods[1]/Gross", 3, "heavy")
