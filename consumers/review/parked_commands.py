"""`panj parked`: see what came and is not to be trusted, and why; have it opened again once the trust is mended, or close it."""

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
from schemas.errors import UsageError

commands = make_group("Parked messages: not to be trusted or opened, never answered. List, show, and decide.")

add_list(commands, Kind.PARKED, "List what is parked and not closed, oldest first: why, what it claims to be, how often it came.")


@commands.command("show")
def show(
    digest: Annotated[str, typer.Argument(metavar="DIGEST", help="The first digits of its digest, 8 at least.", show_default=False)],
    config: ConfigOption,
    exact: BytesOption = False,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of one parked row: why, its headers, what it claims, whether it could be opened today, who decided what."""
    with Desk.of(load_settings(config)) as desk, desk.reading() as connection:
        key = key_named(connection, Kind.PARKED, digest)
        if exact or out is not None:
            body = showing.bytes_of_parked(connection, key)
            if body is None:
                raise UsageError("parked-incomplete", "it was too large to be kept", value=key)
            write_bytes(body, out)
            return
        document = showing.parked_document(desk, connection, key)
    if as_json:
        print_json(document)
    else:
        printing.print_document(document)


add_decision(
    commands,
    Kind.PARKED,
    Action.REPLAY,
    "Open parked messages again as if they arrived now, with every check. What cannot be opened stays parked.",
)
add_decision(
    commands,
    Kind.PARKED,
    Action.DISCARD,
    "Close parked rows: you have judged them. They are kept, nobody is answered, and the alarm ends.",
)
add_order_commands(commands, Kind.PARKED)
