"""The commands about orders that `panj held` and `panj parked` share: approve, cancel, orders, resume."""

from __future__ import annotations

from typing import Annotated

import typer

from broker import audit
from broker.operations.output import ConfigOption, JsonOption, print_json
from broker.settings.load import load_settings
from consumers.review import orders, printing
from consumers.review.acting import Manner, follow, rehearse
from consumers.review.desk import Desk
from consumers.review.items import counts, items_of
from consumers.review.options import (
    WAIT_SECONDS,
    DryRunOption,
    LaterOption,
    LimitOption,
    OrderArgument,
    ReasonOption,
    WaitOption,
)
from consumers.review.values import Chosen, Kind, Order


def add_order_commands(commands: typer.Typer, kind: Kind) -> None:
    """Give a group the commands about its orders."""

    @commands.command("approve")
    def approve(
        number: OrderArgument,
        config: ConfigOption,
        dry_run: DryRunOption = False,
        later: LaterOption = False,
        wait: WaitOption = WAIT_SECONDS,
        as_json: JsonOption = False,
    ) -> None:
        """Let an order begin that waits for a second person: somebody else than who made it."""
        with Desk.of(load_settings(config)) as desk:
            if dry_run:
                raise typer.Exit(_rehearse_order(desk, kind, number, as_json=as_json))
            with desk.engine.begin() as connection:
                order = orders.approve(connection, number, kind, audit.actor(), desk.now())
            raise typer.Exit(follow(desk, order, Manner(dry_run=False, later=later, wait_seconds=wait, as_json=as_json)))

    @commands.command("cancel")
    def cancel(
        number: OrderArgument,
        config: ConfigOption,
        reason: ReasonOption = None,
        dry_run: DryRunOption = False,
        as_json: JsonOption = False,
    ) -> None:
        """End an order that waits or runs: what of it is not done stays as it is."""
        with Desk.of(load_settings(config)) as desk:
            if dry_run:
                with desk.reading() as connection:
                    order = orders.find(connection, number, kind)
                orders.check_open(order)
                _tell(desk, order, as_json=as_json)
                return
            said = audit.worded(reason or "")
            with desk.engine.begin() as connection:
                order = orders.cancel(connection, number, kind, audit.actor(), said, desk.now())
            _tell(desk, order, as_json=as_json)

    @commands.command("orders")
    def show_orders(
        config: ConfigOption,
        number: Annotated[int | None, typer.Argument(metavar="[ORDER]", help="One order, with its items.", show_default=False)] = None,
        open_only: Annotated[bool, typer.Option("--open", help="Only those that wait or run.")] = False,
        limit: LimitOption = 50,
        as_json: JsonOption = False,
    ) -> None:
        """List the orders, the latest first; or show one with what became of each item."""
        with Desk.of(load_settings(config)) as desk:
            if number is not None:
                with desk.reading() as connection:
                    order = orders.find(connection, number, kind)
                _tell(desk, order, as_json=as_json)
                return
            with desk.reading() as connection:
                found = orders.listed(connection, kind, open_only=open_only, limit=limit)
            if as_json:
                print_json([printing.order_document(order, sums) for order, sums in found])
            else:
                printing.print_orders(found, desk.now())

    @commands.command("resume")
    def resume(
        number: OrderArgument,
        config: ConfigOption,
        dry_run: DryRunOption = False,
        wait: WaitOption = WAIT_SECONDS,
        as_json: JsonOption = False,
    ) -> None:
        """Go on with an order that was interrupted while no house ran; a running house does so by itself."""
        with Desk.of(load_settings(config)) as desk:
            if dry_run:
                raise typer.Exit(_rehearse_order(desk, kind, number, as_json=as_json))
            with desk.reading() as connection:
                order = orders.find(connection, number, kind)
            orders.check_open(order)
            raise typer.Exit(follow(desk, order, Manner(dry_run=False, later=False, wait_seconds=wait, as_json=as_json)))


def _tell(desk: Desk, order: Order, *, as_json: bool) -> None:
    with desk.reading() as connection:
        sums, items = counts(connection, order.number), items_of(connection, order.number)
    if as_json:
        print_json(printing.order_document(order, sums, items))
        return
    printing.print_orders([(order, sums)], desk.now())
    printing.print_items(items)


def _rehearse_order(desk: Desk, kind: Kind, number: int, *, as_json: bool) -> int:
    with desk.reading() as connection:
        order = orders.find(connection, number, kind)
        items = [Chosen(item.key, item.queue, item.code) for item in items_of(connection, number) if item.outcome is None]
    orders.check_open(order)
    found = rehearse(desk, kind, order.action, items)
    if as_json:
        print_json(printing.rehearsal_document(found))
    else:
        printing.print_rehearsed(kind, found)
    return int(any(not one.outcome.is_wanted(order.action) for one in found))
