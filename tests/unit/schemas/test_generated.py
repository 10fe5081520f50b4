"""What is generated is current, and what was published stays valid."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from schemas.compatibility import breaking_changes
from schemas.content import MODELS
from schemas.generate import generated, json_schemas, main, outdated, write

PUBLISHED = Path(__file__).with_name("published")  # version 1 as it was first published: never edited


def test_what_is_generated_has_not_drifted() -> None:
    assert not outdated(), 'run "python -m schemas.generate" and look at what changes for partners'


def test_every_type_and_the_outer_event_have_a_json_schema() -> None:
    assert set(json_schemas()) == {*map(str, MODELS), "customs.sealed-data.v1", "evidence.v1", "event"}


def test_drift_missing_files_and_leftovers_are_found_and_mended(tmp_path: Path) -> None:
    assert set(write(tmp_path)) == set(generated())
    (tmp_path / "docs/errors.md").write_text("edited by hand")
    (tmp_path / "schemas/jsonschema/event.json").unlink()
    (tmp_path / "schemas/jsonschema/customs.gone.v1.json").write_text("{}")
    found = {"docs/errors.md", "schemas/jsonschema/event.json", "schemas/jsonschema/customs.gone.v1.json"}
    assert {str(path) for path in outdated(tmp_path)} == found
    assert {str(path) for path in write(tmp_path)} == found
    assert outdated(tmp_path) == []


def test_checking_ends_with_1_where_something_drifted_and_other_arguments_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["--check"]) == 0
    assert main(["--chek"]) == 2
    monkeypatch.setattr(sys.modules["schemas.generate"], "outdated", lambda: [Path("docs/errors.md")])
    assert main(["--check"]) == 1


@pytest.mark.parametrize("path", sorted(PUBLISHED.glob("*.json")), ids=lambda path: path.stem)
def test_no_published_type_changes_in_a_way_that_needs_a_new_major_version(path: Path) -> None:
    now = json_schemas()
    assert path.stem in now, "a published type is never removed"
    assert breaking_changes(json.loads(path.read_text("utf-8")), json.loads(now[path.stem])) == []


def test_the_first_version_of_every_type_is_kept() -> None:
    first_versions = {name for name in json_schemas() if name.endswith(".v1") or name == "event"}
    assert {path.stem for path in PUBLISHED.glob("*.json")} == first_versions
