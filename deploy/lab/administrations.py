"""Two administrations as they are set up for demo, tests and benchmarks: who they are, their pilot authorities, and their exchange.toml.

Starting nodes and daemons stands in `laboratory`; here only files are written.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from broker.settings.load import load_settings
from broker.settings.model import KeyPair, Settings
from broker.trust.authority import Authority, create_authority
from broker.trust.keys import make_key, request, write_atomically
from schemas.names import HOUSE, EventType, Party

EXCHANGED = (EventType.EXPORT_DECLARATION, EventType.TRANSIT_DECLARATION, EventType.CROSSING_EVENT)
LEGAL_BASIS = "bilateral protocol on electronic exchange; WTO TFA Article 12"


@dataclass(frozen=True, slots=True)
class Plan:
    """One administration on paper: its country, time zone, and its posts with the office code of each."""

    country: str
    time_zone: str
    posts: dict[str, str]


TAJIK = Plan("tj", "Asia/Dushanbe", {"panji-poyon": "PNJ", "ishkoshim": "ISK"})
AFGHAN = Plan("af", "Asia/Kabul", {"sher-khan-bandar": "SKB", "eshkashim": "ESH"})


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient the relay and the link are: short in a laboratory, where minutes are seconds."""

    beacon_seconds: float = 1.0
    resend_grace_seconds: float = 2.0
    reconnect_delay_seconds: int = 1


class Administration:
    """One administration's directory: `pki/`, `trust/<country>/`, `secrets/`, `var/`, and exchange.toml once its ports are known."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.plan = plan
        self.directory = directory
        directory.mkdir(parents=True)
        self.authority: Authority = create_authority(directory / "pki", plan.country)
        self.broker_pair: KeyPair = self.authority.create_server("broker", ["localhost", "127.0.0.1"])
        for name in (HOUSE, *plan.posts):
            self.authority.create_unit(Party(plan.country, name))
        self.encryption_pair: KeyPair = self.authority.create_encryption(Party(plan.country, HOUSE))
        self.management_password = secrets.token_urlsafe(24)
        (directory / "secrets").mkdir(mode=0o700)
        write_atomically(directory / "secrets" / "management", self.management_password.encode(), mode=0o600)
        self.trust(self.authority)

    @property
    def config(self) -> Path:
        """Its exchange.toml."""
        return self.directory / "exchange.toml"

    @property
    def settings(self) -> Settings:
        """Its exchange.toml, loaded."""
        return load_settings(self.config)

    def watch(self, post: str) -> Path:
        """The directory that a post watches."""
        return self.directory / "var" / post / "declarations"

    def trust(self, authority: Authority) -> None:
        """Pin an authority to its country: copy its anchor and its newest CRL to where this administration keeps them."""
        place = self.directory / "trust" / authority.country
        (place / "crls").mkdir(parents=True, exist_ok=True)
        write_atomically(place / "anchor.pem", authority.anchor.read_bytes())
        write_atomically(place / "crls" / f"{authority.country}.crl", authority.crl.read_bytes())

    def befriend(self, other: Administration) -> None:
        """Exchange what partners exchange: anchors, CRLs, and a link certificate issued by the other for our broker."""
        self.trust(other.authority)
        link = self.directory / "pki" / f"link-to-{other.plan.country}"
        key = link.with_suffix(".key")
        make_key(key)
        certificate = other.authority.issue_link(request(key, link.name), self.plan.country)
        write_atomically(link.with_suffix(".pem"), certificate)
        encryption = self.directory / "trust" / other.plan.country / "encryption.pem"
        write_atomically(encryption, other.encryption_pair.certificate.read_bytes())

    def write_settings(
        self,
        *,
        amqps_port: int,
        management_url: str,
        database: str,
        partner: str,
        partner_port: int,
        timing: Timing,
        encrypted: bool = False,
    ) -> None:
        """Write exchange.toml; `partner_port` is where the line to the partner's broker begins on this machine.

        `encrypted`: what is sent to the partner's house is encrypted to it, end to end.
        """
        home = _releases("home", (EventType.IMPORT_DECLARATION,), "own-record", "national customs code")
        abroad = _releases(f"partners.{partner}", EXCHANGED, "customs-control", LEGAL_BASIS)
        posts = "\n".join(_post(self.plan.country, name) for name in self.plan.posts)
        country = self.plan.country
        text = f"""\
country = "{country}"
environment = "test"
time_zone = "{self.plan.time_zone}"

[broker]
host = "127.0.0.1"
port = {amqps_port}
ca = "pki/ca.pem"
cluster_name = "{country}"
management = {{ url = "{management_url}", user = "panj-admin", password_file = "secrets/management" }}

[house]
database = {json.dumps(database)}
certificate = "pki/{country}-{HOUSE}.pem"
key = "pki/{country}-{HOUSE}.key"
encryption = [{{ certificate = "pki/{country}-{HOUSE}-encryption.pem", key = "pki/{country}-{HOUSE}-encryption.key" }}]

[[house.consumers]]
queue = "record"
types = {json.dumps([event_type.value for event_type in (*EXCHANGED, EventType.IMPORT_DECLARATION)])}
handler = "consumers.loaders.record"

{posts}
[relay]
beacon_seconds = {timing.beacon_seconds}
resend_grace_seconds = {timing.resend_grace_seconds}

[home]
anchor = "trust/{country}/anchor.pem"
crls = "trust/{country}/crls"

{home}
[partners.{partner}]
anchor = "trust/{partner}/anchor.pem"
crls = "trust/{partner}/crls"
loads = {json.dumps([event_type.value for event_type in EXCHANGED])}
{f'encryption_certificate = "trust/{partner}/encryption.pem"' if encrypted else ""}

[partners.{partner}.link]
host = "127.0.0.1"
port = {partner_port}
server_name = "localhost"
ca = "trust/{partner}/anchor.pem"
certificate = "pki/link-to-{partner}.pem"
key = "pki/link-to-{partner}.key"
reconnect_delay_seconds = {timing.reconnect_delay_seconds}

{abroad}"""
        write_atomically(self.config, text.encode())
        for name in self.plan.posts:
            self.watch(name).mkdir(parents=True, exist_ok=True)


def _post(country: str, name: str) -> str:
    return f"""\
[posts.{name}]
outbox = "sqlite:///var/{name}/outbox.sqlite"
watch = "var/{name}/declarations"
certificate = "pki/{country}-{name}.pem"
key = "pki/{country}-{name}.key"
"""


def _releases(table: str, types: tuple[EventType, ...], purpose: str, legal_basis: str) -> str:
    return "\n".join(
        f"""\
[[{table}.releases]]
type = "{event_type.value}"
fields = ["*"]
purpose = "{purpose}"
legal_basis = "{legal_basis}"
"""
        for event_type in types
    )
