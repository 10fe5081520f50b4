"""The arguments and options that `panj held` and `panj parked` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from broker.operations.instants import duration_of
from consumers.review.selecting import Wanted

CodeOption = Annotated[str | None, typer.Option("--code", help="Only what waits for this reason, such as handler-surprise.")]
QueueOption = Annotated[str | None, typer.Option("--queue", help="Only this queue's, as the list shows it.")]
LaneOption = Annotated[str | None, typer.Option("--lane", metavar="COUNTRY", help="Only what came from this country.")]
SourceOption = Annotated[str | None, typer.Option("--source", help="Only this post's: its URN, or its unit such as tj-panji-poyon.")]
OlderOption = Annotated[str | None, typer.Option("--older-than", metavar="AGE", help="Only what waits longer: 45m, 2h, 3d.")]
KeysArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ID]...", help="Which ones: held events by id, parked rows by the first digits of their digest.", show_default=False
    ),
]
GroupsOption = Annotated[bool, typer.Option("--groups", help="Put like failures together, with counts.")]
GroupOption = Annotated[str | None, typer.Option("--group", "-g", metavar="NAME", help="Only this group, as `list --groups` names it.")]
AllOption = Annotated[bool, typer.Option("--all", help="Every one that waits.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", "-r", help="Why, in your words: kept in the audit trail.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would happen to each, and change nothing.")]
LaterOption = Annotated[bool, typer.Option("--later", help="Only order it: the house does it when it runs.")]
WaitOption = Annotated[float, typer.Option("--wait", min=0, metavar="SECONDS", help="How long to wait for what becomes of it, at most.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many on a page.")]
PageOption = Annotated[int, typer.Option("--page", min=1, help="Which page.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write the exact bytes to a new file that only you may read.")
]
BytesOption = Annotated[bool, typer.Option("--bytes", help="Write the exact bytes to standard output, and nothing else.")]
OrderArgument = Annotated[int, typer.Argument(metavar="ORDER", help="The order's number.", show_default=False)]

WAIT_SECONDS = 60.0
PAGE = 50


def wanted_of(
    code: str | None, queue: str | None, lane: str | None, source: str | None, older_than: str | None, group: str | None
) -> Wanted:
    """The filters as a value; UsageError `duration-invalid`."""
    age = None if older_than is None else duration_of(older_than)
    return Wanted(code=code, queue=queue, lane=lane, source=source, older_than=age, group=group and group.lower())
