"""`panj pki`: the pilot authority from the command line. What it does stands in `authority`; docs/pki.md is the operator's page."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from broker.trust.authority import CA_DAYS, CRL_DAYS, LEAF_DAYS, Authority, create_authority, encryption_name
from broker.trust.keys import make_key, request, write_atomically
from broker.trust.register import Issued
from schemas.errors import SettingsError, UsageError
from schemas.names import HOUSE, Party

commands = typer.Typer(
    name="pki", help="Keys and certificates of a pilot: make an authority, request, issue, renew, revoke, list.", no_args_is_help=True
)

Pki = Annotated[Path, typer.Option("--pki", help="the authority's directory")]
Days = Annotated[int, typer.Option("--days", help="how long it is valid")]
Unit = Annotated[str | None, typer.Option("--unit", help="one of our units: a post's name, or customs for the house")]
Link = Annotated[str | None, typer.Option("--link", help="the partner's country, such as af")]
HERE = Path("pki")
_SERIAL_SHOWN = 12  # of 40 hex digits: enough to name one certificate


@commands.command()
def init(country: Annotated[str, typer.Argument(help="ISO 3166-1 alpha-2, such as tj")], pki: Pki = HERE, days: Days = CA_DAYS) -> None:
    """Make a new authority: its key and certificate (the anchor that partners pin) and a first, empty CRL."""
    _party(country, "customs")
    authority = create_authority(pki, country, days=days)
    typer.echo(
        f"authority of {country}: give {authority.anchor} and {authority.crl} to your partners; keep {pki / 'ca.key'} off the network"
    )


@commands.command(name="request")
def request_command(
    pki: Pki = HERE,
    unit: Unit = None,
    link: Link = None,
    country: Annotated[str | None, typer.Option("--country", help="our own country, where no authority is in the directory")] = None,
) -> None:
    """Make a key and a signing request: for a unit's own machine, or for our link to a partner (whose authority then issues it)."""
    if (unit is None) == (link is None):
        raise UsageError("pki-arguments", "give either --unit or --link")
    own = country or Authority.load(pki).country
    name = _party(own, unit).unit if unit else f"link-to-{_party(link or '', 'customs').country}"
    pki.mkdir(parents=True, exist_ok=True)
    make_key(pki / f"{name}.key")
    write_atomically(pki / f"{name}.csr", request(pki / f"{name}.key", name if unit else f"link-{own}"))
    issue = f"panj pki issue {name}.csr --unit {unit}" if unit else f"panj pki issue {name}.csr --link {own}"
    typer.echo(f"give {pki / f'{name}.csr'} to the authority, which runs: {issue}; put its answer at {pki / f'{name}.pem'}")


@commands.command()
def issue(
    csr: Annotated[Path | None, typer.Argument(help="the signing request (PEM); without it a key is made here")] = None,
    *,
    pki: Pki = HERE,
    unit: Unit = None,
    link: Link = None,
    server: Annotated[str | None, typer.Option("--server", help="the name of our broker's certificate")] = None,
    encryption: Annotated[bool, typer.Option("--encryption", help="with --unit customs: the key that partners encrypt to")] = False,
    san: Annotated[list[str] | None, typer.Option("--san", help="a host name or IP address of the broker; may be given again")] = None,
    days: Days = LEAF_DAYS,
    out: Annotated[Path | None, typer.Option("--out", help="where the certificate goes")] = None,
) -> None:
    """Issue a certificate for a unit, for our broker, or for the link of a partner (only from the partner's request)."""
    if sum(choice is not None for choice in (unit, link, server)) != 1:
        raise UsageError("pki-arguments", "give one of --unit, --link and --server")
    if encryption and unit != HOUSE:
        raise UsageError("pki-arguments", "partners encrypt to the customs house: give --unit customs with --encryption", value=unit)
    authority = Authority.load(pki)
    if csr is None:
        if out is not None or link is not None:
            raise UsageError("pki-arguments", "a link's certificate, or one with --out, needs a signing request")
        if unit:
            create = authority.create_encryption if encryption else authority.create_unit
            pair = create(_party(authority.country, unit), days=days)
        else:
            pair = authority.create_server(server or "", san or (), days=days)
        typer.echo(f"issued {pair.certificate} with the key {pair.key}")
        return
    content = _read(csr)
    if unit is not None:
        party = _party(authority.country, unit)
        if encryption:
            name, pem = encryption_name(party), authority.issue_encryption(party, content, days=days)
        else:
            name, pem = party.unit, authority.issue_unit(party, content, days=days)
    elif link is not None:
        name, pem = f"link-{link}", authority.issue_link(content, link, days=days)
    else:
        name, pem = server or "", authority.issue_server(server or "", san or (), content, days=days)
    place = out or pki / f"{name}.pem"
    write_atomically(place, pem)
    typer.echo(f"issued {place}")


