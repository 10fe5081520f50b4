"""exchange.toml as values: one file per administration, everything else is derived from it. Loading it stands in `load`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from broker.settings.followers import AnyFollower
from broker.settings.sources import FatesBack, HttpIntake, Views
from broker.settings.table import Table
from broker.settings.words import CodeTable, DatabaseUrl, Purpose, StreamType, UnitName
from schemas.limits import BODY_BYTES
from schemas.names import HOUSE, EventType, Party
from schemas.text import Text
from schemas.values import DateOrder, Versions

Country = Annotated[str, Field(pattern=r"^[a-z]{2}$", description="ISO 3166-1 alpha-2 in lower case, such as tj")]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]  # strict: neither "5671" nor true is a port
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$|^[0-9A-Fa-f:]+$", description="a host name or IP address")]

LINK_USER = r"^link-[a-z]{2}(-[a-z0-9]+)*$"
CRL_GRACE_DAYS = 7
CrlGraceDays = Annotated[
    int,
    Field(strict=True, ge=0, le=365, description="how many days past its nextUpdate a CRL is still believed; then its units are parked"),
]


class KeyPair(Table):
    """A private key (PEM, mode 0600) and its certificate, leaf first, intermediates behind it."""

    certificate: Path
    key: Path


class Management(Table):
    """RabbitMQ's management API, used by `panj topology` and `panj status` only."""

    url: str = Field(pattern=r"^https?://", description="such as http://127.0.0.1:15672")
    user: str = "panj-admin"
    password_file: Path


class BrokerSettings(Table):
    """This administration's own broker. `ca` is the only authority that it and its clients trust."""

    host: Host = "127.0.0.1"
    port: Port = 5671
    server_name: Host | None = Field(default=None, description="the name in the broker's certificate, where it is not `host`")
    ca: Path
    cluster_name: str = Field(pattern=r"^[a-z0-9.-]+$")
    management: Management


class ConsumerSettings(Table):
    """One consumer of the house: its queue, the types it takes, and the module that defines it with `@consumer`."""

    queue: UnitName
    types: tuple[StreamType, ...] = Field(min_length=1)
    handler: str = Field(pattern=r"^[a-z_][a-z0-9_.]*$", description="a Python module, such as consumers.loaders.record")
    purposes: frozenset[Purpose] | None = Field(
        default=None, min_length=1, description="for which it reads; what was released for another one is held"
    )


class House(KeyPair):
    """The customs house: the receiver of record, its database and its consumers."""

    database: DatabaseUrl
    consumers: tuple[ConsumerSettings, ...] = ()
    followers: tuple[AnyFollower, ...] = Field(default=(), description="what carries loaded declarations on into the national system")
    encryption: tuple[KeyPair, ...] = Field(default=(), description="the keys that partners encrypt to: the current one, and older ones")
    backup_horizon_days: int = Field(
        strict=True,
        default=30,
        ge=1,
        le=3650,
        description="how far back a restored backup may set the database: senders keep what is younger",
    )
    second_person: frozenset[Literal["replay", "release", "discard"]] = Field(
        default=frozenset(), description="what somebody orders about held and parked, and only another login may let begin"
    )
    second_person_days: int = Field(strict=True, default=7, ge=1, le=365, description="how long such an order waits")


class ReadingSettings(Table):
    """What the files of one source leave unsaid, and how they are to be read. Nothing of it is guessed where it is not told."""

    format: str | None = Field(default=None, max_length=60, description="the only format of this source; recognised by content without it")
    office: str | None = Field(default=None, max_length=20, description="the office_code of declarations whose format carries none")
    date_order: DateOrder | None = Field(default=None, description="the order of day, month and year in its dates")
    time_zone: str | None = Field(default=None, description="of its times without an offset; the administration's own by default")
    columns: Path | None = Field(default=None, description="the mapping file of CSV and Excel files")
    codes: dict[CodeTable, dict[str, str]] = Field(
        default_factory=dict, description="local codes translated: the table's name, the local code, the list's own"
    )
    tajik_lookalikes: bool = Field(strict=True, default=False, description="letters of older Tajik fonts are put right")
    versions: Versions = Field(default="stated", description="whether declarations that state no version are first ones, or the next ones")
    correction_reason: Annotated[Text, Field(min_length=1, max_length=500)] | None = Field(
        default=None, description="why a declaration is corrected, where its document does not say it"
    )


