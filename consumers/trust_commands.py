"""`panj trust`: what a stolen key could have done in the customs house, for people to look at. How it is found stands in `backdating`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any

import typer

from broker.operations.instants import parse_instant
from broker.operations.output import ConfigOption, JsonOption, print_json
from broker.settings.load import load_settings
from broker.trust.anchors import TrustStore
from consumers.backdating import Backdatable, Suspected, Why, anything, suspected
from consumers.house import house_of
from consumers.operations import reading
from schemas.errors import cleaned
from schemas.event import utc_text

commands = typer.Typer(name="trust", no_args_is_help=True, help="After a theft: what a revoked certificate signed, and when it came.")


@commands.callback()
def _group() -> None:
    """Keep `review` a word of its own, for more to stand beside it."""


@commands.command()
def review(
    config: ConfigOption,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DATE", help="The day of the theft, where it is known: look from then on (UTC).")
    ] = None,
    before_days: Annotated[int, typer.Option("--before-days", min=0, help="How long before the revocation to look, without --since.")] = 30,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Show at most so many events of each certificate; --json gives all.")] = 200,
    as_json: JsonOption = False,
) -> None:
    """List what a thief could have backdated: events signed with a certificate that the newest CRLs revoke, by when they came here.

    Ends with 1 where there is something to look at. Nothing is changed. What was moved into the archive is not looked at.
    """
    settings = load_settings(config)
    trust = TrustStore.of(settings)
    since_utc = None if since is None else parse_instant(since, "--since")
    with reading(house_of(settings).database) as connection:
        found = [] if connection is None else list(suspected(connection, trust, timedelta(days=before_days), since_utc))
    if as_json:
        print_json([_document(each) for each in found])
    elif not found:
        typer.echo("No certificate that ever signed what is kept here is revoked by the newest CRLs.")
    else:
        for each in found:
            _print(each, limit)
    raise typer.Exit(1 if anything(found) else 0)


def _document(one: Suspected) -> dict[str, Any]:
    return {
        "unit": one.urn,
        "fingerprint": one.fingerprint,
        "serial": one.revocation.serial,
        "crl_number": str(one.revocation.crl.number),
        "revoked_since": utc_text(one.revocation.since_utc),
        "looked_from": utc_text(one.looked_from_utc),
        "earlier": one.earlier,
        "events": [
            {**asdict(event), "signed_at_utc": utc_text(event.signed_at_utc), "received_at_utc": utc_text(event.received_at_utc)}
            for event in one.events
        ],
    }


def _print(one: Suspected, limit: int) -> None:
    revocation = one.revocation
    typer.echo(
        f"{one.urn}, certificate {one.fingerprint[:16]}…: serial {revocation.serial} is revoked since {utc_text(revocation.since_utc)}"
    )
    typer.echo(
        f"by CRL {revocation.crl.number}. Looked at: {len(one.events)} from {utc_text(one.looked_from_utc)} on; {one.earlier} came before."
    )
    for reason in Why:
        if any(event.why is reason for event in one.events[:limit]):
            typer.echo(f"  {reason}:")
        for event in one.events[:limit]:
            if event.why is reason:
                typer.echo(f"    {_line(event)}")
    if len(one.events) > limit:
        typer.echo(f"  … and {len(one.events) - limit} more: --limit, or --json for all")


def _line(event: Backdatable) -> str:
    name = event.reference if event.version is None else f"{event.reference} version {event.version}"
    times = f"came {utc_text(event.received_at_utc)}, claims {utc_text(event.signed_at_utc)}"
    return cleaned(f"{event.event_id}  {event.fate:<7}  {times}  {name}, {event.type}")
