"""`panj post status`: how one post stands: what waits, for whom and why, its disk, its directory. Reads only."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from broker.operations.contributions import Attention, Reading
from broker.operations.observe import observe_post
from broker.operations.output import ConfigOption, JsonOption, print_json, print_table
from broker.settings.load import load_settings
from broker.settings.model import Settings
from producers.life import post_named
from producers.operations import observe_directory


def status(
    config: ConfigOption,
    post: Annotated[str | None, typer.Option("--post", envvar="PANJ_POST", help="Which post; the only one by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how the post stands: what waits for whom, and why; what needs attention first. Asks nobody but its outbox and directory.

    Ends with 0 where nothing needs a person, and with 1 where something does.
    """
    settings = load_settings(config)
    name = post_named(settings, post)
    found = readings(settings, name, datetime.now(UTC))
    if as_json:
        print_json({"post": settings.post_party(name).urn, "readings": [_document(reading) for reading in found]})
    else:
        rows = [(each.attention.name.lower(), each.subject, each.name, _value(each), each.advice) for each in found]
        print_table(("", "of", "what", "value", "what to do"), rows)
    raise typer.Exit(1 if any(reading.attention is Attention.ACT for reading in found) else 0)


def readings(settings: Settings, name: str, now: datetime) -> list[Reading]:
    """Everything that is known of a post on this machine, what needs attention first."""
    found = [*observe_post(settings, name, now), *observe_directory(settings, name)]
    return sorted(found, key=lambda reading: (-reading.attention, reading.subject, reading.name))


def _document(reading: Reading) -> dict[str, object]:
    return {**asdict(reading), "attention": reading.attention.name.lower()}


def _value(reading: Reading) -> str:
    value = f"{reading.value:,.1f}" if isinstance(reading.value, float) else "–" if reading.value is None else str(reading.value)
    return f"{value} {reading.unit}".strip()
