"""How `panj held` and `panj parked` show lists, groups, dry runs, orders and single rows: documents for programs, tables for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import typer

from broker.operations.output import console, print_table
from consumers.review.groups import Group
from consumers.review.rehearsal import Rehearsed
from consumers.review.selecting import Waiting
from consumers.review.values import Item, Kind, Order
from schemas.errors import cleaned

_DIGITS = 12  # of a digest in a table
_LONG, _LONG_WORD = 4_000, 200  # characters that a table still shows: of a traceback, of a signature
_LEFT_TO_A_PERSON = "left to a person"


def age(since_utc: datetime, now_utc: datetime) -> str:
    """How long ago, in the largest two units: `3 d 4 h`."""
    seconds = max(0, int((now_utc - since_utc).total_seconds()))
    for unit, size, smaller, small in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= size:
            rest = seconds % size // small
            return f"{seconds // size} {unit} {rest} {smaller}" if rest else f"{seconds // size} {unit}"
    return f"{seconds} s"


def next_try(one: Waiting, now_utc: datetime) -> str:
    """When a held event is tried again."""
    if one.next_attempt_at_utc is None:
        return _LEFT_TO_A_PERSON
    return "now" if one.next_attempt_at_utc <= now_utc else f"in {age(now_utc, one.next_attempt_at_utc)}"


def waiting_document(one: Waiting, now_utc: datetime, order: int | None) -> dict[str, Any]:
    """One open row for programs."""
    common = {
        "source": one.source,
        "lane": one.lane,
        "queue": one.queue,
        "code": one.code,
        "problem": cleaned(one.problem),
        "group": one.group,
        "age_seconds": int((now_utc - one.first_utc).total_seconds()),
        "in_order": order,
    }
    if one.kind is Kind.PARKED:
        seen = {"times": one.times, "first_seen_utc": one.first_utc, "last_seen_utc": one.last_utc, "whole": one.whole}
        return {"digest": one.key, **common, **seen}
    return {
        "event_id": one.key,
        "reference": one.reference,
        "version": one.version,
        "type": one.type,
        **common,
        "exception": one.exception,
        "attempts": one.times,
        "first_held_at_utc": one.first_utc,
        "next_attempt_at_utc": one.next_attempt_at_utc,
        "released_by_order": one.released_by_order,
    }


def print_waiting(
    kind: Kind, rows: Sequence[Waiting], now_utc: datetime, orders: Mapping[str, int], total: int, page: int, limit: int
) -> None:
    """A page of open rows for people, and where the next page is."""
    if not total:
        console().print(f"Nothing is {kind}.")
        return
    if kind is Kind.HELD:
        columns = ("event", "declaration", "from", "queue", "why", "age", "tried", "next try")
        cells = [
            (
                one.key,
                f"{one.reference} v{one.version}" if one.version else one.reference,
                _unit(one.source),
                one.queue,
                _why(one) + _in_order(orders.get(one.key)),
                age(one.first_utc, now_utc),
                one.times,
                next_try(one, now_utc),
            )
            for one in rows
        ]
    else:
        columns = ("digest", "lane", "claims to be", "queue", "why", "age", "times", "last seen")
        cells = [
            (
                one.key[:_DIGITS],
                one.lane,
                _unit(one.source),
                one.queue,
                _why(one) + _in_order(orders.get(one.key)),
                age(one.first_utc, now_utc),
                one.times,
                f"{age(one.last_utc, now_utc)} ago",
            )
            for one in rows
        ]
    first = (page - 1) * limit + 1
    shown = f"{first}–{first + len(rows) - 1} of " if rows and total > len(rows) else ""
    print_table(columns, cells, title=f"{shown}{total} {kind}, oldest first")
    if first + len(rows) <= total:
        console().print(f"--page {page + 1} shows the next ones; list --groups puts like ones together.")


def group_document(group: Group) -> dict[str, Any]:
    """One group for programs."""
    return {
        "group": group.name,
        "place": group.place,
        "code": group.code,
        "shape": cleaned(group.shape),
        "count": group.count,
        "first_utc": group.first_utc,
        "last_utc": group.last_utc,
        "example": cleaned(group.example),
    }


def print_groups(kind: Kind, groups: Sequence[Group], now_utc: datetime) -> None:
    """Groups for people, the largest first."""
    if not groups:
        console().print(f"Nothing is {kind}.")
        return
    cells = [
        (
            group.name,
            group.count,
            group.place,
            f"{group.code}\n{cleaned(group.shape)}",
            age(group.first_utc, now_utc),
            age(group.last_utc, now_utc),
        )
        for group in groups
    ]
    title = f"{sum(group.count for group in groups)} {kind}, in {len(groups)} groups"
    print_table(("group", "count", "queue" if kind is Kind.HELD else "lane, queue", "why", "oldest", "youngest"), cells, title=title)


def rehearsed_document(one: Rehearsed) -> dict[str, Any]:
    """What would become of one item, for programs."""
    problem = one.problem.model_dump(exclude_none=True) if one.problem else None
    said = {"key": one.key, "outcome": one.outcome, "problem": problem, "exception": one.exception}
    return said | ({"event_id": one.event_id, "known": one.again} if one.event_id else {})


def rehearsal_document(found: Sequence[Rehearsed]) -> dict[str, Any]:
    """A dry run for programs."""
    sums = Counter(one.outcome.value for one in found)
    return {"dry_run": True, "items": [rehearsed_document(one) for one in found], "outcomes": dict(sums)}


def print_rehearsed(kind: Kind, found: Sequence[Rehearsed]) -> None:
    """A dry run for people: each item, then the sums."""
    cells = []
    for one in found:
        key = one.key if kind is Kind.HELD else f"{one.key[:_DIGITS]}\n{one.event_id or ''}".rstrip()
        again = " (taken in before)" if one.again else ""
        why = "\n".join(filter(None, (str(one.problem) if one.problem else "", one.exception or "")))
        cells.append((key, f"{one.outcome}{again}", cleaned(why)))
    print_table(("event" if kind is Kind.HELD else "digest", "would be", "why"), cells, title="dry run: nothing was changed")
    console().print(f"Would be: {_sums(Counter(one.outcome.value for one in found))}.")


def order_document(order: Order, sums: Mapping[str, int], items: Sequence[Item] = ()) -> dict[str, Any]:
    """One order for programs."""
    document: dict[str, Any] = {
        "number": order.number,
        "kind": order.kind,
        "action": order.action,
        "state": order.state,
        "reason": cleaned(order.reason),
        "chosen": order.chosen,
        "ordered_by": order.ordered_by,
        "ordered_at_utc": order.ordered_at_utc,
        "expires_at_utc": order.expires_at_utc,
        "approved_by": order.approved_by,
        "approved_at_utc": order.approved_at_utc,
        "finished_at_utc": order.finished_at_utc,
        "outcomes": dict(sums),
    }
    if items:
        document["items"] = [
            {"key": item.key, "queue": item.queue, "code": item.code, "outcome": item.outcome, "outcome_code": item.outcome_code}
            | {"done_at_utc": item.done_at_utc}
            for item in items
        ]
    return document


def print_orders(orders: Sequence[tuple[Order, Mapping[str, int]]], now_utc: datetime) -> None:
    """Orders for people, the latest first."""
    if not orders:
        console().print("No orders.")
        return
    cells = []
    for order, sums in orders:
        state = "expired" if order.is_over(now_utc) else order.state
        who = order.ordered_by if order.approved_by is None else f"{order.ordered_by}, approved by {order.approved_by}"
        cells.append((order.number, order.action, state, who, f"{order.ordered_at_utc:%Y-%m-%d %H:%M}", _sums(sums), cleaned(order.reason)))
    print_table(("order", "action", "state", "by", "when (UTC)", "items", "reason"), cells)


def print_items(items: Sequence[Item]) -> None:
    """An order's items for people."""
    print_table(
        ("item", "queue", "was", "outcome", "why"),
        [(item.key, item.queue, item.code, item.outcome or "open", item.outcome_code) for item in items],
    )


