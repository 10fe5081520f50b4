"""`panj prune`: what is finished, agreed and old enough leaves this machine's databases for the archive; and the daemons' own hourly look.

Each package prunes its own: a function `prune(settings, dry_run) -> Iterable[Archived]` under the entry-point group "panj.prune".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from typing import Annotated

import structlog
import typer

from broker.archive import Archived
from broker.operations.output import ConfigOption, JsonOption, console, print_json, print_table
from broker.settings.load import load_settings
from broker.settings.model import Settings
from schemas.errors import SettingsError, UnavailableError

log = structlog.get_logger()

GROUP = "panj.prune"
LOOK_SECONDS = 3_600.0
PAUSE_SECONDS = 0.5  # between two blocks: pruning is never in a hurry

Prune = Callable[[Settings, bool], Iterable[Archived]]


def commands(
    config: ConfigOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell the next blocks of each stream, and move nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Move what both sides agreed to, long enough ago, into the archive, block by block: exactly what the daemons do by themselves.

    Ends with 0, with 2 where exchange.toml names no archive, with 3 where the archive or a database does not answer.
    """
    settings = load_settings(config)
    if settings.retention.archive is None and not dry_run:
        text = "exchange.toml names no archive, so nothing is ever removed: set retention.archive to a directory"
        raise SettingsError("archive-missing", text, field="retention.archive")
    moved = [
        each for point in sorted(entry_points(group=GROUP), key=lambda point: point.name) for each in _of(point.load(), settings, dry_run)
    ]
    if as_json:
        print_json([_row(each) for each in moved])
    elif not moved:
        console().print("Nothing is old enough, agreed and finished.")
    else:
        rows = [
            (each.unit, each.block.type, f"{each.block.first}-{each.block.last}", each.events, each.file or "would go") for each in moved
        ]
        print_table(("of", "stream", "sequences", "events", "file"), rows)


def _of(prune: Prune, settings: Settings, dry_run: bool) -> Iterable[Archived]:
    return prune(settings, dry_run)


def _cells(each: Archived) -> tuple[object, ...]:
    return each.unit, each.block.type, f"{each.block.first}-{each.block.last}", each.events, each.file or "would go"


def _row(each: Archived) -> dict[str, object]:
    block = each.block
    return {
        "unit": each.unit,
        "source": block.source,
        "destination": block.destination,
        "type": block.type,
        "epoch": block.epoch,
        "first": block.first,
        "last": block.last,
        "events": each.events,
        "file": each.file,
    }


def look_each_hour(prune: Callable[[], Iterable[Archived]], stop: threading.Event) -> None:
    """Prune until `stop` is set, as a daemon's worker: a look an hour, a pause between two blocks; trouble is told and tried again."""
    while not stop.is_set():
        try:
            for each in prune():
                log.info("block.archived", unit=each.unit, type=each.block.type, first=each.block.first, events=each.events)
                if stop.wait(PAUSE_SECONDS):
                    return
        except UnavailableError as error:
            log.warning("block.kept", code=error.code, problem=str(error))
        stop.wait(LOOK_SECONDS)
