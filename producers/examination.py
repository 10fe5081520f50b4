"""Looking a post over before it runs: each thing that it needs, and whether it is there. Makes nothing and changes nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from broker.amqp import connect
from broker.outbox.store import now_utc
from broker.settings.model import Settings
from broker.trust.anchors import TrustStore
from producers.fates.receivers import receiver_of
from producers.intake import routes_of
from producers.life import examine_outbox
from producers.post import identity_of, reader_of_post
from producers.sources.http.service import tls_of
from producers.sources.http.tokens import read_tokens
from producers.views import look_at
from schemas.errors import PanjError, SettingsError, UnavailableError

BROKER_SECONDS = 5.0
SOON_DAYS = 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a post needs: whether it is there, and in words what was found or is wrong. `exit_code` is 0 where it is good."""

    what: str
    detail: str
    exit_code: int = 0

    @property
    def good(self) -> bool:
        """Whether the post can run with it."""
        return self.exit_code == 0


def examine(settings: Settings, name: str) -> Iterator[Finding]:
    """Look at everything, whatever is found before."""
    yield _finding("releases", lambda: _releases(settings))
    yield _finding("formats", lambda: _formats(settings, name))
    yield _finding("key and certificate", lambda: _identity(settings, name))
    yield _finding("trust anchors", lambda: _anchors(settings))
    yield _finding("outbox", lambda: examine_outbox(settings, name))
    yield _finding("watched directory", lambda: _directory(settings, name))
    if settings.posts[name].http is not None:
        yield _finding("HTTP intake", lambda: _http(settings, name))
    for source in settings.posts[name].views:
        yield _finding(f"view {source.name}", lambda source=source: look_at(settings, name, source))  # type: ignore[misc]
    if settings.posts[name].fates is not None:
        yield _finding("fates told back", lambda: _fates(settings, name))
    for lane in settings.lanes:
        yield _finding(f"broker, lane {lane}", lambda lane=lane: _broker(settings, name, lane))  # type: ignore[misc]


def _finding(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, look())
    except PanjError as error:
        return Finding(what, str(error), error.exit_code)


def _releases(settings: Settings) -> str:
    routes = routes_of(settings)
    if not routes:
        raise SettingsError("release-none", "exchange.toml releases nothing to anybody: every declaration would be rejected")
    return "; ".join(f"{event_type} to {', '.join(house.unit for house, _ in to)}" for event_type, to in sorted(routes.items()))


def _formats(settings: Settings, name: str) -> str:
    reader = reader_of_post(settings, name)
    mapped = f"; tables by {settings.posts[name].reading.columns}" if reader.conventions.columns is not None else ""
    return ", ".join(each.name for each in reader.formats) + mapped


def _identity(settings: Settings, name: str) -> str:
    certificate = settings.posts[name].certificate
    identity = identity_of(settings, name)
    days = (identity.not_after_utc - datetime.now(UTC)).days
    if days < 0:
        raise SettingsError("trust-expired", f"expired {-days} days ago: renew it with 'panj pki renew {name}'", field=str(certificate))
    renew = f": renew it with 'panj pki renew {name}'" if days < SOON_DAYS else ""
    return f"{identity.urn}, valid for {days} days{renew}"


def _anchors(settings: Settings) -> str:
    TrustStore.of(settings)
    return ", ".join(settings.lanes)


def _directory(settings: Settings, name: str) -> str:
    path = settings.posts[name].watch
    if not path.exists():
        return f"{path} is made at the first start"
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise SettingsError("watch-directory", "this user may not read and write it", field="watch", value=path)
    return str(path)


def _http(settings: Settings, name: str) -> str:
    found = settings.posts[name].http
    if found is None:
        return "none"
    tls_of(found)
    tokens = len(read_tokens(found.tokens)) if found.tokens is not None else None
    if tokens == 0:
        raise SettingsError("tokens-none", 'nobody may hand in: make a token with "panj post token"', field=str(found.tokens))
    by = [] if tokens is None else [f"{tokens} token{'' if tokens == 1 else 's'}"]
    by += [] if found.client_ca is None else ["client certificates"]
    return f"{found.listen}, {'TLS' if found.certificate else 'no TLS'}, by {' and '.join(by)}"


def _fates(settings: Settings, name: str) -> str:
    found = settings.posts[name].fates
    if found is None:
        return "none"
    if found.directory is not None:
        if found.directory.exists() and not os.access(found.directory, os.W_OK | os.X_OK):
            raise SettingsError("fates-directory", "this user may not write it", field="fates.directory", value=found.directory)
        return f"as files in {found.directory}"
    receiver_of(found, settings.post_party(name).urn, now_utc).close()
    return f"by call-backs to {found.url}" if found.url is not None else f"as rows of {found.table}"


def _broker(settings: Settings, name: str, lane: str) -> str:
    broker = connect(settings, lane, settings.post_party(name), settings.posts[name])
    try:
        until = time.monotonic() + BROKER_SECONDS
        while not broker.connected():
            if time.monotonic() > until:
                why = broker.trouble() or "no answer"
                raise UnavailableError("broker-away", f"{settings.broker.host}:{settings.broker.port} does not take us in: {why}")
            time.sleep(0.05)
        return f"connected to {settings.broker.host}:{settings.broker.port}"
    finally:
        broker.close()
