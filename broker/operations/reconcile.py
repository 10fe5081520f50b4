"""`panj reconcile`: closes accounts with the other side now, has what it lacks sent again, and names what differs.

At a post it asks the post's relay; in a customs house it asks the posts. Both are found through the entry points "panj.reconcile":
`post` and `house`, each a function `(settings, Request) -> list[Reconciled]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import entry_points
from typing import Annotated, Any

import typer

from broker.operations.contributions import database_exists
from broker.operations.output import ConfigOption, JsonOption, print_json, print_table
from broker.settings.load import load_settings
from broker.settings.model import Settings
from schemas.errors import UnavailableError, UsageError, cleaned
from schemas.event import utc_text
from schemas.names import Party

GROUP = "panj.reconcile"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. `post` narrows it to one; `tell` gets a line of progress now and then."""

    everything: bool
    wait: bool
    timeout_seconds: float
    reason: str
    post: str | None
    dry_run: bool
    tell: Callable[[str], None] = field(repr=False)


@dataclass(frozen=True, slots=True)
class StreamResult:
    """One stream's part: blocks compared and agreed to, events sent again, and events that differ."""

    type: str
    epoch: str
    compared: int
    agreed: int
    resent: int
    differing: int


@dataclass(frozen=True, slots=True)
class Differing:
    """One place, or (at a house) one block, that is not the same on both sides, with what each side holds there."""

    type: str
    epoch: str
    sequence: int
    what: str
    event_id: str | None
    digest: str | None
    house_event_id: str | None
    house_digest: str | None
    found_at_utc: datetime


@dataclass(frozen=True, slots=True)
class Reconciled:
    """How it stands between a post and a house (URNs): `ended` in time, or only asked for; `closing` is the number agreed to, if any."""

    post: str
    house: str
    ended: bool
    closing: int | None
    said: str
    streams: tuple[StreamResult, ...] = ()
    differences: tuple[Differing, ...] = ()


Contribution = Callable[[Settings, Request], list[Reconciled]]


def commands(
    *,
    config: ConfigOption,
    post: Annotated[
        str | None, typer.Option("--post", envvar="PANJ_POST", help="Only this post; at a house also another country's.")
    ] = None,
    house: Annotated[bool, typer.Option("--house", help="Ask the posts, as the customs house. By default where no post is here.")] = False,
    everything: Annotated[bool, typer.Option("--everything", help="Compare all blocks, also those agreed to long ago.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait at most.")] = 300,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the answers, or only ask.")] = True,
    reason: Annotated[str, typer.Option("--reason", help="Why: the other side and the audit trail are told.")] = "asked by a person",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be compared, and ask for nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Close accounts now: compare what was sent with what the other side holds, block by block, and have sent again what it lacks.

    Works beside a running daemon and without one. Ends with 0 where all is agreed, 1 where a difference remains, 3 where an answer is still
    out.
    """
    settings = load_settings(config)
    silent = as_json or not wait
    request = Request(everything, wait, timeout, cleaned(reason)[:150], post, dry_run, _nothing if silent else _tell)
    found = _contribution("house" if house or not _posts_here(settings) else "post")(settings, request)
    if as_json:
        print_json([_document(each) for each in found])
    else:
        _print(found)
    raise typer.Exit(exit_code(found, wait=wait and not dry_run))


def exit_code(found: Sequence[Reconciled], *, wait: bool) -> int:
    """1 where a difference remains, 3 where an answer is out that was waited for, else 0."""
    if any(each.differences for each in found):
        return 1
    return 3 if wait and not all(each.ended for each in found) else 0


def _posts_here(settings: Settings) -> bool:
    return any(database_exists(post.outbox) for post in settings.posts.values())


def _contribution(name: str) -> Contribution:
    for point in entry_points(group=GROUP, name=name):
        contribution: Contribution = point.load()
        return contribution
    raise UnavailableError("command-unavailable", f"no package that is installed can reconcile for a {name}")


def chosen_posts(settings: Settings, name: str | None) -> list[str]:
    """The posts of ours that are meant: the named one, or all whose outbox is here; UsageError `post-unknown` for a strange one."""
    if name is None:
        return [each for each, post in sorted(settings.posts.items()) if database_exists(post.outbox)]
    if name not in settings.posts:
        raise UsageError("post-unknown", f"exchange.toml has no such post; it has: {', '.join(settings.posts)}", field="--post", value=name)
    return [name]


def _nothing(_: str) -> None:
    """Programs read no progress."""


def _tell(line: str) -> None:
    typer.echo(cleaned(line), err=True)


def _document(one: Reconciled) -> dict[str, Any]:
    differences = [{**asdict(each), "found_at_utc": utc_text(each.found_at_utc)} for each in one.differences]
    return {**asdict(one), "differences": differences}


def _print(found: Sequence[Reconciled]) -> None:
    if not found:
        typer.echo("Nothing was ever sent from here: there is nothing to compare.")
        return
    rows: list[tuple[object, ...]] = []
    for one in found:
        between = f"{_unit(one.post)} → {_unit(one.house)}"
        rows.append((between, one.said, "", "", "", ""))
        rows += [
            ("", f"{each.type} {each.epoch}", each.compared, each.agreed, each.resent or "", each.differing or "") for each in one.streams
        ]
    print_table(("between", "stream", "blocks", "agreed", "sent again", "differ"), rows)
    places = [line for one in found for each in one.differences for line in _place(one, each)]
    if places:
        typer.echo("These differ, and nobody heals that by machine:")
    for line in places:  # no table: whoever looks for an id wants it whole
        typer.echo(cleaned(line))


def _place(one: Reconciled, each: Differing) -> Iterator[str]:
    yield f"  {_unit(one.post)} → {_unit(one.house)}: {each.type} {each.epoch}/{each.sequence}, {each.what}, {utc_text(each.found_at_utc)}"
    yield f"    here   {each.event_id or 'nothing'} {each.digest or ''}"
    yield f"    there  {each.house_event_id or 'nothing'} {each.house_digest or ''}"


def _unit(urn: str) -> str:
    return Party.of_urn(urn).unit
