"""`panj status`: what this administration's units, links and certificates are doing; what needs attention first. Reads only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from broker.operations.contributions import Attention, Reading, readings
from broker.operations.output import ConfigOption, console, print_json
from broker.settings.load import load_settings
from broker.settings.model import Settings

_STYLE = {Attention.FINE: "green", Attention.WATCH: "yellow", Attention.ACT: "bold red"}
_WORD = {Attention.FINE: "fine", Attention.WATCH: "watch", Attention.ACT: "act"}
REFRESH_SECONDS = 2.0


def commands(
    config: ConfigOption,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help=f"Look again each {REFRESH_SECONDS:.0f} s until Ctrl-C.")] = False,
) -> None:
    """Show links, beacons, streams, outboxes, queues, held, parked, certificates and CRLs; what needs attention first.

    Ends with 0 where nothing needs a person, and with 1 where something does.
    """
    settings = load_settings(config)
    if watch and not as_json:
        _watch(settings)
        return
    found = readings(settings)
    if as_json:
        print_json(_document(settings, found))
    else:
        console().print(_page(settings, found))
    if any(reading.attention is Attention.ACT for reading in found):
        raise typer.Exit(1)


def _watch(settings: Settings) -> None:
    with Live(_page(settings, readings(settings)), auto_refresh=False, screen=True) as live:
        while True:
            time.sleep(REFRESH_SECONDS)
            live.update(_page(settings, readings(settings)), refresh=True)


def _document(settings: Settings, found: Sequence[Reading]) -> dict[str, object]:
    return {
        "country": settings.country,
        "environment": settings.environment,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "readings": [{**asdict(reading), "attention": _WORD[reading.attention]} for reading in found],
    }


def _page(settings: Settings, found: Sequence[Reading]) -> Group:
    title = f"{settings.country} · {settings.environment} · {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    table = Table(title=title, title_justify="left", header_style="bold", pad_edge=False)
    for column in ("", "of", "what", "value", "what to do"):
        table.add_column(column, justify="right" if column == "value" else "left", overflow="fold")
    for reading in found:
        style = _STYLE[reading.attention]
        value = "–" if reading.value is None else f"{_number(reading.value)} {reading.unit}".strip()
        table.add_row(
            f"[{style}]{_WORD[reading.attention]}[/]", escape(reading.subject), escape(reading.name), escape(value), escape(reading.advice)
        )
    urgent = sum(reading.attention is Attention.ACT for reading in found)
    return Group(table, "[green]Nothing needs a person.[/]" if not urgent else f"[bold red]{urgent} of {len(found)} need a person.[/]")


def _number(value: str | float) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else value
