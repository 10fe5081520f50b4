"""A post's ways in beside its watched directory, and its way back: tables of exchange.toml below `posts.NAME`."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from broker.settings.table import Table

IDENTIFIERS = r"^[A-Za-z_][A-Za-z0-9_$#]{0,127}(\.[A-Za-z_][A-Za-z0-9_$#]{0,127})?$"  # a table, with its schema where it needs one
Column = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_$#]{0,127}$")]
NationalDatabase = Annotated[
    str,
    Field(
        pattern=r"^(sqlite:///.|postgresql(\+psycopg)?://|oracle(\+oracledb)?://)",
        description="postgresql+psycopg://…, oracle+oracledb://… or sqlite:///…, without a password",
    ),
]

_LISTEN = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+|localhost)):([0-9]{1,5})")


class HttpIntake(Table):
    """Declarations taken by HTTP: where it listens, by which certificate it is known, and who may hand in.

    `tokens` holds digests of bearer tokens (mode 0600, written by `panj post token`), `client_ca` the one authority of client
    certificates. At least one of the two: whoever hands in speaks with the post's signature.
    """

    listen: str = Field(description="an IP address or localhost and a port, such as 127.0.0.1:8443")
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = Field(default=None, description="an authority that certifies those who may hand in, and nobody else")
    tokens: Path | None = Field(default=None, description='the file that "panj post token" writes')
    max_body_mb: int = Field(strict=True, default=16, ge=1, le=256)
    max_in_flight: int = Field(strict=True, default=16, ge=1, le=256)

    @property
    def host(self) -> str:
        """The IP address that it listens on."""
        found = _LISTEN.fullmatch(self.listen)
        host = (found.group(1) or found.group(2)) if found else self.listen
        return "127.0.0.1" if host == "localhost" else host

    @property
    def port(self) -> int:
        """The port that it listens on; 0 lets the system choose one."""
        return int(self.listen.rpartition(":")[2])

    @model_validator(mode="after")
    def _says_where_it_listens(self) -> HttpIntake:
        try:
            address = ip_address(self.host)
        except ValueError:
            raise ValueError("listen is an IP address or localhost and a port, such as 127.0.0.1:8443") from None
        if _LISTEN.fullmatch(self.listen) is None or self.port > 65535:
            raise ValueError("listen ends with a port, such as 127.0.0.1:8443")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: give both or neither")
        if self.certificate is None and not address.is_loopback:
            raise ValueError("beyond loopback it listens with TLS only: give certificate and key")
        if self.certificate is None and self.client_ca is not None:
            raise ValueError("client_ca needs TLS: give certificate and key")
        if self.client_ca is None and self.tokens is None:
            raise ValueError("nobody may hand in: give tokens, client_ca or both")
        return self


class FatesBack(Table):
    """How the national system is told what became of its declarations: as files, by HTTP call-backs, or as rows. One of the three."""

    directory: Path | None = Field(default=None, description="a directory: each telling becomes a file in it")
    url: str | None = Field(default=None, pattern=r"^https?://", description="where each telling is posted")
    secret: Path | None = Field(default=None, description="the file of the secret that call-backs are signed with")
    ca: Path | None = Field(default=None, description="the authority of the called system's certificate, where it is not a public one")
    database: NationalDatabase | None = None
    password_file: Path | None = Field(default=None, description="the password of `database`")
    table: str = Field(default="panj_fate", pattern=IDENTIFIERS, description="the table that rows are added to")

    @model_validator(mode="after")
    def _tells_in_one_way(self) -> FatesBack:
        if sum(way is not None for way in (self.directory, self.url, self.database)) != 1:
            raise ValueError("fates are told in one way: give directory, url or database")
        if (self.url is None) != (self.secret is None):
            raise ValueError("url and secret belong together: call-backs are signed")
        if self.url is not None and self.url.startswith("http://") and not _leads_home(self.url):
            raise ValueError("beyond loopback call-backs go by https:// only")
        return self


def _leads_home(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class ViewSource(Table):
    """One table or view of the national database that declarations are read from, in the order in which its rows changed.

    `order` says what `changed` is: the id of the writing `transaction` (PostgreSQL), a number that rises with each `commit` (Oracle's
    ORA_ROWSCN), or a `time` of writing.
    """

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=40, description="names how far it was read")
    database: NationalDatabase
    password_file: Path | None = Field(default=None, description="the password of `database`")
    view: str = Field(pattern=IDENTIFIERS, description="the table or view, with its schema where it needs one")
    key: tuple[Column, ...] = Field(min_length=1, max_length=8, description="the columns that name a row, none of them ever NULL")
    changed: Column = Field(description="the column that rises with each change of a row, never NULL")
    document: Column | None = Field(default=None, description="the column that holds a whole document, in any format of the post")
    columns: Path | None = Field(default=None, description="instead of `document`: the mapping file that says what the view's columns mean")
    order: Literal["transaction", "commit", "time"]
    overlap_seconds: int = Field(
        strict=True, default=900, ge=1, le=604_800, description="of order = time: how long a transaction lasts at most"
    )
    poll_seconds: float = Field(strict=True, default=5, ge=0.1, le=3_600)

    @model_validator(mode="after")
    def _can_be_followed(self) -> ViewSource:
        if self.order == "transaction" and not self.database.startswith("postgresql"):
            raise ValueError('order = "transaction" is PostgreSQL\'s: with another database it is commit or time')
        if (self.document is None) == (self.columns is None):
            raise ValueError("a row holds a whole document or is one by its columns: give document or columns")
        if len({*self.key, self.changed, self.document}) != len(self.key) + 2:
            raise ValueError("key, changed and document are different columns")
        return self


def _apart(views: tuple[ViewSource, ...]) -> tuple[ViewSource, ...]:
    names = [view.name for view in views]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two views are called {name!r}; how far each was read is kept under its name")
    return views


Views = Annotated[tuple[ViewSource, ...], AfterValidator(_apart)]
