"""`panj pki`: the pilot authority from the command line. What it does stands in `authority`; docs/pki.md is the operator's page."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from broker.audit import actor
from broker.settings.load import load_settings
from broker.settings.model import Settings
from broker.topology.management import ManagementApi
from broker.topology.shut import shut
from broker.trust.authority import CA_DAYS, CRL_DAYS, LEAF_DAYS, Authority, create_authority, encryption_name
from broker.trust.keys import make_key, read_certificates, read_key, replace_pair, request, write_atomically
from broker.trust.register import Issued, Kind
from schemas.errors import PanjError, SettingsError, UsageError
from schemas.names import HOUSE, Party

commands = typer.Typer(
    name="pki", help="Keys and certificates of a pilot: make an authority, request, issue, renew, revoke, list.", no_args_is_help=True
)

Pki = Annotated[Path, typer.Option("--pki", help="the authority's directory")]
Days = Annotated[int, typer.Option("--days", help="how long it is valid")]
Unit = Annotated[str | None, typer.Option("--unit", help="one of our units: a post's name, or customs for the house")]
Link = Annotated[str | None, typer.Option("--link", help="the partner's country, such as af")]
Server = Annotated[str | None, typer.Option("--server", help="the name of our broker's certificate")]
Country = Annotated[str | None, typer.Option("--country", help="our own country, where no authority is in the directory")]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="PANJ_CONFIG",
        show_default=False,
        help="exchange.toml: the CRL goes to its [home] crls too, from where it crosses",
    ),
]
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
    country: Country = None,
    renew: Annotated[bool, typer.Option("--renew", help="make the next key beside the one in use, which goes on until `install`")] = False,
) -> None:
    """Make a key and a signing request: for a unit's own machine, or for our link to a partner (whose authority then issues it)."""
    name, own = _own_name(pki, unit, link, country)
    pki.mkdir(parents=True, exist_ok=True)
    key = pki / (f"{name}.key.new" if renew else f"{name}.key")
    if not (renew and key.exists()):  # asked again before the answer came: the same key, so that either answer fits
        make_key(key)
    write_atomically(pki / f"{name}.csr", request(key, name if unit else f"link-{own}"))
    issue = f"panj pki issue {name}.csr --unit {unit}" if unit else f"panj pki issue {name}.csr --link {own}"
    whose = f"--unit {unit}" if unit else f"--link {link}"
    typer.echo(f"give {pki / f'{name}.csr'} to the authority, which runs: {issue}; then here: panj pki install ANSWER {whose}")


@commands.command()
def install(
    certificate: Annotated[Path, typer.Argument(help="what the authority answered (PEM)")],
    *,
    pki: Pki = HERE,
    unit: Unit = None,
    link: Link = None,
    country: Country = None,
) -> None:
    """Put an issued certificate beside its key, in place of the old pair where it is a renewal. Running daemons take it up."""
    name, _ = _own_name(pki, unit, link, country)
    key, place = pki / f"{name}.key", pki / f"{name}.pem"
    waiting = key.with_name(f"{name}.key.new")
    public = read_certificates(certificate)[0].public_key()
    if waiting.exists() and read_key(waiting).public_key() == public:
        replace_pair(key, place, _read(certificate))
    elif read_key(key).public_key() == public:
        write_atomically(place, _read(certificate))
    else:
        raise SettingsError("key-mismatch", f"the certificate was issued for neither {key.name} nor {waiting.name}", field=str(certificate))
    typer.echo(f"installed {place} with the key {key}")


