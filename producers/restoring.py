"""`panj post restore`: a post's outbox from its second copy, then recovered from the houses. What a copy is: `broker.outbox.copy_lines`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from broker.audit import worded
from broker.operations.output import ConfigOption, JsonOption, print_json, print_table
from broker.outbox.copy_files import copy_directory, segments
from broker.outbox.copy_lines import CopiedEvent, decode_all
from broker.outbox.restoring import Restored
from broker.outbox.store import Outbox
from broker.settings.load import load_settings
from broker.settings.model import Settings
from producers.life import open_outbox, post_named
from producers.marker import Marker
from producers.recovery import Found, PostOption, examine_standing, houses_of, result_of, show_result, wait_recovered
from schemas.errors import UsageError


@dataclass(frozen=True, slots=True)
class Copy:
    """What a second copy holds: its events, the last word of each, and how many lines were torn or damaged."""

    directory: Path
    events: tuple[CopiedEvent, ...]
    damaged: int


def read_copy(settings: Settings, name: str, directory: Path) -> Copy:
    """Read a copy, from the directory that `second_copy` names or from the post's own in it.

    UsageError `copy-missing` where there is none, `copy-foreign` where it is another post's or another environment's.
    """
    party = settings.post_party(name)
    of_post = copy_directory(directory, party.unit)
    place = of_post if of_post.is_dir() else directory
    files = segments(place)
    if not files:
        raise UsageError("copy-missing", "there is no second copy of this post's outbox: no file *.copy", field="--from", value=place)
    events: dict[str, CopiedEvent] = {}
    damaged = 0
    for file in files:
        found, bad = decode_all(file.read_bytes())
        events |= {event.event_id: event for event in found}
        damaged += bad
    for event in events.values():
        _refuse_foreign(event, party.urn, settings.environment)
    return Copy(place, tuple(events.values()), damaged)


def _refuse_foreign(event: CopiedEvent, urn: str, environment: str) -> None:
    said = json.loads(event.raw)
    if (said["source"], said["environment"]) != (urn, environment):
        text = f"the copy is of {said['source']} in {said['environment']}, not of {urn} in {environment}"
        raise UsageError("copy-foreign", text, field="--from", value=event.event_id)


def put_in(settings: Settings, name: str, found: Found, copy: Copy, reason: str) -> tuple[Outbox, Restored]:
    """Put the copy into the outbox and begin to recover, durably; gives the opened outbox, and what came of the events."""
    marker = Marker.of(settings.posts[name].outbox)
    outbox = open_outbox(settings, name, even_where_lost=found is Found.LOST)
    everything = found in (Found.LOST, Found.NONE)
    restored = outbox.restore(copy.events, houses_of(settings, ()), everything=everything, reason=reason)
    if marker is not None:
        marker.begin(outbox.epoch)
    return outbox, restored


def restore(
    *,
    copy_from: Annotated[Path, typer.Option("--from", metavar="DIRECTORY", help="Where the second copy is.", show_default=False)],
    config: ConfigOption,
    post: PostOption = None,
    timeout: Annotated[float | None, typer.Option("--timeout", min=0, help="Seconds to wait at most; without limit by default.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="What happened; the audit trail keeps it.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what the copy holds; change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Rebuild a post's outbox from its second copy, then recover from the houses as "panj post recover" does.

    Puts in what the copy holds and the outbox lacks: where its file is gone, all of it. May be interrupted and started again. Ends with 0
    once every house has told all it holds, 1 where the copy clashes with what the outbox holds, 3 where --timeout was not enough.
    """
    settings = load_settings(config)
    name = post_named(settings, post)
    copy = read_copy(settings, name, copy_from)
    standing = examine_standing(settings, name)
    if dry_run:
        _show_copy(copy, standing.found, as_json=as_json)
        return
    outbox, restored = put_in(settings, name, standing.found, copy, worded(reason) if reason else "restored from the second copy")
    try:
        typer.echo(f"{restored.put_in} events put in, {restored.known} there already, {restored.clashing} clashing", err=True)
        done = wait_recovered(settings, name, outbox, timeout, lambda words: typer.echo(words, err=True))
        result = result_of(settings.post_party(name).urn, standing, outbox)
    finally:
        outbox.close()
    counts = {"put_in": restored.put_in, "known": restored.known, "clashing": restored.clashing, "damaged": copy.damaged}
    show_result(result, {"copy": counts}, as_json=as_json)
    raise typer.Exit(1 if restored.clashing else 0 if done else 3)


def _show_copy(copy: Copy, found: Found, *, as_json: bool) -> None:
    if as_json:
        document = {"directory": copy.directory, "outbox": found.value, "events": len(copy.events), "damaged": copy.damaged}
        print_json(document | {"references": sorted({event.reference for event in copy.events})})
        return
    rows = [(copy.directory, found.value, len(copy.events), copy.damaged)]
    print_table(("copy", "outbox", "events in the copy", "damaged lines"), rows)
