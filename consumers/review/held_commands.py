"""`panj held`: see what is held and why, in groups of like failures; have it tried again, released or discarded, and by whom."""

from __future__ import annotations

from typing import Annotated

import typer

from broker.operations.output import ConfigOption, JsonOption, print_json
from broker.settings.load import load_settings
from consumers.review import printing, showing
from consumers.review.acting import write_bytes
from consumers.review.desk import Desk
from consumers.review.options import BytesOption, OutOption
from consumers.review.order_commands import add_order_commands
from consumers.review.selecting import key_named
from consumers.review.shared_commands import add_decision, add_list, make_group
from consumers.review.values import Action, Kind

commands = make_group("Held events: trusted, but not to be finished for now. List, show, and decide.")

add_list(commands, Kind.HELD, "List what is held, oldest first: why, since when, how often it was tried, when it is tried next.")


@commands.command("show")
def show(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="The event's id.", show_default=False)],
    config: ConfigOption,
    exact: BytesOption = False,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of one event that is held or was: why, its claims, its signature's worth today, who decided what."""
    with Desk.of(load_settings(config)) as desk, desk.reading() as connection:
        key = key_named(connection, Kind.HELD, event_id)
        if exact or out is not None:
            write_bytes(showing.bytes_of_held(connection, key), out)
            return
        document = showing.held_document(desk, connection, key)
    if as_json:
        print_json(document)
    else:
        printing.print_document(document)


add_decision(
    commands, Kind.HELD, Action.REPLAY, "Try held events again at once, after what was wrong was mended. Ends with 0 where all load."
)
add_decision(
    commands,
    Kind.HELD,
    Action.RELEASE,
    "Have events loaded although a rule holds them: you have looked, and decide so. What the handler refuses or raises still counts.",
)
add_decision(
    commands,
    Kind.HELD,
    Action.DISCARD,
    "Refuse held events for good. Their sender is told your reason, and must send what is right as a new version.",
)
add_order_commands(commands, Kind.HELD)