class Post(KeyPair):
    """A border post: its outbox and the directory that it watches, and where a second copy of the outbox is kept."""

    outbox: DatabaseUrl
    watch: Path
    reading: ReadingSettings = ReadingSettings()
    second_copy: Path | None = Field(default=None, description="a directory on another disk or a stick")
    http: HttpIntake | None = Field(default=None, description="declarations taken by HTTP, too")
    views: Views = Field(default=(), description="tables and views of the national database that are read, too")
    fates: FatesBack | None = Field(default=None, description="the national system is told what became of its declarations")


class Release(Table):
    """What may leave: the fields of one type that one destination may see, for which purpose, on which legal basis.

    A field is a dotted path into the data; `items` releases whole items, `items.hs_code` one field of each, `*` everything.
    """

    type: StreamType
    fields: tuple[str, ...] = Field(min_length=1)
    purpose: Purpose
    legal_basis: str = Field(min_length=1, max_length=200)


class Link(KeyPair):
    """How our broker reaches the partner's to pull from it. The broker reads these files itself; the partner's CA issued `certificate`."""

    host: Host
    port: Port = 5671
    server_name: Host | None = Field(default=None, description="the name in the partner broker's certificate, where it is not `host`")
    ca: Path
    reconnect_delay_seconds: int = Field(strict=True, default=5, ge=1, le=300)
    # A queue that is told to refuse what is too much refuses a message larger than itself for ever (checked on 3.10.8): never less than
    # a bundle's body.
    federation_queue_max_bytes: int = Field(strict=True, default=2 * 1024**3, ge=BODY_BYTES + 64 * 1024)
    line_kbit_per_second: int | None = Field(
        strict=True, default=None, ge=8, description="set on slow lines: a bundle stays under some seconds of it"
    )


class Partner(Table):
    """A neighbouring administration: the anchor pinned to it, its CRLs, the link to it and its login at our broker, what it is released."""

    anchor: Path
    crls: Path
    crl_grace_days: CrlGraceDays = CRL_GRACE_DAYS
    loads: frozenset[StreamType] = Field(description="the types that its customs house takes")
    link: Link
    link_user: str | None = Field(
        default=None, pattern=LINK_USER, max_length=60, description="its user at our broker: link-<country>, or link-<country>-<more>"
    )
    releases: tuple[Release, ...] = ()
    encryption_certificate: Path | None = Field(
        default=None, description="its customs house's encryption certificate; with it, everything that we send there is encrypted"
    )


class Home(Table):
    """What our own posts send to our own house: import declarations by default, never over the frontier."""

    anchor: Path
    crls: Path
    crl_grace_days: CrlGraceDays = CRL_GRACE_DAYS
    releases: tuple[Release, ...] = ()


class RelaySettings(Table):
    """The credit window and the patience of resends, per destination; and how much an outbox may accept."""

    window_events: int = Field(strict=True, default=5_000, ge=1, le=1_000_000)
    window_bytes: int = Field(strict=True, default=16 * 1024**2, ge=64 * 1024)
    beacon_seconds: float = Field(strict=True, default=10, gt=0, le=3600)
    resend_grace_seconds: float = Field(strict=True, default=30, gt=0, le=86_400)
    outbox_min_free_mb: int = Field(strict=True, default=64, ge=0, le=1_000_000)
    outbox_max_unsettled: int | None = Field(strict=True, default=None, ge=10_000, le=1_000_000_000)  # more than one batch of intake


class ClosingSettings(Table):
    """How often each post closes its account with each house it sends to."""

    every_seconds: int = Field(strict=True, default=86_400, ge=1, le=31 * 86_400)


