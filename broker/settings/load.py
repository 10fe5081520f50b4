"""Reading exchange.toml: from a file to `Settings`, or to a `SettingsError` that names file, key, value and what is allowed.

What the keys mean stands in `model`. Whether the files that are named exist is checked by those who use them, so that a post's machine
needs no file of the house. Secrets stand in files of their own, never in exchange.toml.
"""

from __future__ import annotations

import os
import re
import tomllib
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from broker.settings.model import Settings
from schemas.errors import Problem, SettingsError, shown

_SECRET_IN_URL = re.compile(r"://[^/@\s]*:[^/@\s]*@|[?&](password|sslpassword)=", re.IGNORECASE)
_SQLITE = re.compile(r"(sqlite(?:\+[a-z]+)?:///)([^?]*)(.*)", re.DOTALL)
_KEY_FIRST = re.compile(r"([a-z_]+(?:\.[a-z0-9_-]+)*): (.*)", re.DOTALL)  # how the model's own validators name the place


def load_settings(path: Path) -> Settings:
    """Read and check exchange.toml; paths in it (also inside `sqlite:///relative`) become absolute, relative to the file's directory.

    SettingsError, with one problem per fault: `settings-missing`, `settings-unreadable`, `settings-syntax`, `settings-key-unknown`,
    `settings-key-missing`, `settings-value`, `settings-secret`.
    """
    document = _document(path)
    problems = [_secret_problem(path, key) for key, value in _texts(document) if _SECRET_IN_URL.search(value)]
    if problems:
        raise SettingsError.of(problems)
    try:
        settings = Settings.model_validate(document)
    except ValidationError as error:
        raise SettingsError.of([_problem(path, fault) for fault in error.errors(include_url=False)]) from None
    _check_time_zone(path, settings.time_zone)
    directory = Path(os.path.abspath(path.parent))  # not resolved: a linked directory keeps the name that the operator gave it
    return Settings.model_validate(_absolute(settings, directory))


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            "settings-missing", f"no such file: give its place with --config or PANJ_CONFIG (looked in {Path.cwd()})", field=str(path)
        ) from None
    except OSError as error:
        raise SettingsError("settings-unreadable", f"cannot be read: {error.strerror}", field=str(path)) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SettingsError("settings-syntax", f"not UTF-8, line {line}: save the file as UTF-8", field=str(path)) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError("settings-syntax", f"not TOML: {error}", field=str(path)) from None


def _texts(node: Any, key: str = "") -> list[tuple[str, str]]:
    """List every text of a document with its dotted key."""
    if isinstance(node, str):
        return [(key, node)]
    branches = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [found for name, branch in branches for found in _texts(branch, f"{key}.{name}" if key else str(name))]


def _secret_problem(path: Path, key: str) -> Problem:
    return Problem(
        code="settings-secret",
        text=_in_file(path, "a password stands in this URL: put it into a file (PostgreSQL: ~/.pgpass, or ?passfile=/path in the URL)"),
        field=key,
    )


def _problem(path: Path, fault: ErrorDetails) -> Problem:
    loc = tuple(part for part in fault["loc"] if part != "[key]")
    kind, given = fault["type"], fault["input"]
    if kind == "extra_forbidden":
        return _made(path, "settings-key-unknown", loc, f"no such key{_nearest(str(loc[-1]), _known(loc[:-1]))}", None)
    if kind == "missing":
        return _made(path, "settings-key-missing", loc, f"is missing{_meaning(loc)}", None)
    text = fault["msg"].removeprefix("Value error, ")
    if not loc and (match := _KEY_FIRST.match(text)):
        return _made(path, "settings-value", tuple(match.group(1).split(".")), match.group(2), None)
    if kind == "string_pattern_mismatch":
        text = f"must match {fault['ctx']['pattern']}"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        text = "must be a table"
    text = re.sub(r"^(Input|String) should ", "must ", text)
    given = str(given).lower() if isinstance(given, bool) else given  # as TOML writes it
    return _made(path, "settings-value", loc, text + _meaning(loc), given if isinstance(given, str | int | float) else None)


def _made(path: Path, code: str, loc: tuple[int | str, ...], text: str, value: object) -> Problem:
    key = ".".join(str(part) for part in loc)
    return Problem(code=code, text=_in_file(path, text), field=key[:200] or None, value=None if value is None else shown(value))


def _in_file(path: Path, text: str) -> str:
    return f"{text[:380]} (in {str(path)[-110:]})"


def _nearest(name: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(name, known, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return f"{meant} (known here: {', '.join(known)})" if known else meant


def _known(loc: tuple[int | str, ...]) -> tuple[str, ...]:
    """Give the keys that the table at this place may have."""
    table = _type_at(loc)
    return tuple(table.model_fields) if table is not None else ()


def _meaning(loc: tuple[int | str, ...]) -> str:
    table = _type_at(loc[:-1])
    field = table.model_fields.get(str(loc[-1])) if table is not None and loc else None
    return f" ({field.description})" if field is not None and field.description else ""


def _type_at(loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Walk the model along a place such as ("partners", "af", "link") to the table's class."""
    found: type[BaseModel] | None = Settings
    annotation: Any = Settings
    for part in loc:
        if found is not None:
            field = found.model_fields.get(str(part))
            annotation = field.annotation if field is not None else None
        found = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
        if found is None:  # a table of tables, a list of tables, or a table that may be left out: its class is the one inside
            inner = [each for each in get_args(annotation) if isinstance(each, type) and issubclass(each, BaseModel)]
            optional = type(None) in get_args(annotation)
            annotation = inner[0] if inner else None
            found = annotation if optional and inner else None
    return found


def _check_time_zone(path: Path, name: str) -> None:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; a path that leads elsewhere; a region's directory, such as Asia
        text = "no such time zone: an IANA name such as Asia/Dushanbe or Asia/Kabul"
        raise SettingsError.of([_made(path, "settings-value", ("time_zone",), text, name)]) from None


def _absolute(value: Any, directory: Path) -> Any:
    """Give the settings as plain data with every path made absolute."""
    if isinstance(value, BaseModel):
        return {name: _absolute(getattr(value, name), directory) for name in value.model_fields_set}
    if isinstance(value, dict):
        return {name: _absolute(each, directory) for name, each in value.items()}
    if isinstance(value, tuple | frozenset):
        return [_absolute(each, directory) for each in value]
    if isinstance(value, Path):
        return Path(os.path.abspath(directory / value))
    if isinstance(value, str) and not isinstance(value, Enum) and (match := _SQLITE.fullmatch(value)):
        scheme, place, query = match.groups()
        return f"{scheme}{os.path.abspath(directory / place)}{query}"
    return value
