"""The rule: what needs a new major version."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from schemas.compatibility import breaking_changes
from schemas.generate import json_schemas

Schema = dict[str, Any]
EXPORT: Schema = json.loads(json_schemas()["customs.export-declaration.v1"])
CROSSING: Schema = json.loads(json_schemas()["customs.crossing-event.v1"])


def changed(schema: Schema, change: Callable[[Schema], object]) -> list[str]:
    proposed = copy.deepcopy(schema)
    change(proposed)
    assert proposed != schema, "the change of this test changes nothing"
    return breaking_changes(schema, proposed)


def item(schema: Schema) -> Schema:
    fields: Schema = schema["$defs"]["Item"]["properties"]
    return fields


@pytest.mark.parametrize("name", sorted(json_schemas()))
def test_no_change_breaks_nothing(name: str) -> None:
    schema = json.loads(json_schemas()[name])
    assert breaking_changes(schema, schema) == []


BREAKING: dict[str, Callable[[Schema], object]] = {
    "a field is removed": lambda s: s["properties"].pop("exporter_id"),
    "a field of an item is removed": lambda s: item(s).pop("procedure_code"),
    "a field becomes required": lambda s: s["required"].append("exporter_name"),
    "a new field is required": lambda s: (s["properties"].update(added={"type": "string"}), s["required"].append("added")),
    "a pattern changes": lambda s: item(s)["hs_code"]["anyOf"][0].update(pattern="^[0-9]{6,10}$"),
    "a pattern is added": lambda s: s["properties"]["extensions"].update(pattern="^x$"),
    "a text may be less long": lambda s: s["properties"]["exporter_name"]["anyOf"][0].update(maxLength=299),
    "a text must be longer": lambda s: s["properties"]["exporter_name"]["anyOf"][0].update(minLength=1),
    "fewer items are taken": lambda s: s["properties"]["items"].update(maxItems=998),
    "more items are needed": lambda s: s["properties"]["items"].update(minItems=1),
    "a number may be less large": lambda s: s["properties"]["registration_year"].update(maximum=2100),
    "null is refused": lambda s: s["properties"]["exporter_id"]["anyOf"].pop(),
    "a type changes": lambda s: s["properties"]["registration_year"].update(type="string"),
    "one of two types goes": lambda s: s["properties"]["invoice_amount"]["anyOf"][0].update(type="string"),
    "a value of a list of values goes": lambda s: s["$defs"]["MessageFunction"]["enum"].remove("cancellation"),
    "only some values are taken": lambda s: s["properties"]["administration"].update(enum=["tj", "af"]),
    "only one value is taken": lambda s: s["properties"]["administration"].update(const="tj"),
    "an absent value means something else": lambda s: s["properties"]["version"].update(default=2),
    "an absent value means nothing any more": lambda s: s["properties"]["version"].pop("default"),
    "elements must be unique": lambda s: s["properties"]["items"].update(uniqueItems=True),
    "a format is added": lambda s: s["properties"]["registration_number"].update(format="uuid"),
    "a combination is forbidden": lambda s: s.update({"not": {"required": ["exporter_id", "exporter_name"]}}),
}


@pytest.mark.parametrize("change", BREAKING.values(), ids=BREAKING)
def test_a_new_major_version_is_needed_where(change: Callable[[Schema], object]) -> None:
    assert changed(EXPORT, change)


HARMLESS: dict[str, Callable[[Schema], object]] = {
    "an optional field is added": lambda s: s["properties"].update(
        added={"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
    ),
    "an optional field is added to items": lambda s: item(s).update(added={"type": "integer", "default": 0}),
    "a field need not be there any more": lambda s: s["required"].remove("office_code"),
    "a text may be longer": lambda s: s["properties"]["exporter_name"]["anyOf"][0].update(maxLength=301),
    "a limit goes": lambda s: s["properties"]["exporter_name"]["anyOf"][0].pop("maxLength"),
    "a pattern goes": lambda s: item(s)["hs_code"]["anyOf"][0].pop("pattern"),
    "a number may be larger": lambda s: s["properties"]["registration_year"].update(maximum=2999),
    "a type is added": lambda s: s["properties"]["registration_year"].update(type=["integer", "string"]),
    "integers become numbers": lambda s: s["properties"]["registration_year"].update(type="number"),
    "null is taken too": lambda s: s["properties"].update(administration={"anyOf": [s["properties"]["administration"], {"type": "null"}]}),
    "a value is added to a list of values": lambda s: s["$defs"]["MessageFunction"]["enum"].append("inventory"),
    "unknown fields are let pass": lambda s: s.pop("additionalProperties"),
    "words for people change": lambda s: (s.update(title="Export"), item(s)["hs_code"].update(description="HS")),
    "a definition gets another name": lambda s: s.update(
        json.loads(json.dumps(s).replace("/Item", "/Line").replace('"Item": {', '"Line": {'))
    ),
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_the_version_may_stay_where(change: Callable[[Schema], object]) -> None:
    assert changed(EXPORT, change) == []


def test_the_place_and_the_change_are_told() -> None:
    told = changed(CROSSING, lambda schema: schema["$defs"]["Vehicle"]["properties"]["plates"].update(maxItems=2))
    assert "$.vehicle.plates: maxItems was 9, becomes 2" in told


def test_a_field_is_followed_into_both_places_where_its_definition_is_used() -> None:
    told = changed(CROSSING, lambda schema: schema["$defs"]["Vehicle"]["properties"].pop("seal_numbers"))
    assert len(told) == 2
    assert any("onto_vehicle" in each for each in told)