def print_order(order: Order, sums: Mapping[str, int], now_utc: datetime) -> None:
    """What has become of an order, in a sentence."""
    count = sum(sums.values())
    what = f"Order {order.number} ({order.action}, {count} item{'' if count == 1 else 's'})"
    if order.state.value == "waiting" and order.expires_at_utc is not None:
        left = age(now_utc, order.expires_at_utc)
        typer.echo(f'{what} waits for a second person, for {left}: "panj {order.kind} approve {order.number}", with another login.')
        return
    more = f' The house does the rest when it runs: "panj {order.kind} orders {order.number}".' if order.state.value == "running" else ""
    typer.echo(f"{what} is {order.state}: {_sums(sums)}.{more}")


def print_document(document: Mapping[str, Any]) -> None:
    """A nested document for people: one line a value, lists of documents as lines of their own."""
    rows: list[tuple[str, str]] = []
    for name, value in document.items():
        _flatten(rows, name, value)
    print_table(("what", "value"), rows)


def _flatten(rows: list[tuple[str, str]], name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        for inner, each in value.items():
            _flatten(rows, f"{name}.{inner}", each)
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for position, each in enumerate(value, 1):
            rows.append((f"{name} {position}", ", ".join(f"{key} {_cell(cell)}" for key, cell in each.items() if cell not in (None, ""))))
    elif value not in (None, [], ""):
        text = _cell(value)
        long = len(text) > (_LONG if " " in text else _LONG_WORD)
        rows.append((name, f"{text[:100]}… ({len(text):,} characters; --json shows all)" if long else text))


def _cell(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S} UTC" if isinstance(value, datetime) else str(value)


def _sums(sums: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(sums.items())) or "nothing"


def _unit(source: str | None) -> str:
    return "–" if source is None else source.removeprefix("urn:customs:").replace(":", "-", 1)


def _why(one: Waiting) -> str:
    return cleaned(one.problem) + (f"\n{one.exception}" if one.exception else "") + ("\nreleased" if one.released_by_order else "")


def _in_order(number: int | None) -> str:
    return "" if number is None else f"\nin order {number}"
