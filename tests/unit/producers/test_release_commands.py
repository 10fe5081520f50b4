"""`panj release` as an operator types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from broker.settings.load import load_settings
from deploy.lab.administrations import AFGHAN, TAJIK, Administration, Timing
from producers.release import Extent, extent
from producers.release_commands import commands
from schemas.content import MODELS
from schemas.meanings import MEANINGS, fields_of
from schemas.names import STREAM_TYPES
from tests.unit.producers.examples import EXPORT

NARROW = ["administration", "office_code", "registration_year", "registration_number", "version", "message_function", "corrects",
          "correction_reason", "items.number", "items.hs_code"]  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The Tajik settings: exports to Afghanistan cut down, the rest as the laboratory has it."""
    tajik, afghan = Administration(TAJIK, tmp_path / "tj"), Administration(AFGHAN, tmp_path / "af")
    tajik.befriend(afghan)
    tajik.write_settings(
        amqps_port=1, management_url="http://127.0.0.1:1", database=f"sqlite:///{tmp_path}/h", partner="af", partner_port=1, timing=Timing()
    )
    return tajik.config


def typed(config: Path, *words: str) -> Result:
    return CliRunner().invoke(commands, [*words, "--config", str(config)])


def narrowed(config: Path, fields: list[str]) -> None:
    """Release only these fields of exports to the neighbour."""
    head, tail = config.read_text().split("[[partners.af.releases]]", 1)
    assert '"*"' in tail.split("[[", 1)[0]
    config.write_text(head + "[[partners.af.releases]]" + tail.replace('["*"]', json.dumps(fields), 1))


def test_every_field_has_a_meaning_and_no_meaning_is_left_over() -> None:
    for model, meanings in MEANINGS.items():
        inherited = set().union(*(MEANINGS[each] for each in model.__mro__[1:] if each in MEANINGS))
        assert set(meanings) | inherited == set(model.model_fields), model


def test_what_is_not_released_is_as_visible_as_what_is(config: Path) -> None:
    narrowed(config, NARROW)
    said = typed(config, "show", "af", "--type", EXPORT)
    assert said.exit_code == 0
    lines = {line.strip("│ ").split()[0]: line for line in said.stdout.splitlines() if "│" in line}
    assert "NOT RELEASED" in lines["exporter_name"]
    assert "the exporter's name" in lines["exporter_name"]
    assert "NOT RELEASED" not in lines["office_code"]
    assert "in part" in lines["items"]
    assert "NOT RELEASED" in lines["items.description"]


def test_each_field_of_the_model_is_told_once_with_what_becomes_of_it(config: Path) -> None:
    narrowed(config, NARROW)
    shown = json.loads(typed(config, "show", "af", "--json").stdout)
    assert {each["type"] for each in shown["types"]} == set(STREAM_TYPES)
    (export,) = [each for each in shown["types"] if each["type"] == EXPORT]
    told = {field["field"]: field["released"] for field in export["fields"]}
    assert len(told) == len(export["fields"]) == len(list(fields_of(MODELS[EXPORT])))
    assert {field for field, released in told.items() if released == "yes"} == set(NARROW)
    assert {field for field, released in told.items() if released == "partly"} == {"items"}
    assert export["purpose"]
    assert export["legal_basis"]


def test_a_type_that_nobody_is_released_says_so(config: Path) -> None:
    assert "NOT released" in typed(config, "show", "af", "--type", "customs.import-declaration.v1").stdout


def test_what_is_shown_is_what_the_intake_does(config: Path) -> None:
    narrowed(config, ["*"])
    (release, *_) = load_settings(config).releases_to("af")
    assert {extent(release, field.path) for field in fields_of(MODELS[EXPORT])} == {Extent.YES}


@pytest.mark.parametrize("words", [("show", "kz"), ("show", "af", "--type", "customs.receipt.v1")])
def test_a_wrong_word_is_told(config: Path, words: tuple[str, ...]) -> None:
    assert "one of" in str(typed(config, *words).exception) or "nothing goes there" in str(typed(config, *words).exception)


def test_check_finds_what_the_post_would(config: Path) -> None:
    assert typed(config, "check").exit_code == 0
    narrowed(config, ["exporter_nam", *NARROW[1:]])
    found = typed(config, "check", "--json")
    assert found.exit_code == 2
    assert [problem["code"] for problem in json.loads(found.stdout)["problems"]] == ["release-field-unknown", "release-field-missing"]
    assert "exporter_nam" in str(typed(config, "check").exception)
