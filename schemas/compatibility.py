"""What change of a published JSON Schema needs a new major version, as a pure function.

The rule: whatever was valid stays valid, and means the same. Then an older sender is understood by a newer receiver. (A newer sender
is understood by an older receiver as long as its release names no field that the receiver does not know yet: the receiver upgrades
first.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_WORDS_FOR_PEOPLE = frozenset({"title", "description", "examples", "$comment", "$schema", "$id", "$defs"})
_UNDERSTOOD = frozenset(
    {*_LOWER_BOUNDS, *_UPPER_BOUNDS, "type", "enum", "const", "properties", "required", "additionalProperties", "items", "prefixItems"}
    | {"anyOf", "$ref"}
)


def breaking_changes(published: Schema, proposed: Schema) -> list[str]:
    """Say what of `proposed` would refuse, or read in another way, a document that `published` takes; empty where nothing would.

    Both are JSON Schemas (draft 2020-12) as pydantic writes them; of what is not understood, every change counts as breaking.
    """
    return list(_Comparison(published, proposed).differences(published, proposed, "$"))


class _Comparison:
    def __init__(self, published: Schema, proposed: Schema) -> None:
        self._old_definitions: Schema = published.get("$defs", {})
        self._new_definitions: Schema = proposed.get("$defs", {})

    def differences(self, old: Schema, new: Schema, place: str) -> Iterator[str]:
        old, new = _resolved(old, self._old_definitions), _resolved(new, self._new_definitions)
        if "anyOf" in old or "anyOf" in new:
            yield from self._alternatives(old, new, place)
            return
        yield from _values(old, new, place)
        yield from _bounds(old, new, place)
        yield from self._fields(old, new, place)
        yield from self._elements(old, new, place)
        for keyword in sorted((old.keys() | new.keys()) - _UNDERSTOOD - _WORDS_FOR_PEOPLE):
            if keyword in new and old.get(keyword) != new[keyword]:
                yield f"{place}: {keyword} was {old.get(keyword)!r}, becomes {new[keyword]!r}"
            elif keyword == "default" and keyword not in new:
                yield f"{place}: what an absent value means changes"

    def _alternatives(self, old: Schema, new: Schema, place: str) -> Iterator[str]:
        choices = new.get("anyOf", [new])
        for alternative in old.get("anyOf", [old]):
            found = [list(self.differences(alternative, choice, place)) for choice in choices]
            if all(found):
                yield from min(found, key=len)
        if old.get("default") != new.get("default"):
            yield f"{place}: what an absent value means changes"

    def _fields(self, old: Schema, new: Schema, place: str) -> Iterator[str]:
        old_fields, new_fields = old.get("properties", {}), new.get("properties", {})
        closed = new.get("additionalProperties", True) is False
        if closed and old.get("additionalProperties", True) is not False:
            yield f"{place}: unknown fields are refused now"
        for name in old_fields:
            if name in new_fields:
                yield from self.differences(old_fields[name], new_fields[name], f"{place}.{name}")
            elif closed:
                yield f"{place}.{name}: the field is gone"
        for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
            yield f"{place}.{name}: the field is required now"

    def _elements(self, old: Schema, new: Schema, place: str) -> Iterator[str]:
        if "items" in new and isinstance(new["items"], dict):
            yield from self.differences(old.get("items") or {}, new["items"], f"{place}[]")
        if old.get("prefixItems") != new.get("prefixItems"):
            yield f"{place}: the places of the list change"


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    while "$ref" in schema:
        beside = {keyword: value for keyword, value in schema.items() if keyword != "$ref"}
        schema = definitions[schema["$ref"].removeprefix("#/$defs/")] | beside
    return schema


def _values(old: Schema, new: Schema, place: str) -> Iterator[str]:
    lost = _types(old) - _types(new) if _types(new) else set()
    if "number" in _types(new):
        lost.discard("integer")
    if lost or (_types(new) and not _types(old) and "enum" not in old and "const" not in old):
        yield f"{place}: type was {sorted(_types(old)) or 'any'}, becomes {sorted(_types(new))}"
    if "enum" not in new and "const" not in new:
        return
    allowed = new.get("enum", [new["const"]] if "const" in new else [])
    taken = old.get("enum", [old["const"]] if "const" in old else None)
    if taken is None:
        yield f"{place}: only {allowed} is taken now"
    elif gone := [value for value in taken if value not in allowed]:
        yield f"{place}: {gone} is not taken any more"


def _types(schema: Schema) -> set[str]:
    said = schema.get("type", ())
    return {said} if isinstance(said, str) else set(said)


def _bounds(old: Schema, new: Schema, place: str) -> Iterator[str]:
    for keyword in _LOWER_BOUNDS:
        if keyword in new and (keyword not in old or new[keyword] > old[keyword]):
            yield f"{place}: {keyword} was {old.get(keyword)}, becomes {new[keyword]}"
    for keyword in _UPPER_BOUNDS:
        if keyword in new and (keyword not in old or new[keyword] < old[keyword]):
            yield f"{place}: {keyword} was {old.get(keyword)}, becomes {new[keyword]}"
