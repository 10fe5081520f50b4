"""What our broker is doing now, as values: links, queues, alarms, blocked connections, listeners. Reads only; judging stands in `check`.

The management API's figures are up to five seconds old. "running" on a link proves little; a beacon that comes back does.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from broker.settings.model import Settings
from broker.topology.management import ManagementApi

FEDERATION_QUEUE = "federation: "
RUNNING = "running"
QUICK_SECONDS = 2.0  # an observer does not wait for a broker that is starting


@dataclass(frozen=True, slots=True)
class LinkState:
    """Our broker's link to one partner. `status`: running, starting, error, …, or missing where the broker knows no link."""

    partner: str
    status: str
    since: str | None = None
    error: str | None = None

    @property
    def running(self) -> bool:
        """Whether it is connected, as far as our broker knows."""
        return self.status == RUNNING


@dataclass(frozen=True, slots=True)
class LinkLogin:
    """A partner's link that is logged in at our broker, with which certificate it is: common name as `user`, and its validity."""

    partner: str
    user: str
    since_utc: datetime
    until_utc: datetime


@dataclass(frozen=True, slots=True)
class QueueState:
    """One queue of a lane. A federation queue holds what a partner's link has not taken yet; no consumer means that the link is away."""

    lane: str
    name: str
    ready: int
    unacknowledged: int
    consumers: int
    size_bytes: int

    @property
    def is_federation(self) -> bool:
        """Whether a partner's link declared it."""
        return self.name.startswith(FEDERATION_QUEUE)


@dataclass(frozen=True, slots=True)
class Listener:
    """Where the broker listens."""

    protocol: str
    address: str
    port: int
    tls: bool

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.address).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class BrokerState:
    """Our broker at one moment."""

    version: str
    cluster_name: str
    links: tuple[LinkState, ...]
    queues: tuple[QueueState, ...]
    alarms: tuple[str, ...]
    blocked_connections: tuple[str, ...]
    listeners: tuple[Listener, ...]
    logins: tuple[LinkLogin, ...] = ()

    @property
    def federation_queues(self) -> tuple[QueueState, ...]:
        """Those that partners' links take from."""
        return tuple(queue for queue in self.queues if queue.is_federation)


def observe_broker(settings: Settings, api: ManagementApi | None = None) -> BrokerState:
    """Ask our broker what it is doing. UnavailableError where its management API is away, SettingsError where it refuses us."""
    if api is None:
        with ManagementApi(settings.broker.management, patience_seconds=QUICK_SECONDS) as own:
            return observe_broker(settings, own)
    overview = api.get("overview")
    links = [each for each in api.get("federation-links") if isinstance(each, Mapping)]
    columns = "name,messages_ready,messages_unacknowledged,consumers,message_bytes"
    known = {each["name"] for each in api.get("vhosts", columns="name")}
    connections = api.get("connections", columns="name,user,vhost,state,peer_cert_validity")
    return BrokerState(
        version=overview["rabbitmq_version"],
        cluster_name=overview.get("cluster_name", ""),
        links=tuple(_link(partner, links) for partner in sorted(settings.partners)),
        queues=tuple(_queue(lane, each) for lane in settings.lanes if lane in known for each in api.get("queues", lane, columns=columns)),
        alarms=tuple(alarm for node in api.get("nodes") for alarm in _alarms(node)),
        blocked_connections=tuple(_connection(each) for each in connections if each.get("state") in ("blocked", "blocking")),
        listeners=tuple(_listener(each) for each in overview.get("listeners", ())),
        logins=tuple(login for each in connections if (login := _login(settings, each))),
    )


def _link(partner: str, links: list[Mapping[str, Any]]) -> LinkState:
    ours = [each for each in links if each.get("vhost") == partner and each.get("upstream") == partner]
    if not ours:
        return LinkState(partner, "missing")
    newest = max(ours, key=lambda each: (each.get("status") == RUNNING, str(each.get("timestamp", ""))))
    error = newest.get("error")
    return LinkState(
        partner, str(newest.get("status", "unknown")), newest.get("timestamp"), " ".join(str(error).split()) if error else None
    )


def _queue(lane: str, entry: Mapping[str, Any]) -> QueueState:
    return QueueState(
        lane=lane,
        name=entry["name"],
        ready=entry.get("messages_ready", 0),
        unacknowledged=entry.get("messages_unacknowledged", 0),
        consumers=entry.get("consumers", 0),
        size_bytes=entry.get("message_bytes", 0),
    )


def _alarms(node: Mapping[str, Any]) -> list[str]:
    if not node.get("running", True):
        return [f"{node['name']}: node is down"]
    names = {"mem_alarm": "memory is short: publishers are blocked", "disk_free_alarm": "disk is short: publishers are blocked"}
    found = [f"{node['name']}: {text}" for name, text in names.items() if node.get(name)]
    return found + ([f"{node['name']}: network partition"] if node.get("partitions") else [])


def _connection(entry: Mapping[str, Any]) -> str:
    return f"{entry.get('user', '?')} in {entry.get('vhost', '?')}"


def _login(settings: Settings, entry: Mapping[str, Any]) -> LinkLogin | None:
    """The partner's link that a connection is; `peer_cert_validity` is "2026-11-24T11:38:19Z - 2027-12-26T12:38:19Z"."""
    lane, user = str(entry.get("vhost")), str(entry.get("user"))
    since, _, until = str(entry.get("peer_cert_validity", "")).partition(" - ")
    if lane not in settings.partners or user != settings.link_user(lane):
        return None
    try:
        return LinkLogin(lane, user, datetime.fromisoformat(since), datetime.fromisoformat(until))
    except ValueError:
        return None


def _listener(entry: Mapping[str, Any]) -> Listener:
    protocol = str(entry.get("protocol", ""))
    tls = bool(entry.get("tls")) or protocol.endswith(("/ssl", "https"))
    options = entry.get("socket_opts")
    bound = (
        options.get("ip") if isinstance(options, Mapping) else None
    )  # of the HTTP listener, ip_address says "::" whatever it is bound to
    return Listener(protocol, str(bound or entry.get("ip_address", "")), int(entry.get("port", 0)), tls)