@commands.command()
def issue(
    csr: Annotated[Path | None, typer.Argument(help="the signing request (PEM); without it a key is made here")] = None,
    *,
    pki: Pki = HERE,
    unit: Unit = None,
    link: Link = None,
    name: Annotated[str | None, typer.Option("--name", help="with --link: another login than link-<country>, such as link-af-2")] = None,
    server: Server = None,
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
    if name is not None and link is None:
        raise UsageError("pki-arguments", "--name is for --link", value=name)
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
            called, pem = encryption_name(party), authority.issue_encryption(party, content, days=days)
        else:
            called, pem = party.unit, authority.issue_unit(party, content, days=days)
    elif link is not None:
        called, pem = name or f"link-{link}", authority.issue_link(content, link, name=name, days=days)
    else:
        called, pem = server or "", authority.issue_server(server or "", san or (), content, days=days)
    place = out or pki / f"{called}.pem"
    write_atomically(place, pem)
    typer.echo(f"issued {place}")


@commands.command()
def renew(
    unit: Annotated[str | None, typer.Argument(help="a post's name, or customs", show_default=False)] = None,
    *,
    server: Server = None,
    pki: Pki = HERE,
    days: Days = LEAF_DAYS,
) -> None:
    """Make a new key and certificate for one of our units or our broker; the old pair stays until the new one takes its place."""
    if (unit is None) == (server is None):
        raise UsageError("pki-arguments", "give either a unit or --server")
    authority = Authority.load(pki)
    pair = authority.renew_server(server, days=days) if server else authority.renew_unit(_party(authority.country, unit), days=days)
    taken = "the broker shows it within some minutes" if server else "the unit's daemon takes it up by itself"
    typer.echo(f"renewed {pair.certificate} and {pair.key}: {taken}; the old certificate stays valid until it expires")


@commands.command()
def revoke(
    which: Annotated[
        str, typer.Argument(help="a serial or its first 12 digits (panj pki list), or a name that only one valid certificate has")
    ],
    *,
    pki: Pki = HERE,
    config: Config = None,
    reason: Annotated[str, typer.Option("--reason", help="kept at the broker where a link is shut out")] = "its certificate was revoked",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="tell what would be revoked, and change nothing")] = False,
) -> None:
    """Revoke a certificate and write a new CRL; with --config, put it where it crosses from, and shut a revoked link out at the broker."""
    authority = Authority.load(pki)
    settings = _settings_of(authority, config)
    found = _found(authority, which)
    if dry_run:
        typer.echo(f"would revoke {found.name} ({found.serial}), a {found.kind.value}'s, valid until {found.not_after_utc:%Y-%m-%d}")
        return
    revoked = authority.revoke(found.serial)
    typer.echo(f"revoked {revoked.name} ({revoked.serial}): {_where_it_goes(authority, settings)}")
    if revoked.kind is Kind.LINK:
        _shut_link(revoked, settings, reason)


@commands.command()
def crl(pki: Pki = HERE, days: Days = CRL_DAYS, config: Config = None) -> None:
    """Write a new CRL before the last one runs out; with --config, put it where it crosses from."""
    authority = Authority.load(pki)
    settings = _settings_of(authority, config)
    authority.write_crl(days=days)
    typer.echo(f"wrote {authority.crl}: {_where_it_goes(authority, settings)}")


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


def _own_name(pki: Path, unit: str | None, link: str | None, country: str | None) -> tuple[str, str]:
    """The name of one of our own pairs in the directory, and our country."""
    if (unit is None) == (link is None):
        raise UsageError("pki-arguments", "give either --unit or --link")
    own = country or Authority.load(pki).country
    return (_party(own, unit).unit if unit else f"link-to-{_party(link or '', 'customs').country}"), own


def _settings_of(authority: Authority, config: Path | None) -> Settings | None:
    """exchange.toml where one is named; UsageError where it is another administration's."""
    if config is None:
        return None
    settings = load_settings(config)
    if settings.country != authority.country:
        raise UsageError(
            "party-foreign", f"{config} is of {settings.country}, the authority of {authority.country}", value=settings.country
        )
    return settings


def _where_it_goes(authority: Authority, settings: Settings | None) -> str:
    """Bring the newest CRL to where the customs house sends it from, as far as we know the place; say so."""
    number = authority.register.crl_number
    if settings is None or settings.home is None:
        return f"put {authority.crl} (number {number}) into the directory that [home] crls names; from there it crosses by itself"
    place = settings.home.crls / authority.crl.name
    if not (place.exists() and place.samefile(authority.crl)):
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, authority.crl.read_bytes())
    return f"the CRL (number {number}) lies at {place}; the customs house sends it to the partners within seconds"


def _shut_link(revoked: Issued, settings: Settings | None, reason: str) -> None:
    """RabbitMQ asks for certificates only when a connection is made, and logs in by name: the name is shut out, what stands is closed."""
    country = revoked.name[5:7]
    by_hand = f'panj topology shut {country} --user {revoked.name} --reason "…"'
    if settings is None:
        typer.echo(f"its connection still stands: where the broker is managed, run: {by_hand}")
        return
    try:
        with ManagementApi(settings.broker.management) as api:
            shut(api, revoked.name, actor(), reason, datetime.now(UTC))
    except PanjError:
        typer.echo(f"it is revoked, but not shut out: when the broker answers, run: {by_hand}", err=True)
        raise
    typer.echo(
        f"{revoked.name} is shut out at the broker, its connections are closed. To let {country} in again: panj pki issue THEIR.csr "
        f"--link {country} --name link-{country}-2, set partners.{country}.link_user to that name, panj topology apply"
    )


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
