"""`panj convert`: tries files without sending them, and writes what they become. What it does stands in `conversion`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from broker.operations.output import DEFAULT_CONFIG, JsonOption, print_table
from broker.settings.code_lists import apply_lists
from broker.settings.load import load_settings
from broker.settings.model import ReadingSettings
from broker.trust.keys import write_atomically
from producers.conversion import Document, Tried, try_file
from producers.formats.reading import WritableFormat
from producers.formats.registry import Reader, format_named, reader_of
from producers.life import post_named
from schemas.content import problems_of
from schemas.errors import UsageError

KEPT = 100  # documents of one file that `--json` tells; a longer one is better written with --out
SHOWN = 5  # problems, and warnings, of one file in the table

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", envvar="PANJ_CONFIG", help="Read as a post of this exchange.toml; the one that lies here.")
]
AdministrationOption = Annotated[str | None, typer.Option("--administration", help="Whose declarations they are, such as tj.")]


def convert(
    files: Annotated[list[Path], typer.Argument(help="Files to try.", show_default=False)],
    *,
    to: Annotated[str, typer.Option("--to", help="The format to write; see 'panj formats'.")] = "canonical-json",
    from_format: Annotated[str | None, typer.Option("--from", help="Read as this format, whatever the content looks like.")] = None,
    config: ConfigOption = None,
    post: Annotated[str | None, typer.Option("--post", envvar="PANJ_POST", help="Which post; the only one by default.")] = None,
    administration: AdministrationOption = None,
    office: Annotated[str | None, typer.Option(help="The office of declarations whose format carries none.")] = None,
    date_order: Annotated[str | None, typer.Option(help="dmy, mdy or ymd: the order of their dates.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="Of times without an offset, such as Asia/Dushanbe.")] = None,
    columns: Annotated[Path | None, typer.Option(help="The mapping file of CSV and Excel files.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the documents into this directory.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Read files, check them and tell for each what would come of it; nothing is sent.

    A declaration that its national system has not registered yet is taken as a draft. Ends with 0 where every file is taken, 1 where one
    is refused, 2 where an option makes no sense.
    """
    given = {"office": office, "date_order": date_order, "time_zone": time_zone, "columns": columns, "format": _name(from_format)}
    reader = _reader(config, post, administration, {name: value for name, value in given.items() if value is not None})
    target = format_named(_name(to) or to, reader.formats)
    if not isinstance(target, WritableFormat):
        raise UsageError("format-reads-only", "declarations are not written in this format", field="--to", value=to)
    results = []
    for path in files:
        result, documents = _try(path, reader, target, out)
        results.append(result)
        if as_json:  # one object a line, as each file is done
            typer.echo(json.dumps(result.told() | {"documents": [document.canonical for document in documents]}, ensure_ascii=False))
    if not as_json:
        print_table(("file", "format", "outcome", "declarations", "why, and what to know"), [_row(result) for result in results])
    raise typer.Exit(0 if all(result.taken for result in results) else 1)


def _name(name: str | None) -> str | None:
    return "canonical-json" if name == "canonical" else name


def _reader(config: Path | None, post: str | None, administration: str | None, given: dict[str, object]) -> Reader:
    """The reader of a post's own files where exchange.toml is named (or lies here), with what the options say before it."""
    path = config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)
    if path is None:
        reading, zone = ReadingSettings(), None
    else:
        settings = load_settings(path)
        apply_lists(settings.code_lists)
        reading = settings.posts[post_named(settings, post)].reading if settings.posts else ReadingSettings()
        administration, zone = administration or settings.country, settings.time_zone
    try:
        reading = ReadingSettings.model_validate(reading.model_dump() | given)
    except ValidationError as error:
        raise UsageError.of(problems_of(error, "--")) from None
    return reader_of(reading, administration=administration, time_zone=zone)


def _try(path: Path, reader: Reader, target: WritableFormat, out: Path | None) -> tuple[Tried, list[Document]]:
    """Try one file; its documents are written as they are read, and the first ones kept for `--json`."""
    kept: list[Document] = []

    def take(document: Document) -> None:
        if out is not None:
            number = f"-{document.number}" if document.number > 1 else ""
            write_atomically(out / f"{path.stem}{number}{target.ending}", target.write(document.type, document.data))
        if len(kept) < KEPT:
            kept.append(document)

    return try_file(path, reader, take), kept


def _row(result: Tried) -> tuple[str, ...]:
    outcome = ("taken" if result.taken else "refused") + (", a draft" if result.taken and result.drafts else "")
    said = [str(problem) for problem in result.problems[:SHOWN]] + [f"({warning})" for warning in result.warnings[:SHOWN]]
    more = len(result.problems) + len(result.warnings) - len(said)
    return (
        result.file,
        result.format or "",
        outcome,
        f"{result.documents:,}",
        "\n".join([*said, *([f"and {more:,} more"] if more else [])]),
    )