@commands.command()
def renew(unit: Annotated[str, typer.Argument(help="a post's name, or customs")], pki: Pki = HERE, days: Days = LEAF_DAYS) -> None:
    """Make a new key and certificate for one of our units; the old pair stays until the new one takes its place in one step."""
    authority = Authority.load(pki)
    pair = authority.renew_unit(_party(authority.country, unit), days=days)
    typer.echo(f"renewed {pair.certificate} and {pair.key}: restart the unit's daemon; the old certificate stays valid until it expires")


@commands.command()
def revoke(
    which: Annotated[
        str, typer.Argument(help="a serial or its first 12 digits (panj pki list), or a name that only one valid certificate has")
    ],
    pki: Pki = HERE,
) -> None:
    """Revoke a certificate and write a new CRL."""
    authority = Authority.load(pki)
    revoked = authority.revoke(_found(authority, which).serial)
    typer.echo(f"revoked {revoked.name} ({revoked.serial}): give {authority.crl} (number {authority.register.crl_number}) to your partners")


@commands.command()
def crl(pki: Pki = HERE, days: Days = CRL_DAYS) -> None:
    """Write a new CRL before the last one runs out."""
    authority = Authority.load(pki)
    authority.write_crl(days=days)
    typer.echo(f"wrote {authority.crl} (number {authority.register.crl_number})")


@commands.command(name="list")
def list_command(pki: Pki = HERE, as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False) -> None:
    """List what the authority issued, what expires first on top."""
    now = datetime.now(UTC)
    rows = sorted(Authority.load(pki).register.issued, key=lambda each: each.not_after_utc)
    if as_json:
        typer.echo(json.dumps([each.model_dump(mode="json") | {"state": each.state(now)} for each in rows], indent=1))
        return
    table = Table("name", "kind", "state", "days left", "not after", "serial begins")
    for each in rows:
        left = str((each.not_after_utc - now).days) if each.state(now) == "valid" else ""
        table.add_row(each.name, each.kind.value, each.state(now), left, f"{each.not_after_utc:%Y-%m-%d}", each.serial[:_SERIAL_SHOWN])
    Console().print(table)


def _party(country: str, name: str | None) -> Party:
    try:
        return Party.of_urn(f"urn:customs:{country}:{name}")
    except ValueError:
        raise UsageError(
            "party-invalid", "a country is two lower-case letters, a unit's name lower-case words with hyphens", value=f"{country} {name}"
        ) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError("file-unreadable", f"cannot read the signing request: {error.strerror}", field=str(path)) from None


def _found(authority: Authority, which: str) -> Issued:
    now = datetime.now(UTC)
    issued = authority.register.issued
    by_serial = [each for each in issued if len(which) >= _SERIAL_SHOWN and each.serial.startswith(which.lower())]
    by_name = [each for each in issued if each.name in (which, f"{authority.country}-{which}") and each.state(now) == "valid"]
    found = by_serial or by_name
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError("serial-unknown", 'no valid certificate has that serial or name: see "panj pki list"', value=which)
    serials = ", ".join(each.serial[:_SERIAL_SHOWN] for each in found)
    raise UsageError("pki-arguments", f"{len(found)} valid certificates have that name: give a serial ({serials})"[:500], value=which)
