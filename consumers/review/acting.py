"""What `panj held` and `panj parked` do alike: list, show bytes, choose a set, rehearse it, order it, and tell what became of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from broker import audit
from broker.operations.output import print_json
from consumers.review import orders, printing
from consumers.review.desk import Desk
from consumers.review.doors import ConsumerDoor
from consumers.review.groups import group_failures
from consumers.review.items import counts, in_open_orders, items_of
from consumers.review.orders import Decision
from consumers.review.progress import see_through
from consumers.review.rehearsal import Rehearsed, incomplete, rehearse_discard, rehearse_held, rehearse_parked
from consumers.review.selecting import ORDER_ITEMS, Waiting, Wanted, rows_named, waiting_rows
from consumers.review.showing import problem_of_message
from consumers.review.values import Action, Chosen, Kind, Order, Outcome, State
from schemas.errors import UnavailableError, UsageError, shown


@dataclass(frozen=True, slots=True)
class Choice:
    """Which items a command is about: named ones, or all that fit the filters; `everything`: it was said that all are meant."""

    names: tuple[str, ...]
    wanted: Wanted
    everything: bool

    @property
    def said(self) -> str:
        """As it was typed."""
        return " ".join(self.names)[:2_000] or self.wanted.said() or "--all"


@dataclass(frozen=True, slots=True)
class Manner:
    """How a command goes about it."""

    dry_run: bool
    later: bool
    wait_seconds: float
    as_json: bool


def show_list(desk: Desk, kind: Kind, wanted: Wanted, *, groups: bool, page: int, limit: int, as_json: bool) -> None:
    """A page of what waits, or its groups."""
    now = desk.now()
    with desk.reading() as connection:
        rows = waiting_rows(connection, kind, wanted, now)
        part = rows[(page - 1) * limit : page * limit]
        taken = in_open_orders(connection, [one.key for one in part])
    if groups:
        found = group_failures(one.failure for one in rows)
        if as_json:
            print_json({"groups": [printing.group_document(group) for group in found]})
        else:
            printing.print_groups(kind, found, now)
    elif as_json:
        listed = [printing.waiting_document(one, now, taken.get(one.key)) for one in part]
        print_json({kind.value: listed, "total": len(rows), "page": page, "limit": limit})
    else:
        printing.print_waiting(kind, part, now, taken, len(rows), page, limit)


def write_bytes(content: bytes, out: Path | None) -> None:
    """Write exact bytes to a new file (mode 0600) or to standard output; UnavailableError or UsageError where the file cannot be made."""
    if out is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError("file-exists", "it is not overwritten: name another one", field="--out", value=shown(out)) from None
    except OSError as error:
        raise UnavailableError("file-unwritable", f"it cannot be written: {error.strerror}", field=shown(out)) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def act(desk: Desk, kind: Kind, action: Action, choice: Choice, reason: str | None, manner: Manner) -> None:
    """Choose a set and have it done, or rehearsed. Leaves with 0, 1 (something did not come out as wanted) or 3 (not done in time)."""
    rows, left_out = _choose(desk, kind, choice)
    items = tuple(one.chosen for one in rows)
    if action is not Action.DISCARD:
        desk.check_served(kind, items)
    if manner.dry_run:
        raise typer.Exit(_rehearse(desk, kind, action, items, as_json=manner.as_json))
    if kind is Kind.PARKED and action is Action.REPLAY and choice.names:
        _refuse_incomplete(rows)
    decision = Decision(kind, action, audit.worded(reason or ""), choice.said, items)
    with desk.engine.begin() as connection:
        order = orders.make(connection, decision, audit.actor(), desk.waits_until(action), desk.now())
    if left_out and not manner.as_json:
        typer.echo(f"{left_out} more stand in open orders already and were left out.")
    raise typer.Exit(follow(desk, order, manner))


def follow(desk: Desk, order: Order, manner: Manner) -> int:
    """See an order through, tell what became of it, and give the exit code."""
    if order.state is State.RUNNING and not manner.later:
        order = see_through(desk, order.number, manner.wait_seconds)
    with desk.reading() as connection:
        order = orders.find(connection, order.number)
        sums, items = counts(connection, order.number), items_of(connection, order.number)
    if manner.as_json:
        print_json(printing.order_document(order, sums, items))
    else:
        printing.print_order(order, sums, desk.now())
        unwanted = [item for item in items if item.outcome and not item.outcome.is_wanted(order.action)]
        if unwanted:
            printing.print_items(unwanted)
    if order.state is State.RUNNING and not manner.later:
        return 3
    return int(any(item.outcome and not item.outcome.is_wanted(order.action) for item in items))


def _choose(desk: Desk, kind: Kind, choice: Choice) -> tuple[list[Waiting], int]:
    """The items that are meant, and how many were left out because they stand in open orders."""
    filtered = bool(choice.wanted.said())
    if sum((bool(choice.names), filtered, choice.everything)) != 1:
        text = "say which: ids, or filters such as --group, or --all; one of the three"
        raise UsageError("selection-unclear", text, value=choice.said if choice.names else None)
    with desk.engine.begin() as connection:
        orders.expire(connection, desk.now())
    with desk.reading() as connection:
        if choice.names:
            return rows_named(connection, kind, choice.names), 0
        rows = waiting_rows(connection, kind, choice.wanted, desk.now())
        taken = in_open_orders(connection, [one.key for one in rows])
    left = [one for one in rows if one.key not in taken]
    if not left:
        what = f"the {len(taken)} that fit stand in open orders already" if taken else f"nothing that is {kind} fits"
        raise UsageError("selection-empty", what, value=choice.said)
    if len(left) > ORDER_ITEMS:
        raise UsageError(
            "selection-too-large", f"at most {ORDER_ITEMS:,} in one order: narrow it, by --group or --older-than", value=len(left)
        )
    return left, len(taken)


def _refuse_incomplete(rows: Sequence[Waiting]) -> None:
    for one in rows:
        if not one.whole:
            raise UsageError("parked-incomplete", incomplete().text, value=one.key)


def _rehearse(desk: Desk, kind: Kind, action: Action, items: tuple[Chosen, ...], *, as_json: bool) -> int:
    found = rehearse(desk, kind, action, items)
    if as_json:
        print_json(printing.rehearsal_document(found))
    else:
        printing.print_rehearsed(kind, found)
    return int(any(not one.outcome.is_wanted(action) for one in found))


def rehearse(desk: Desk, kind: Kind, action: Action, items: Sequence[Chosen]) -> list[Rehearsed]:
    """What would become of each item, queue by queue."""
    if action is Action.DISCARD:
        with desk.reading() as connection:
            return rehearse_discard(connection, kind, items)
    found: list[Rehearsed] = []
    for queue in sorted({item.queue for item in items}):
        ours = [item for item in items if item.queue == queue]
        pipeline = desk.pipelines.get(queue)
        if pipeline is None:
            found.extend(_rehearse_control(desk, item) for item in ours)
        elif kind is Kind.HELD:
            found.extend(rehearse_held(pipeline, ours, action))
        else:
            found.extend(rehearse_parked(ConsumerDoor(pipeline), ours))
    return found


def _rehearse_control(desk: Desk, item: Chosen) -> Rehearsed:
    """A control message is opened with the trust of today; what it says is taken by the running house alone."""
    with desk.reading() as connection:
        problem = problem_of_message(desk, connection, item.key)
    return Rehearsed(item.key, Outcome.PARKED if problem else Outcome.OPENED, problem)
