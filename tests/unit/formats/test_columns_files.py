"""Mapping files: every fault is told with its key and with what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from producers.formats.columns_files import load_columns, read_columns
from producers.formats.fields import fields_of
from schemas.errors import SettingsError
from schemas.names import STREAM_TYPES
from tests.unit.formats.tables import ITEMS, ONE_A_ROW


def fault(text: str) -> tuple[str, str | None, str]:
    with pytest.raises(SettingsError) as raised:
        read_columns(text)
    problem = raised.value.problems[0]
    return problem.code, problem.field, problem.text


FAULTS = [
    (ONE_A_ROW.replace("type = ", "typ = "), "columns-key-unknown", "typ", "did you mean 'type'"),
    ("[columns]\n", "columns-value", "type", "is missing"),
    (ONE_A_ROW.replace("export-declaration", "invoice"), "columns-value", "type", ""),
    (ONE_A_ROW.replace('"office_code"', '"ofice_code"'), "columns-value", "columns.Office", "did you mean office_code"),
    (ONE_A_ROW.replace('"office_code"', '"items[.office"'), "columns-value", "columns.Office", "not the form of a field"),
    (ONE_A_ROW.replace('"registered_on"', '"office_code"'), "columns-value", "columns.Date", "another column fills this field"),
    (ONE_A_ROW.replace("digits = 6", "digit = 6"), "columns-key-unknown", "columns.HS.0.digit", "did you mean 'digits'"),
    (ONE_A_ROW.replace("digits = 6", "digits = 0"), "columns-value", "columns.HS.0.digits", ""),
    (ONE_A_ROW.replace("digits = 6", 'rule = "hs"'), "columns-value", "columns.HS.0.rule", "'beyond-hs'"),
    (ONE_A_ROW.replace("digits = 6", 'values = { a = " " }'), "columns-value", "columns.HS.values", "table.nothing"),
    (ONE_A_ROW.replace('"TJ"', '"Tajikistan"'), "columns-value", "constants.administration", "codes.countries"),
    (ONE_A_ROW.replace("administration =", "office_code ="), "columns-value", "constants.office_code", "a column fills this field already"),
    (
        ONE_A_ROW.replace("administration =", '"documents[].type_code" ='),
        "columns-value",
        "constants.documents[].type_code",
        "a constant fills",
    ),
    (ONE_A_ROW + '[table]\nthousands = "."\n', "columns-value", "table.thousands", "table.decimal"),
    (ONE_A_ROW + '[table]\nencoding = "koi8-r"\n', "columns-value", "table.encoding", "'cp1251'"),
    (ONE_A_ROW + '[table]\ntime_zone = "Dushanbe"\n', "columns-value", "table.time_zone", "Asia/Dushanbe"),
    (ONE_A_ROW + '[codes.colours]\nred = "1"\n', "columns-value", "codes.colours", "'countries'"),
    ('not_taken = ["OFFICE "]\n' + ONE_A_ROW, "columns-value", "not_taken", "named in columns already"),
    (ITEMS.replace('key = ["Office", "Number"]\n', ""), "columns-value", "rows.key", "is missing"),
    (ITEMS.replace('"items[].description"', '"items[2].description"'), "columns-value", "columns.Goods", "without a label"),
    (ONE_A_ROW.replace("[rows]\n", '[rows]\nblank_key = "follows"\n'), "columns-value", "rows.blank_key", 'one_is = "item"'),
    (ONE_A_ROW + 'I = { field = "documents[].reference", with = { kind = "380" } }\n', "columns-value", "columns.I.with", "no such field"),
    (
        ONE_A_ROW + 'I = { field = "local_reference", with = { type_code = "380" } }\n',
        "columns-value",
        "columns.I.with",
        "opens an element",
    ),
    ("type = \n", "columns-syntax", "the mapping file", "not TOML"),
]


@pytest.mark.parametrize(("text", "code", "key", "says"), FAULTS, ids=[f"{key}: {says}" for _, _, key, says in FAULTS])
def test_a_fault_is_told_with_its_key_and_what_is_allowed(text: str, code: str, key: str, says: str) -> None:
    found = fault(text)
    assert found[:2] == (code, key)
    assert says in found[2]


def test_a_file_that_cannot_be_read_is_told_by_its_name(tmp_path: Path) -> None:
    for name, raw, code in (
        ("none", None, "columns-unreadable"),
        ("text", "type = 'Й'".encode("cp1251"), "columns-syntax"),
        ("large", b"#" * 2**21, "columns-unreadable"),
    ):
        path = tmp_path / name
        if raw is not None:
            path.write_bytes(raw)
        with pytest.raises(SettingsError) as raised:
            load_columns(path)
        assert (raised.value.problems[0].code, raised.value.problems[0].field) == (code, str(path))


def test_a_proposal_is_not_taken_until_somebody_has_read_it(tmp_path: Path) -> None:
    path = tmp_path / "columns.toml"
    path.write_text("proposal = true\n" + ONE_A_ROW)
    with pytest.raises(SettingsError, match="columns-proposal"):
        load_columns(path)
    assert load_columns(path, proposals=True).columns
    path.write_text(ONE_A_ROW)
    assert not load_columns(path).proposal


def test_every_field_of_every_type_has_its_rule() -> None:
    for event_type in STREAM_TYPES:  # a field that a model gains fails here until it has one
        assert len(fields_of(event_type)) > 20


def test_the_mapping_is_described_as_it_stands_in_its_file() -> None:
    rows = {(row.source, row.field): row for row in read_columns('not_taken = ["Duty"]\nkept = ["Bay"]\n' + ONE_A_ROW).describe()}
    assert rows["Net kg", "items[].net_mass_kg"].unit == "kg"
    assert "6 characters" in rows["HS", "items[].hs_code"].rule
    assert rows["(constant)", "administration"].rule == "always TJ"
    assert rows["Duty", ""].rule == "not taken"
    assert rows["Bay", "extensions"].rule == "kept as it is"
