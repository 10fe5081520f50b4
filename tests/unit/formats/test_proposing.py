"""Proposed mapping files: what is known by its name is given its field, the rest is left to a person; and the commands that print them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from producers.format_commands import commands
from producers.formats.columns_files import read_columns
from producers.formats.fields import fields_of
from producers.formats.proposing import _SPELLINGS, TYPE, propose
from schemas.errors import SettingsError, UsageError
from tests.unit.formats.tables import HEADER, ONE_A_ROW, row, written

RUNNER = CliRunner()


def test_names_that_are_known_are_given_their_fields_and_the_others_are_comments() -> None:
    text = propose(
        ["Office ID", "Рег. номер", "registered_on", "HS6 Code", "Net Mass", "Gross mass, kg", "Country of Origin", "Fraud", "Fraud", ""]
    )
    columns = read_columns(text)
    assert columns.proposal
    assert {name: uses[0].field for name, uses in columns.columns.items()} == {
        "Office ID": "office_code",
        "Рег. номер": "registration_number",
        "registered_on": "registered_on",
        "HS6 Code": "items[].hs_code",
        "Net Mass": "items[].net_mass_kg",
        "Gross mass, kg": "items[].gross_mass_kg",
        "Country of Origin": "items[].origin_country",
    }
    assert columns.rows.key == ("Office ID", "registered_on", "Рег. номер")
    assert text.count('# "Fraud"') == 1


def test_every_spelling_is_of_a_field_that_there_is_and_of_one_only() -> None:
    spellings = [spelling.strip() for each in _SPELLINGS.values() for spelling in each.split("|")]
    assert len(spellings) == len(set(spellings))
    assert set(_SPELLINGS) <= set(fields_of(TYPE))


@given(st.lists(st.text(max_size=40), max_size=12))
def test_a_proposal_is_always_a_mapping_file_or_lacks_nothing_but_columns(names: list[str]) -> None:
    try:
        assert read_columns(propose([*names, "MRN"])).proposal
    except SettingsError as error:
        pytest.fail(str(error))


def test_the_commands_propose_and_describe(tmp_path: Path) -> None:
    table, mapping = tmp_path / "march.csv", tmp_path / "columns.toml"
    table.write_text(written([row("1")]))
    proposed = RUNNER.invoke(commands, ["columns", str(table)])
    assert proposed.exit_code == 0
    assert '"HS" = "items[].hs_code"' in proposed.output
    mapping.write_text(proposed.output)
    described = RUNNER.invoke(commands, ["describe", "csv", "--columns", str(mapping), "--json"])
    assert {each["source"] for each in json.loads(described.output)} <= set(HEADER)
    mapping.write_text(ONE_A_ROW)
    described = RUNNER.invoke(commands, ["describe", "csv", "--columns", str(mapping), "--json"])
    assert {"source": "Net kg", "field": "items[].net_mass_kg", "unit": "kg", "rule": "decimal, up to 6 places"} in json.loads(
        described.output
    )
    fields = json.loads(RUNNER.invoke(commands, ["describe", "csv", "--json"]).output)
    assert {"vehicle.plates[]", "guarantee.amount", "items[].hs_code"} <= {each["field"] for each in fields}


def test_what_has_no_header_or_no_mapping_file_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "x.xml").write_text("<a/>")
    for arguments in (
        ["columns", str(tmp_path / "x.xml")],
        ["columns", str(tmp_path / "none")],
        ["describe", "canonical-json", "--columns", "x"],
    ):
        assert isinstance(RUNNER.invoke(commands, arguments).exception, UsageError)
