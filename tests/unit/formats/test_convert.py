"""`panj convert` as people type it: folders of rubbish with good files in them, and the partner's export as a pre-filled import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from lxml import etree
from typer.testing import CliRunner, Result

from deploy.lab.administrations import AFGHAN, TAJIK, Administration, Timing
from producers.convert_commands import convert
from tests.unit.formats.sads import BLANK_ITEM, sad
from tests.unit.formats.wco_files import CANCELLATION, declaration, metadata

EXPORT = "customs.export-declaration.v1"
OFFICE = "Identification/Office_segment/Customs_clearance_office_code"

app = typer.Typer()
app.command()(convert)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no exchange.toml lies here


@pytest.fixture
def afghan(tmp_path: Path) -> Path:
    """The Afghan administration's settings."""
    ours, theirs = Administration(AFGHAN, tmp_path / "af"), Administration(TAJIK, tmp_path / "tj")
    ours.befriend(theirs)
    ours.write_settings(
        amqps_port=1, management_url="http://127.0.0.1:1", database=f"sqlite:///{tmp_path}/h", partner="tj", partner_port=1, timing=Timing()
    )
    return ours.config


def typed(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def at(config: Path) -> tuple[str | Path, ...]:
    return ("--config", config, "--post", "sher-khan-bandar")


def told(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def canonical(path: Path, **changes: Any) -> Path:
    """An export of the Tajik side, as it comes over the frontier."""
    export = {
        "administration": "tj",
        "office_code": "PNJ01",
        "registration_year": 2026,
        "registration_number": "417",
        "exporter_name": "Vakhsh Agro",
        "declarant_id": "77",
        "border_transport_mode": "3",
        "items": [{"number": 1, "hs_code": "080810", "description": "Apples", "statistical_value": "7"}],
        **changes,
    }
    path.write_text(json.dumps({"type": EXPORT, "declaration": export}))
    return path


def test_a_folder_of_rubbish_never_stops_the_good_file_in_the_middle(tmp_path: Path) -> None:
    made: dict[str, bytes] = {
        "a-empty.xml": b"",
        "b-noise.xml": bytes(range(256)) * 40,
        "c-blank.xml": sad(BLANK_ITEM).encode(),
        "d-broken.xml": sad().replace("</Traders>", "</Trader>").encode(),
        "e-entities.xml": sad().replace("<ASYCUDA>", '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><ASYCUDA>').encode(),
        "f-good.xml": sad().encode(),
        "g-ambiguous.xml": sad(Identification__Registration__Date="4/1/15").encode(),
        "h-html.xml": b"<html><body>Service unavailable</body></html>",
        "i-wrong.xml": sad(Valuation__Total__Total_weight="heavy").encode(),
        "j-half.xml": sad().encode()[:900],
        "k-nothing.xml": b"<ASYCUDA/>",
        "l-deep.xml": b"<ASYCUDA>" + b"<a>" * 5_000,
        "m-binary.xml": b"<ASYCUDA>\x00\x01\x02</ASYCUDA>",
    }
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    result = typed(*sorted(tmp_path.glob("*.xml")), "--json")
    assert result.exit_code == 1
    found = {Path(one["file"]).name: one for one in told(result)}
    assert list(found) == list(made)
    assert {name: one["code"] for name, one in found.items()} == {
        "a-empty.xml": "file-empty",
        "b-noise.xml": "format-unknown",
        "c-blank.xml": "form-blank",
        "d-broken.xml": "xml-malformed",
        "e-entities.xml": "xml-doctype",
        "f-good.xml": None,
        "g-ambiguous.xml": "date-ambiguous",
        "h-html.xml": "format-unknown",
        "i-wrong.xml": "field-invalid",
        "j-half.xml": "xml-malformed",
        "k-nothing.xml": "form-blank",
        "l-deep.xml": "xml-deep",
        "m-binary.xml": "xml-malformed",
    }
    assert (found["f-good.xml"]["outcome"], found["f-good.xml"]["drafts"]) == ("taken", 1)  # nobody told whose it is
    wrong = found["i-wrong.xml"]
    assert (wrong["path"], wrong["value"]) == ("Valuation/Total/Total_weight", "heavy")
    assert "heavy" in made["i-wrong.xml"].decode().splitlines()[wrong["line"] - 1]


def test_the_partners_export_is_written_as_a_prefilled_import(tmp_path: Path, afghan: Path) -> None:
    source = canonical(tmp_path / "from-tj.json")
    result = typed(source, "--to", "asycuda", *at(afghan), "--office", "SHE01", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    root = etree.fromstring((tmp_path / "out" / "from-tj.xml").read_bytes())
    assert (root.findtext("Property/Sad_flow"), root.findtext(OFFICE)) == ("I", "SHE01")
    assert root.findtext("Item/Previous_doc/Previous_document_reference") == "TJ/PNJ01/2026/417"
    assert root.findtext("Identification/Registration/Number") == ""
    assert not (root.findtext("Declarant/Declarant_code") or "").strip()
    (again,) = told(typed(tmp_path / "out" / "from-tj.xml", "--json", *at(afghan)))
    assert (again["outcome"], again["drafts"]) == ("taken", 1)


def test_our_own_export_is_written_as_it_is(tmp_path: Path, afghan: Path) -> None:
    result = typed(canonical(tmp_path / "own.json", administration="af"), "--to", "asycuda", *at(afghan), "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    root = etree.fromstring((tmp_path / "out" / "own.xml").read_bytes())
    assert (root.findtext("Property/Sad_flow"), root.findtext(OFFICE)) == ("E", "PNJ01")


def test_without_settings_an_export_becomes_an_import_where_it_is_asked_for(tmp_path: Path) -> None:
    source = canonical(tmp_path / "x.json")
    result = typed(source, "--to", "asycuda", "--as-import", "--office", "SHE01")
    assert etree.fromstring(result.stdout_bytes).findtext(OFFICE) == "SHE01"
    assert etree.fromstring(typed(source, "--to", "asycuda").stdout_bytes).findtext(OFFICE) == "PNJ01"
    assert "taken" in result.stderr


def test_an_import_without_an_office_is_refused_with_what_to_name(tmp_path: Path) -> None:
    (one,) = told(typed(canonical(tmp_path / "x.json"), "--to", "asycuda", "--as-import", "--json"))
    assert (one["outcome"], one["code"], one["path"]) == ("refused", "field-missing", "declaration.office_code")
    assert "--office" in one["message"]


def test_a_draft_and_a_cancellation_become_no_import(tmp_path: Path) -> None:
    draft = canonical(tmp_path / "draft.json", registration_number=None)
    cancelled = canonical(
        tmp_path / "cancelled.json", items=[], version=2, corrects=1, message_function="cancellation", correction_reason="not sold"
    )
    results = told(typed(draft, cancelled, "--to", "asycuda", "--as-import", "--office", "SHE01", "--json"))
    assert [one["code"] for one in results] == ["declaration-draft", "format-cannot-say"]


def test_sads_are_written_in_the_systems_own_order_of_dates_and_codes(tmp_path: Path, afghan: Path) -> None:
    text = afghan.read_text()
    reading = 'date_order = "dmy"\ncodes.transport-modes = { "31" = "3" }'
    afghan.write_text(f"{text}\n[posts.sher-khan-bandar.reading]\n{reading}\n")
    source = canonical(tmp_path / "own.json", administration="af", registered_on="2026-02-01")
    root = etree.fromstring(typed(source, "--to", "asycuda", *at(afghan)).stdout_bytes)
    assert root.findtext("Identification/Registration/Date") == "01/02/2026"
    assert root.findtext("Transport/Means_of_transport/Border_information/Mode") == "31"


def reading(tmp_path: Path, config: Path, **told: str) -> tuple[str | Path, ...]:
    """The Afghan post with these settings of its files."""
    text = "\n".join(f'{name} = "{value}"' for name, value in told.items())
    config.write_text(config.read_text() + f"\n[posts.sher-khan-bandar.reading]\n{text}\n")
    return at(config)


def test_a_version_that_intake_gives_is_shown_as_that_and_never_as_a_number(tmp_path: Path, afghan: Path) -> None:
    source = tmp_path / "again.xml"
    source.write_text(sad())
    settings = reading(tmp_path, afghan, date_order="mdy", versions="next", correction_reason="registered anew")
    (one,) = told(typed(source, "--json", *settings))
    assert (one["outcome"], one["drafts"], one["versions_given_at_intake"]) == ("taken", 0, 1)
    assert one["documents"][0]["declaration"]["version"] == "next"
    shown = typed(source, *settings)
    assert "version given at intake" in " ".join(shown.stdout.split())


def test_a_version_that_intake_gives_comes_back_the_same_from_canonical_json(tmp_path: Path, afghan: Path) -> None:
    source = tmp_path / "cancelled.xml"
    source.write_text(metadata(declaration(CANCELLATION)))
    settings = reading(tmp_path, afghan, office="SHE01")
    (first,) = told(typed(source, "--json", *settings))
    assert typed(source, "--out", tmp_path / "out", *settings).exit_code == 0
    (again,) = told(typed(tmp_path / "out" / "cancelled.json", "--json", *settings))
    assert again["documents"] == first["documents"]
    assert first["documents"][0]["declaration"]["version"] == "next"
    assert (again["drafts"], again["versions_given_at_intake"]) == (0, 1)


def test_a_foreign_export_without_a_version_becomes_an_import_as_any_other(tmp_path: Path) -> None:
    source = canonical(tmp_path / "x.json", version="next")
    result = typed(source, "--to", "asycuda", "--as-import", "--office", "SHE01")
    assert etree.fromstring(result.stdout_bytes).findtext(OFFICE) == "SHE01"


def test_what_its_source_says_of_versions_can_be_tried_without_settings(tmp_path: Path) -> None:
    source = tmp_path / "again.xml"
    source.write_text(sad())
    (one,) = told(typed(source, "--json", "--administration", "tj", "--versions", "next", "--correction-reason", "weighed again"))
    assert (one["versions_given_at_intake"], one["documents"][0]["declaration"]["version"]) == (1, "next")
    assert typed(source, "--versions", "any").exit_code != 0
