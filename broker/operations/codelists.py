"""`panj codelists`: an administration's own long code lists (HS, offices, UN/LOCODE): load them from a file, list, show."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from broker.operations.output import ConfigOption, JsonOption, print_json, print_table
from broker.settings.code_lists import LoadedList, read_lists
from broker.settings.load import load_settings
from schemas import codelists
from schemas.errors import SettingsError, UsageError, shown

commands = typer.Typer(no_args_is_help=True, help="Code lists: those that are built in, and an administration's own.")

FILE_BYTES = 64 * 1024**2
_HS = re.compile(r"[0-9]{6}")
_OFFICE = re.compile(r"[A-Z0-9][A-Z0-9-]{1,16}")
_UNLOCODE = re.compile(r"[A-Z]{2}[A-Z2-9]{3}")
_SHAPES = {"hs": _HS, "offices": _OFFICE, "unlocode": _UNLOCODE}


@commands.command("load")
def load_file(
    name: Annotated[str, typer.Argument(help=f"Which list: {', '.join(codelists.LOADABLE)}.")],
    file: Annotated[Path, typer.Argument(help="CSV or JSON, or one code a line.")],
    config: ConfigOption,
    source: Annotated[str, typer.Option(help="Where the list comes from.")],
    edition: Annotated[str, typer.Option(help="Its edition or version, such as HS-2022.")],
    column: Annotated[str | None, typer.Option(help="The CSV column or JSON member with the code; found by its values by default.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be loaded, and change nothing.")] = False,
) -> None:
    """Load a list: from then on (daemons: from their next start) a code that is not in it is refused as `code-unknown`."""
    if name not in _SHAPES:
        raise UsageError("codelist-unknown", f"there are {', '.join(codelists.LOADABLE)}", field="NAME", value=name)
    directory = load_settings(config).code_lists
    if directory is None:
        raise SettingsError("codelist-directory-missing", "set code_lists to a directory, such as var/codelists", field="code_lists")
    content = _content(file)
    codes = codes_in(content, name, column)
    if not codes:
        raise UsageError("codelist-empty", f"no {name} code was found in it", field=str(file))
    loaded = LoadedList(
        name=name,
        source=source,
        edition=edition,
        loaded_at_utc=datetime.now(UTC),
        file_sha256=hashlib.sha256(content).hexdigest(),
        codes=tuple(sorted(codes)),
    )
    if not dry_run:
        directory.mkdir(parents=True, exist_ok=True)
        partial = directory / f".{name}.part"
        partial.write_text(loaded.model_dump_json(indent=1))
        partial.replace(directory / f"{name}.json")
    typer.echo(f"{'would load' if dry_run else 'loaded'} {len(codes):,} codes as {name}, edition {edition}")


@commands.command("list")
def list_lists(config: ConfigOption, as_json: JsonOption = False) -> None:
    """List the built-in lists with their sources, and those that were loaded."""
    rows: list[dict[str, object]] = [
        {"name": name, "kind": "built in", "source": each.title, "edition": each.edition, "codes": None, "loaded_at": None}
        for name, each in codelists.SOURCES.items()
    ]
    rows += [
        {
            "name": each.name,
            "kind": "loaded",
            "source": each.source,
            "edition": each.edition,
            "codes": len(each.codes),
            "loaded_at": each.loaded_at_utc,
        }
        for each in read_lists(load_settings(config).code_lists)
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(list(rows[0]), [list(row.values()) for row in rows])


def codes_in(content: bytes, name: str, column: str | None = None) -> set[str]:
    """Find the codes of a list in a file's content: JSON (an array of strings or objects), CSV with a header, or a code a line.

    Only values of the list's shape are taken: an HS file's chapters and headings are not six digits, and are left out. Without `column`
    the one is taken that holds most values of that shape. UsageError where the file is neither, or has no such column.
    """
    shape = _SHAPES[name]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError("codelist-unreadable", f"not UTF-8 at byte {error.start}", field=name) from None
    records = list(_records(text))
    columns = {key for record in records for key in record}
    if column is not None and column not in columns:
        raise UsageError("codelist-column-missing", f"there are {', '.join(sorted(columns))}", field="--column", value=column)

    def found(key: str) -> set[str]:
        return {value for record in records if shape.fullmatch(value := str(record.get(key, "")).strip().upper())}

    chosen = [column] if column else sorted(columns)
    return max((found(key) for key in chosen), key=len, default=set())


def _records(text: str) -> Iterator[dict[str, object]]:
    if text.lstrip()[:1] in ("[", "{"):
        try:
            document = json.loads(text)
        except ValueError as error:
            raise UsageError("codelist-unreadable", f"not JSON: {error}") from None
        for each in document if isinstance(document, list) else [document]:
            yield each if isinstance(each, dict) else {"code": each}
        return
    reader = csv.reader(io.StringIO(text))
    header = next(reader, [])
    yield dict(zip(header, header, strict=True))  # a file of one code a line has no header: its first line is a code
    for row in reader:
        yield dict(zip(header, row, strict=False))


def _content(file: Path) -> bytes:
    try:
        if file.stat().st_size > FILE_BYTES:
            raise UsageError("codelist-too-large", f"more than {FILE_BYTES // 1024**2} MB", field=str(file))
        return file.read_bytes()
    except OSError as error:
        raise UsageError("codelist-unreadable", f"it cannot be read: {error.strerror}", field=shown(file)) from None