class RetentionSettings(Table):
    """How long what is finished and agreed stays in the databases; then it is moved into the archive, block by block."""

    archive: Path | None = Field(default=None, description="the archive's directory; without it nothing is ever removed")
    settled_days: int = Field(strict=True, default=365, ge=1, le=36_500)
    inbox_days: int = Field(strict=True, default=1_825, ge=1, le=36_500)


class Settings(Table):
    """One administration. Paths are absolute once loaded: in the file they are relative to its directory."""

    country: Country
    environment: str = Field(pattern=r"^[a-z][a-z0-9-]{0,31}$", description="production, test, …: must equal the partner's")
    time_zone: str
    clock_tolerance_seconds: int = Field(strict=True, default=300, ge=0, le=86_400)
    code_lists: Path | None = None
    broker: BrokerSettings
    house: House | None = None
    posts: dict[UnitName, Post] = Field(default_factory=dict)
    partners: dict[Country, Partner] = Field(default_factory=dict)
    home: Home | None = None
    relay: RelaySettings = RelaySettings()
    closing: ClosingSettings = ClosingSettings()
    retention: RetentionSettings = RetentionSettings()
    log_format: Literal["json", "console"] = "json"

    @property
    def house_party(self) -> Party:
        """Our own customs house."""
        return Party(self.country, HOUSE)

    def post_party(self, name: str) -> Party:
        """One of our own posts."""
        return Party(self.country, name)

    @property
    def parties(self) -> tuple[Party, ...]:
        """All units of this administration that the settings name, the house first."""
        house = (self.house_party,) if self.house else ()
        return house + tuple(self.post_party(name) for name in sorted(self.posts))

    @property
    def lanes(self) -> tuple[str, ...]:
        """The virtual hosts of our broker: one per partner, and our own country's where the home lane is used."""
        return tuple(sorted(self.partners)) + ((self.country,) if self.home else ())

    def link_user(self, country: str) -> str:
        """The broker user of a partner's link: the common name of the certificate that our authority issued for it."""
        return self.partners[country].link_user or f"link-{country}"

    def releases_to(self, country: str) -> tuple[Release, ...]:
        """What leaves for that country's house; for our own country, what the home lane carries."""
        if country == self.country:
            return self.home.releases if self.home else ()
        return self.partners[country].releases

    @model_validator(mode="after")
    def _hangs_together(self) -> Settings:
        if self.country in self.partners:
            raise ValueError(f"partners.{self.country}: an administration is not its own partner; its own lane is [home]")
        for country in self.partners:
            if self.link_user(country)[:7] != f"link-{country}":
                raise ValueError(f"partners.{country}.link_user: begins with link-{country}, so that it is nobody else's")
        if HOUSE in self.posts:
            raise ValueError(f"posts.{HOUSE}: the name is the customs house's own")
        taken: dict[EventType, str] = {}
        for consumer in self.house.consumers if self.house else ():
            for event_type in consumer.types:
                if event_type in taken:
                    both = f"{taken[event_type]!r} and {consumer.queue!r}"
                    raise ValueError(f"house.consumers: {event_type.value} is taken by {both}; one consumer answers for a type")
                taken[event_type] = consumer.queue
        return self

    @model_validator(mode="after")
    def _says_each_thing_once(self) -> Settings:
        queues = [consumer.queue for consumer in self.house.consumers] if self.house else []
        for queue in queues:
            if queues.count(queue) > 1:
                raise ValueError(f"house.consumers: two consumers share the queue {queue!r}; each needs its own")
        names = [follower.name for follower in self.house.followers] if self.house else []
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"house.followers: two followers are called {name!r}; by its name each knows what it has done")
        for country in self.lanes:
            place = "home" if country == self.country else f"partners.{country}"
            types = [release.type for release in self.releases_to(country)]
            for event_type in types:
                if types.count(event_type) > 1:
                    raise ValueError(f"{place}.releases: {event_type.value} is released twice; one entry says which fields leave")
        return self
