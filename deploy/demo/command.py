"""`panj demo`: two administrations on this machine, with everything between them, for a look and a proof; removed afterwards."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from broker.operations import output
from deploy.demo.story import Story
from deploy.demo.tally import Tally
from deploy.demo.view import COLUMNS, final, live
from deploy.lab.laboratory import laboratory


class Database(StrEnum):
    """Where the customs houses load."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


def commands(
    database: Annotated[Database, typer.Option(help="The customs houses' database.")] = Database.SQLITE,
    events: Annotated[int, typer.Option(min=1, max=5_000, help="Declarations of each of the four posts in the first step.")] = 75,
    keep: Annotated[Path | None, typer.Option(help="Keep everything in this new directory afterwards: databases, logs, keys.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="No live view; the last line is one JSON object.")] = False,
) -> None:
    """Run two federated administrations for a minute: declarations both ways, a refusal, a forged bundle, a cut line, and the count.

    Ends with 0 only if every accepted event was loaded, refused or held, none was lost, and the forged bundle was parked and replaced.
    """
    if keep is not None and keep.exists():
        raise typer.BadParameter(f"{keep} exists already", param_hint="--keep")
    console = output.console(stderr=as_json)
    begun = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[cyan]{time.monotonic() - begun:5.1f} s[/]  {text}")

    with laboratory(database.value, tell=say, keep=keep) as lab:
        lab.spawn_all()
        started = time.monotonic()
        view = nullcontext() if as_json or not console.is_terminal else Live(console=console, auto_refresh=False)
        with view as shown:
            story = Story(lab, events, _teller(lambda: story, shown, say, begun))
            story.run()
        tallies = story.tallies()
    seconds = time.monotonic() - started
    console.print(final(tallies, seconds))
    good = _told(tallies, console)
    if as_json:
        typer.echo(json.dumps({way: _row(each, seconds) for way, each in tallies.items()}, ensure_ascii=False))
    else:
        _where_next(console, keep)
    if not good:
        raise typer.Exit(1)


def _teller(story: Callable[[], Story], shown: Live | None, say: Callable[[str], None], begun: float) -> Callable[[str], None]:
    told: list[str] = []

    def tell(step: str) -> None:
        if told[-1:] != [step]:
            told.append(step)
            say(step)
        if shown is not None:
            shown.update(live(story().tallies(), step, time.monotonic() - begun), refresh=True)

    return tell


def _row(each: Tally, seconds: float) -> dict[str, float]:
    counts = asdict(each)
    return {column: counts[column] for column in COLUMNS} | {"seconds": round(seconds, 1)}


def _told(tallies: dict[str, Tally], console: Console) -> bool:
    balanced = all(each.balanced for each in tallies.values())
    there = tallies["tj → af"]
    shown = there.refused == 1 and there.parked >= 1 and there.parked_open == 0
    if balanced:
        console.print("[green]Every accepted event was loaded, refused or held; each once; none was lost.[/]")
    else:
        console.print("[bold red]The count does not balance.[/]")
    if not shown:
        console.print("[bold red]The refusal or the forged bundle did not go as told.[/]")
    return balanced and shown


def _where_next(console: Console, keep: Path | None) -> None:
    console.print("\nWhere to look next:")
    if keep is None:
        console.print("  panj demo --keep DIRECTORY       keeps databases, logs and settings of both sides for looking")
    else:
        console.print(f"  ls {keep}/log                    what each daemon logged")
        console.print(f"  sqlite3 {keep}/af/var/house.sqlite .tables    what the customs house loaded")
    console.print("  docs/architecture.md             one declaration followed through the code")
    console.print("  docs/operators-first-hour.md     setting up an administration of your own")
