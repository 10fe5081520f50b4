"""Reading a mapping file (TOML), and checking it: what its keys mean stands in `columns`. Every fault names its key and what is allowed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path as FilePath

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from producers.formats.cells import Path, constant_of, taking
from producers.formats.columns import Columns, Rows, Totals, TypeColumn
from producers.formats.fields import fields_of
from producers.formats.uses import Cells, Constant, Use, compared
from schemas.errors import FIELD_LIMIT, ContentError, Problem, SettingsError, shown
from schemas.limits import PROBLEMS

FILE_BYTES = 1024 * 1024
_KINDS = re.compile(r"function-.*|TypeColumn|constrained-.*|literal\[.*|str|int|bool|\[key\]")


def load_columns(path: FilePath, *, proposals: bool = False) -> Columns:
    """Read and check a mapping file.

    SettingsError with one problem per fault: `columns-unreadable`, `columns-syntax`, `columns-key-unknown`, `columns-value`,
    `columns-proposal` where it is a proposal that nobody has read over yet, and `proposals` are not taken for what they are.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(FILE_BYTES + 1)
    except OSError as error:
        raise SettingsError("columns-unreadable", f"the mapping file cannot be read: {error.strerror}", field=str(path)) from None
    if len(raw) > FILE_BYTES:
        raise SettingsError("columns-unreadable", f"a mapping file has at most {FILE_BYTES:,} bytes", field=str(path))
    try:
        columns = read_columns(raw.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError:
        raise SettingsError("columns-syntax", "the mapping file is not UTF-8: save it as UTF-8", field=str(path)) from None
    if columns.proposal and not proposals:
        text = "only a proposal so far: read it over, mend it, then take the line 'proposal = true' away"
        raise SettingsError("columns-proposal", text, field=str(path))
    return columns


def read_columns(text: str, file: str = "the mapping file") -> Columns:
    """Check the text of a mapping file; raises as `load_columns`, but takes a proposal for what it is."""
    try:
        columns = Columns.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError("columns-syntax", f"the mapping file is not TOML: {error}", field=file) from None
    except ValidationError as error:
        found = [_problem(fault, file) for fault in error.errors(include_url=False)[:PROBLEMS]]
        raise SettingsError.of(sorted(found, key=lambda problem: problem.code != "columns-key-unknown")) from None
    faults = list(faults_of(columns))[:PROBLEMS]
    if faults:
        raise SettingsError.of([_made("columns-value", *fault, file) for fault in faults])
    return columns


def faults_of(columns: Columns) -> Iterator[tuple[str, str, object]]:
    """What is wrong with a mapping file although each of its values has a good form: key, text, value."""
    yield from _faults_of_names(columns)
    if columns.rows.one_is == "item" and not columns.rows.key:
        yield "rows.key", "is missing: name the columns that tell one declaration from the next, such as the number and the date", None
    if columns.rows.one_is == "declaration" and columns.rows.blank_key == "follows":
        yield "rows.blank_key", 'rows follow only where one_is = "item"', "follows"
    if columns.table.thousands and columns.table.thousands == (columns.table.decimal or "."):
        yield "table.thousands", "is what parts the fraction, too: name another table.decimal", columns.table.thousands
    taken: set[str] = set()
    for name, uses in columns.columns.items():
        for use in uses:
            yield from _faults_of_use(columns, f"columns.{name}", use, taken)
            taken.add(use.field)
    for name, value in columns.constants.items():
        yield from _faults_of_constant(columns, name, value, taken)


def _faults_of_names(columns: Columns) -> Iterator[tuple[str, str, object]]:
    places = {"columns": tuple(columns.columns), "kept": columns.kept, "not_taken": columns.not_taken}
    seen: dict[str, str] = {}
    for place, names in places.items():
        for name in names:
            if before := seen.get(compared(name)):
                yield place, f"the same column is named in {before} already (capitals and blanks do not count)", name
            seen[compared(name)] = place


def _faults_of_use(columns: Columns, key: str, use: Use, taken: set[str]) -> Iterator[tuple[str, str, object]]:
    path = Path.of(use.field)
    if path is None:
        yield key, "not the form of a field, such as office_code, items[].hs_code or documents[2].reference", use.field
    elif fault := _unknown(columns, path):
        yield key, fault, use.field
    elif use.field in taken and not path.steps[-1].endswith("[]"):
        yield key, "another column fills this field already", use.field
    elif columns.rows.one_is == "item" and path.of_item and path.opens[0][1]:
        yield key, "each row is an item: write items[] without a label", use.field
    elif any(not said.strip() or not meant.strip() for said, meant in use.values.items()):
        yield f"{key}.values", "a blank text is no value: name texts that mean an empty cell in table.nothing", None
    else:
        yield from _faults_of_taking(columns, key, use)


def _faults_of_taking(columns: Columns, key: str, use: Use) -> Iterator[tuple[str, str, object]]:
    for event_type in columns.types:
        try:
            taking(key, use, columns.table, event_type)
        except ContentError as error:
            yield f"{key}.with", error.problems[0].text, error.problems[0].value
            return


def _faults_of_constant(columns: Columns, name: str, value: Constant, taken: set[str]) -> Iterator[tuple[str, str, object]]:
    key, path = f"constants.{name}", Path.of(name)
    if path is None or path.opens[1:] or (path.opens and path.opens[0] != ("items", "")):
        yield key, "a constant fills a field of the declaration, such as office_code, or of each item, such as items[].procedure_code", name
    elif fault := _unknown(columns, path):
        yield key, fault, name
    elif name in taken:
        yield key, "a column fills this field already", name
    else:
        for event_type in columns.types:
            if path.canonical in fields_of(event_type):
                try:
                    constant_of(value, fields_of(event_type)[path.canonical])
                except ContentError as error:
                    yield key, error.problems[0].text, value
                    return


def _unknown(columns: Columns, path: Path) -> str | None:
    known = list(dict.fromkeys(field for event_type in columns.types for field in fields_of(event_type)))
    if path.canonical in known:
        return None
    near = get_close_matches(path.canonical, known, n=3, cutoff=0.5)
    meant = f"; did you mean {', '.join(near)}?" if near else ""
    return f"no such field of {', '.join(columns.types)}{meant} ('panj formats describe csv' lists all of them)"


def _problem(fault: ErrorDetails, file: str) -> Problem:
    key = _key_of(fault["loc"])
    if fault["type"] == "extra_forbidden":
        return _made("columns-key-unknown", key, f"no such key{_nearest(fault['loc'])}", None, file)
    given = fault["input"]
    text = re.sub(r"^(Input|String) should ", "must ", fault["msg"].removeprefix("Value error, "))
    text = "is missing" if fault["type"] == "missing" else text
    return _made("columns-value", key, text, given if isinstance(given, str | int | float) else None, file)


def _key_of(loc: tuple[int | str, ...]) -> str:
    """The key in the file: pydantic also names which kind of value it had tried there."""
    named = 1 if loc[0] in ("columns", "constants", "codes") else None  # where a name of the file's own stands, whatever it looks like
    return ".".join(str(step) for place, step in enumerate(loc) if place == named or not _KINDS.fullmatch(str(step)))


def _nearest(loc: tuple[int | str, ...]) -> str:
    """The keys that are known where an unknown one stands."""
    tables: dict[str, type[BaseModel]] = {"table": Cells, "rows": Rows, "totals": Totals, "columns": Use, "type": TypeColumn}
    model = tables.get(str(loc[0]), Columns) if len(loc) > 1 else Columns
    known = [field.alias or name for name, field in model.model_fields.items()]
    near = get_close_matches(str(loc[-1]), known, n=1)
    return (f"; did you mean {near[0]!r}?" if near else "") + f" (known here: {', '.join(known)})"


def _made(code: str, key: str, text: str, value: object, file: str) -> Problem:
    where = f"{text[:380]} (in {file[-110:]})"
    return Problem(code=code, text=where, field=key[:FIELD_LIMIT] or None, value=None if value is None else shown(value))
