"""Everything of an administration that runs out, gathered from where it can be seen: files, the trust store, what brokers show.

`panj status` and `panj topology check` ask once; a daemon's `ExpiryWatch` asks again and again and tells each threshold once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from broker.settings.model import House, KeyPair, Settings
from broker.topology.observe import BrokerState
from broker.trust.anchors import TrustStore
from broker.trust.lifetimes import (
    ENCRYPTION,
    EXPIRED,
    CertificateFile,
    Lifetime,
    files_of,
    http_files_of,
    link_files_of,
    of_certificates,
    of_trust,
    unit_file,
)
from broker.trust.served import served_certificate

LOOK_SECONDS = 60.0
FIRST_LOOK_SECONDS = 1.0  # after the connections were asked for: what has run out is told before it is searched for

log = structlog.get_logger()


def of_files(files: Iterable[CertificateFile]) -> Iterator[Lifetime]:
    """The lives of those files that are here."""
    return (life for each in files if (life := each.lifetime()) is not None)


def of_own_broker(settings: Settings, pair: KeyPair | None) -> Iterator[Lifetime]:
    """The certificate that our broker shows: all our daemons and every partner's link need it."""
    broker = settings.broker
    found = served_certificate(broker.host, broker.port, broker.server_name or broker.host, pair)
    if found is not None:
        renewal = '"panj pki renew --server NAME", where the broker reads it; it shows the new one within some minutes'
        yield of_certificates([found], "certificate", "our broker", renewal)


def of_partners_brokers(settings: Settings) -> Iterator[Lifetime]:
    """The certificates that the partners' brokers show, as far as they are reached from here."""
    for country, partner in sorted(settings.partners.items()):
        link = partner.link
        found = served_certificate(link.host, link.port, link.server_name or link.host, link)
        if found is not None:
            renewal = f"tell {country}: their broker needs its next certificate"
            yield of_certificates([found], "partner's broker certificate", f"link to {country}", renewal, f"link to {country}")


def of_logins(state: BrokerState) -> Iterator[Lifetime]:
    """The certificates with which the partners' links are logged in at our broker: ours issued them."""
    for login in state.logins:
        renewal = f'have {login.partner} ask for its next one, and issue it: "panj pki issue THEIR.csr --link {login.partner}"'
        subject, mark = f"link from {login.partner}", f"{login.user} {login.until_utc.isoformat()}"
        yield Lifetime("link certificate", subject, login.since_utc, login.until_utc, mark, renewal, subject)


def of_links(settings: Settings, state: BrokerState) -> list[Lifetime]:
    """Everything without which a link, ours or a partner's, cannot be made; each once."""
    pair = settings.house or next(iter(settings.posts.values()), None)
    found = [*of_files(link_files_of(settings)), *of_partners_brokers(settings), *of_logins(state)]
    for life in of_own_broker(settings, pair):
        found += [replace(life, kind="our broker certificate", subject=link, link=link) for link in _links_from(settings)]
    return _each_once(found)


def of_administration(settings: Settings, state: BrokerState | None, now_utc: datetime) -> list[Lifetime]:
    """Everything that can be seen from here; `state` where our broker told it."""
    pair = settings.house or next(iter(settings.posts.values()), None)
    found = [*of_files(files_of(settings)), *of_trust(TrustStore.of(settings), settings, now_utc)]
    found += [*of_own_broker(settings, pair), *of_partners_brokers(settings)]
    if state is not None:
        found += of_logins(state)
    return _each_once(found)


def _links_from(settings: Settings) -> list[str]:
    return [f"link from {country}" for country in sorted(settings.partners)]


def _each_once(found: Iterable[Lifetime]) -> list[Lifetime]:
    return list({(life.kind, life.subject, life.mark): life for life in found}.values())


def of_post(settings: Settings, name: str, trust: TrustStore, now_utc: datetime) -> list[Lifetime]:
    """What a post's daemon needs: its own certificate, our broker's, the houses' encryption certificates, anchors and CRLs."""
    post, at_home = settings.posts[name], f"encryption to {settings.house_party.unit}"
    encryption = [file for file in files_of(settings) if file.kind == ENCRYPTION and file.subject != at_home]
    files = [unit_file(settings.post_party(name), post.certificate), *http_files_of(settings, name), *encryption]
    return [*of_files(files), *of_trust(trust, settings, now_utc), *of_own_broker(settings, post)]


def of_house(settings: Settings, house: House, trust: TrustStore, now_utc: datetime) -> list[Lifetime]:
    """What a house's daemon needs, and the links of its administration, which have no daemon of their own."""
    own = unit_file(settings.house_party, house.certificate)
    files = [own, *link_files_of(settings), *(file for file in files_of(settings) if file.kind == ENCRYPTION)]
    return [*of_files(files), *of_trust(trust, settings, now_utc), *of_own_broker(settings, house), *of_partners_brokers(settings)]


class ExpiryWatch:
    """Tells in a daemon's log what runs out: once for each threshold of each thing, and again for its successor. Used by one thread."""

    def __init__(self, gather: Callable[[datetime], Iterable[Lifetime]]) -> None:
        self._gather = gather
        self._told: dict[tuple[str, str, str], int] = {}

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set."""
        wait = FIRST_LOOK_SECONDS
        while not stop.wait(wait):
            self.look(datetime.now(UTC))
            wait = LOOK_SECONDS

    def look(self, now_utc: datetime) -> None:
        """Look once."""
        for life in self._gather(now_utc):
            key, passed = (life.kind, life.subject, life.mark), life.threshold(now_utc)
            if passed is None or self._told.get(key, passed + 1) <= passed:
                continue
            self._told[key] = passed
            fields = {"what": life.kind, "of": life.subject, "until": life.until_utc.isoformat(), "advice": life.renewal}
            noun = "crl" if life.kind == "crl" else "certificate"
            if passed == EXPIRED:
                log.error(f"{noun}.expired", **fields)
            else:
                log.warning(f"{noun}.expiring", days=life.left(now_utc).days, **fields)
