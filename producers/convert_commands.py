"""`panj convert`: tries files without sending them, and writes what they become. What it does stands in `conversion`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
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
from producers.formats.reading import Conventions, WritableFormat
from producers.formats.registry import Reader, format_named, reader_of
from producers.importing import Importing
from producers.life import post_named
from schemas.content import problems_of
from schemas.errors import UsageError

CANONICAL = "canonical-json"
KEPT = 100  # documents of one file that `--json` tells; a longer one is better written with --out
SHOWN = 5  # problems, and warnings, of one file in the table

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", envvar="PANJ_CONFIG", help="Read as a post of this exchange.toml; the one that lies here.")
]
AdministrationOption = Annotated[str | None, typer.Option("--administration", help="Whose declarations they are, such as tj.")]


def convert(
    files: Annotated[list[Path], typer.Argument(help="Files to try.", show_default=False)],
    *,
    to: Annotated[str, typer.Option("--to", help="The format to write; see 'panj formats'.")] = CANONICAL,
    from_format: Annotated[str | None, typer.Option("--from", help="Read as this format, whatever the content looks like.")] = None,
    config: ConfigOption = None,
    post: Annotated[str | None, typer.Option("--post", envvar="PANJ_POST", help="Which post; the only one by default.")] = None,
    administration: AdministrationOption = None,
    office: Annotated[str | None, typer.Option(help="The office of declarations whose format carries none, and of imports.")] = None,
    date_order: Annotated[str | None, typer.Option(help="dmy, mdy or ymd: the order of their dates.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="Of times without an offset, such as Asia/Dushanbe.")] = None,
    columns: Annotated[Path | None, typer.Option(help="The mapping file of CSV and Excel files.")] = None,
    versions: Annotated[str | None, typer.Option(help="stated, or next: those that state none are given theirs at intake.")] = None,
    correction_reason: Annotated[str | None, typer.Option(help="Why they are corrected, where they do not say it.")] = None,
    as_import: Annotated[
        bool, typer.Option("--as-import", help="Write exports as pre-filled imports, whosever they are, for the office of --office.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write the documents into this directory.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Read files, check them and tell for each what would come of it; nothing is sent.

    A declaration that its national system has not registered yet is taken as a draft. With --to asycuda the export of another
    administration than that of exchange.toml becomes a pre-filled import declaration; so does every export with --as-import. Without --out
    and --json, what is written in another format than canonical JSON goes to standard output, and the table to standard error.

    Ends with 0 where every file is taken, 1 where one is refused, 2 where an option makes no sense.
    """
    given = {"office": office, "date_order": date_order, "time_zone": time_zone, "columns": columns, "format": _name(from_format)}
    given |= {"versions": versions, "correction_reason": correction_reason}
    reader, home = _reader(config, post, administration, {name: value for name, value in given.items() if value is not None})
    target = format_named(_name(to) or to, reader.formats)
    if not isinstance(target, WritableFormat):
        raise UsageError("format-reads-only", "declarations are not written in this format", field="--to", value=to)
    importing = Importing(home if target.name != CANONICAL else None, reader.conventions.office, as_import)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    pour = not as_json and out is None and target.name != CANONICAL
    results = []
    for path in files:
        result, documents = _try(path, reader, _Writing(target, importing, out, pour))
        results.append(result)
        if as_json:  # one object a line, as each file is done
            typer.echo(json.dumps(result.told() | {"documents": [document.canonical for document in documents]}, ensure_ascii=False))
    if not as_json:
        columns_shown = ("file", "format", "outcome", "declarations", "why, and what to know")
        print_table(columns_shown, [_row(result) for result in results], stderr=pour)
    raise typer.Exit(0 if all(result.taken for result in results) else 1)


@dataclass(frozen=True, slots=True)
class _Writing:
    """How documents are written: in which format, exports as what, into which directory or to standard output."""

    target: WritableFormat
    importing: Importing
    out: Path | None
    pour: bool

    def write(self, document: Document, stem: str, conventions: Conventions) -> Document:
        """Write a document where it is to be written, and give it as it was written."""
        document = self.importing.taken(document)
        if self.out is None and not self.pour:
            return document
        text = self.target.write(document.type, document.data, conventions)
        if self.out is not None:
            number = f"-{document.number}" if document.number > 1 else ""
            write_atomically(self.out / f"{stem}{number}{self.target.ending}", text)
        else:
            sys.stdout.buffer.write(text)
        return document


def _name(name: str | None) -> str | None:
    return CANONICAL if name == "canonical" else name


def _reader(config: Path | None, post: str | None, administration: str | None, given: dict[str, object]) -> tuple[Reader, str | None]:
    """The reader of a post's own files where exchange.toml is named (or lies here), and what options say before it; and whose it is."""
    home = None
    path = config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)
    if path is None:
        reading, zone = ReadingSettings(), None
    else:
        settings = load_settings(path)
        apply_lists(settings.code_lists)
        reading = settings.posts[post_named(settings, post)].reading if settings.posts else ReadingSettings()
        home, zone = settings.country, settings.time_zone
    try:
        reading = ReadingSettings.model_validate(reading.model_dump() | given)
    except ValidationError as error:
        raise UsageError.of(problems_of(error, "--")) from None
    return reader_of(reading, administration=administration or home, time_zone=zone), home


def _try(path: Path, reader: Reader, writing: _Writing) -> tuple[Tried, list[Document]]:
    """Try one file; its documents are written as they are read, and the first ones kept for `--json`."""
    kept: list[Document] = []

    def take(document: Document) -> None:
        written = writing.write(document, path.stem, reader.conventions)
        if len(kept) < KEPT:
            kept.append(written)

    return try_file(path, reader, take), kept


def _row(result: Tried) -> tuple[str, ...]:
    outcome = "taken" if result.taken else "refused"
    if result.taken and result.drafts:
        outcome += ", a draft"
    elif result.taken and result.unnumbered:
        outcome += ", version given at intake"
    said = [str(problem) for problem in result.problems[:SHOWN]] + [f"({warning})" for warning in result.warnings[:SHOWN]]
    more = len(result.problems) + len(result.warnings) - len(said)
    return (
        result.file,
        result.format or "",
        outcome,
        f"{result.documents:,}",
        "\n".join([*said, *([f"and {more:,} more"] if more else [])]),
    )
