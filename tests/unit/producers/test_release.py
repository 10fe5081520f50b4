"""What may leave: only released values, and never too little for the receiver."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.settings.model import Release
from producers.release import check_releases, problems_of, released
from schemas.content import validate
from schemas.errors import SettingsError
from tests.unit.producers.examples import CROSSING, EXPORT, crossing, export, release, settings_of

IDENTITY = ("administration", "office_code", "registration_year", "registration_number")
VERSIONS = ("version", "message_function", "corrects", "correction_reason")
NEEDED = (*IDENTITY, *VERSIONS, "items.number", "items.hs_code")

NAMES = st.sampled_from(["a", "b", "c", "items", "hs_code"])


def trees() -> st.SearchStrategy[dict[str, Any]]:
    """Nested objects and lists whose leaves are numbered afterwards."""
    leaf = st.none()
    value = st.recursive(
        leaf, lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(NAMES, below, max_size=3)), max_leaves=20
    )
    return st.dictionaries(NAMES, value, max_size=4)


def paths() -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.lists(NAMES, min_size=1, max_size=3).map(".".join), min_size=1, max_size=4).map(tuple)


def numbered(value: Any, path: tuple[str, ...], seen: dict[str, tuple[str, ...]]) -> Any:
    """Give every leaf a value of its own, and note under which field path it stands."""
    if isinstance(value, dict):
        return {name: numbered(below, (*path, name), seen) for name, below in value.items()}
    if isinstance(value, list):
        return [numbered(below, path, seen) for below in value]
    token = f"value-{len(seen)}-"
    seen[token] = path
    return token


@given(trees(), paths())
def test_no_unreleased_value_ever_appears_in_what_leaves(tree: dict[str, Any], fields: tuple[str, ...]) -> None:
    seen: dict[str, tuple[str, ...]] = {}
    data = numbered(tree, (), seen)
    left = json.dumps(released(data, Release.model_validate(release(EXPORT, *fields))))
    allowed = [tuple(field.split(".")) for field in fields]
    for token, path in seen.items():
        if not any(path[: len(field)] == field for field in allowed):
            assert token not in left


@given(st.sets(st.sampled_from(["exporter_name", "items.description", "items", "gross_mass_kg", "consignee_name", "items.gross_mass_kg"])))
def test_what_a_checked_release_lets_out_is_still_a_declaration(more: set[str]) -> None:
    cut = Release.model_validate(release(EXPORT, *NEEDED, *sorted(more)))
    assert problems_of(cut, "here") == []
    full = export(version=2, message_function="amendment", corrects=1, correction_reason="mass corrected")
    seen = validate(EXPORT, released(full, cut))
    assert (seen.reference, seen.version) == ("TJ/TJ105000/2026/1001", 2)
    assert (seen.exporter_name is not None) == ("exporter_name" in more)


def test_everything_is_released_by_a_star() -> None:
    assert released(export(), Release.model_validate(release(EXPORT, "*"))) == export()


def test_the_wider_of_two_fields_counts_whatever_their_order() -> None:
    for fields in (("items", "items.hs_code"), ("items.hs_code", "items")):
        assert released(export(), Release.model_validate(release(EXPORT, *fields)))["items"] == export()["items"]


def test_a_vehicle_stays_even_when_nothing_in_it_is_told() -> None:
    fields = ("vehicle.plates", "administration")
    left = released(crossing(vehicle={"seal_numbers": ["S-1"]}), Release.model_validate(release(CROSSING, *fields)))
    assert left == {"administration": "tj", "vehicle": {}}


def test_a_release_without_what_the_receiver_needs_names_all_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        check_releases(settings_of(tmp_path, release(EXPORT, *IDENTITY, *VERSIONS, "items.number")))
    assert caught.value.code == "release-field-missing"
    assert "items.hs_code" in str(caught.value)
    with pytest.raises(SettingsError) as caught:
        check_releases(settings_of(tmp_path, release(EXPORT, "exporter_name")))
    for name in NEEDED:
        assert name in str(caught.value)


def test_a_released_part_must_be_whole_enough_to_be_read(tmp_path: Path) -> None:
    transit = release("customs.transit-declaration.v1", *NEEDED, "guarantee.amount")
    with pytest.raises(SettingsError, match=r"guarantee\.type_code"):
        check_releases(settings_of(tmp_path, transit))


def test_a_mistyped_field_of_a_release_is_told_and_one_in_extensions_is_free(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        check_releases(settings_of(tmp_path, release(EXPORT, *NEEDED, "item.description", "items.hscode", "gross_mass_kg.unit")))
    assert [problem.value for problem in caught.value.problems] == ["item.description", "items.hscode", "gross_mass_kg.unit"]
    assert {problem.code for problem in caught.value.problems} == {"release-field-unknown"}
    check_releases(settings_of(tmp_path, release(EXPORT, *NEEDED, "extensions.asycuda.box44")))


def test_a_crossing_event_leaves_with_what_its_kind_needs(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        check_releases(settings_of(tmp_path, release(CROSSING, "administration")))
    for name in ("event_number", "onto_vehicle", "weighed_mass_kg", "reason", "vehicle", "declaration_number"):
        assert name in str(caught.value)
