"""What may leave: a declaration's data cut down to the fields that a release names, and the check that a release hangs together.

Pure. Which destinations there are, and what becomes of the result, stands in `intake`.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from broker.settings.model import Release, Settings
from schemas.content import MODELS
from schemas.crossing import CrossingEvent
from schemas.declarations import Declaration, Item
from schemas.errors import Problem, SettingsError
from schemas.meanings import part_of

EVERYTHING = "*"

# Fields with a default that a receiver cannot do without all the same: without them an amendment would read as an original, a
# weighing would have no weight, and the models' own rules would refuse it.
_NEEDED_BY_RULES = {
    Declaration: frozenset({"version", "message_function", "corrects", "correction_reason", "items"}),
    CrossingEvent: frozenset({"declaration_office_code", "onto_vehicle", "weighed_mass_kg", "reason"}),
    Item: frozenset({"hs_code"}),
}

Tree = MappingProxyType[str, Any]  # name -> Tree of what is released beneath it, or None: everything beneath it


class Extent(StrEnum):
    """How much of a field leaves: all of it, some of what is beneath it, nothing."""

    YES = "yes"
    PARTLY = "partly"
    NO = "no"


def extent(release: Release, path: str) -> Extent:
    """Say how much of the field at this dotted path leaves."""
    tree = _tree_of(release.fields)
    for step in path.split("."):
        if tree is None:
            return Extent.YES
        if step not in tree:
            return Extent.NO
        tree = tree[step]
    return Extent.YES if tree is None else Extent.PARTLY


def released(data: dict[str, Any], release: Release) -> dict[str, Any]:
    """Keep of `data` (JSON-ready) only what `release.fields` name; the order of fields stays, lists keep their length."""
    tree = _tree_of(release.fields)
    return data if tree is None else _kept(data, tree)


def check_releases(settings: Settings) -> None:
    """Check every release of these settings; SettingsError with all that is missing or unknown."""
    problems: list[Problem] = []
    for country in settings.lanes:
        where = "home.releases" if country == settings.country else f"partners.{country}.releases"
        for release in settings.releases_to(country):
            problems += problems_of(release, f"{where} ({release.type.value})")
    if problems:
        raise SettingsError.of(problems)


def problems_of(release: Release, where: str) -> list[Problem]:
    """Say what a release names that its type does not have, and what it lacks that a receiver needs."""
    tree = _tree_of(release.fields)
    if tree is None:
        return []
    model = MODELS[release.type]
    problems = [
        _problem("release-field-unknown", where, f"{release.type.value} has no such field", field)
        for field in release.fields
        if not _exists(model, field.split("."))
    ]
    missing = sorted(_missing(model, tree, ""))
    if missing:
        text = f"without these fields no receiver could load it, add them: {', '.join(missing)}"
        problems.append(_problem("release-field-missing", where, text, missing[0]))
    return problems


def _problem(code: str, where: str, text: str, value: str | None) -> Problem:
    return SettingsError(code, text, field=where, value=value).problems[0]


@lru_cache(maxsize=256)
def _tree_of(fields: tuple[str, ...]) -> Tree | None:
    if EVERYTHING in fields:
        return None
    root: dict[str, Any] = {}
    for field in sorted(fields, key=lambda field: field.count(".")):  # `items` before `items.hs_code`: the wider one stands
        *above, last = field.split(".")
        branch: Any = root
        for step in above:
            branch = branch.setdefault(step, {}) if branch is not None else None
        if branch is not None:
            branch[last] = None
    return _frozen(root)


def _frozen(tree: dict[str, Any]) -> Tree:
    return MappingProxyType({name: None if below is None else _frozen(below) for name, below in tree.items()})


def _kept(data: dict[str, Any], tree: Tree) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in data.items():
        if name not in tree:
            continue
        below = tree[name]
        if below is None:
            kept[name] = value
        elif isinstance(value, dict):
            kept[name] = _kept(value, below)
        elif isinstance(value, list):
            # A bare value where the release names fields of it is not what was released.
            kept[name] = [_kept(element, below) for element in value if isinstance(element, dict)]
    return kept


def _exists(model: Any, steps: list[str]) -> bool:
    if not steps:
        return True
    if model is dict:
        return all(steps)
    if model is None or steps[0] not in model.model_fields:
        return False
    return _exists(part_of(model.model_fields[steps[0]].annotation), steps[1:])


def _missing(model: type[BaseModel], tree: Tree, prefix: str) -> Iterator[str]:
    for name in model.model_fields:
        below = part_of(model.model_fields[name].annotation)
        is_part = below is not None and below is not dict
        if name not in tree:
            if _is_needed(model, name):
                beneath = tuple(_missing(below, _NOTHING, f"{prefix}{name}.")) if is_part else ()
                yield from beneath or (prefix + name,)
        elif is_part and tree[name] is not None:
            yield from _missing(below, tree[name], f"{prefix}{name}.")


_NOTHING: Tree = MappingProxyType({})


def _is_needed(model: type[BaseModel], name: str) -> bool:
    if model.model_fields[name].is_required():
        return True
    return any(issubclass(model, ruled) and name in needed for ruled, needed in _NEEDED_BY_RULES.items())
