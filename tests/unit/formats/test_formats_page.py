"""docs/formats.md: its example is whole, and does what the page says."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel

from producers.formats.columns import Columns, Rows
from producers.formats.columns_files import read_columns
from producers.formats.uses import Cells, Use
from schemas.content import validate
from tests.unit.formats.tables import parts_of, read_of

PAGE = (Path(__file__).parents[3] / "docs/formats.md").read_text()
EXAMPLE = dict(re.findall(r"```(csv|toml)\n(.*?)```", PAGE, re.DOTALL))


def test_the_example_of_the_page_is_taken_whole() -> None:
    cement, power = (read_of(part) for part in parts_of(EXAMPLE["csv"], EXAMPLE["toml"]))
    for read in (cement, power):
        validate(read.type, read.data)
    assert [warning.code for read in (cement, power) for warning in read.warnings] == ["values-kept"]
    assert [item["national_code"] for item in cement.data["items"]] == ["0000", "0000"]
    assert [item["gross_mass_kg"] for item in cement.data["items"]] == ["31000.5", "900"]
    assert cement.data["vehicle_ids"] == ["0417AB01", "0418AB01"]
    assert cement.data["extensions"] == {"csv": {"items[1]/Бокс": "3", "items[2]/Бокс": "4"}}
    assert power.data["border_transport_mode"] == "7"
    assert "documents" not in power.data


def test_every_key_of_a_mapping_file_stands_in_the_page() -> None:
    def keys(model: type[BaseModel], before: str = "") -> set[str]:
        return {before + (field.alias or name) for name, field in model.model_fields.items()}

    told = set(re.findall(r"`([a-z_.]+)`", PAGE[PAGE.index("### The mapping file, key by key") :]))
    wanted = keys(Columns) - {"table", "rows", "proposal"} | keys(Cells, "table.") | keys(Rows, "rows.") | keys(Use)
    assert wanted <= told
    assert read_columns(EXAMPLE["toml"]).describe()
