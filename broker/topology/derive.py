"""From exchange.toml to everything that must stand on our broker. Pure: no broker is asked.

One lane (virtual host) per partner, named by its country; in it `outbound` (what our units publish) and `inbound` (what came from the
partner's broker). The home lane, named by our own country, joins the two instead. Rules: docs/exchange-toml.md, RabbitMQ's guides.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import quote, urlencode

from broker.settings.model import Link, Partner, Settings
from broker.topology.model import (
    Binding,
    ClusterName,
    Exchange,
    Limits,
    OperatorPolicy,
    Permission,
    Policy,
    Queue,
    TopicPermission,
    Topology,
    Upstream,
    User,
    VirtualHost,
    definition,
)
from schemas.errors import Problem, SettingsError
from schemas.names import EventType, Party, type_word

OUTBOUND = "outbound"
INBOUND = "inbound"
TAG = "panj"  # marks virtual hosts that are ours to change
FEDERATION_QUEUES = "^federation: "  # the queue that a partner's link declares: "federation: outbound -> <cluster>:<vhost>:inbound …"
QUORUM_POLICY = "panj-quorum"
UPSTREAM_POLICY = "panj-upstream"
OVERFLOW_POLICY = "panj-federation-overflow"
BYTES_POLICY = "panj-federation-bytes"

# A quorum queue drops a message that was given back more often than this. 4.x does so from 20 on unless told otherwise; 3.10 refuses -1
# ("not a valid delivery limit"). No message is given back so often in years. Checked on 3.10.8.
DELIVERY_LIMIT = 2_000_000_000
LINK_PREFETCH = 200  # bundles on the line and not yet confirmed: 666 a second at 300 ms there and back, and a bounded memory
LINK_CONNECT_MILLISECONDS = 15_000  # the default of a minute keeps a link down long after a silent cut is mended
LINK_CONNECTIONS = 8  # a link needs one; those that died with the line linger until their heartbeat fails
UNIT_CONNECTIONS = 16  # two per process (publishing, consuming), several processes, some lingering
SPARE_QUEUES = 8  # the partner's federation queue, one more after it renamed its cluster, and an observer's

POST_HEARS = (
    EventType.RECEIPT,
    EventType.BEACON,
    EventType.MANIFEST_ANSWER,
    EventType.MANIFEST_REQUEST,
    EventType.RECOVERY_ANSWER,
    EventType.CRL,
)
HOUSE_HEARS = (EventType.BEACON, EventType.MANIFEST, EventType.RECOVERY, EventType.WITHDRAWAL, EventType.CRL)


def derive(settings: Settings) -> Topology:
    """Give everything that must stand on our broker.

    SettingsError `topology-type-not-loaded` where something is released that the destination's house does not load: it would come
    back unrouted.
    """
    _check_releases(settings)
    lanes, partners = settings.lanes, sorted(settings.partners.items())
    return Topology(
        cluster_name=ClusterName(settings.broker.cluster_name),
        vhosts=tuple(VirtualHost(lane, (TAG,)) for lane in lanes),
        limits=tuple(_limits(settings, lane) for lane in lanes),
        users=tuple(User(party.unit) for party in settings.parties)
        + tuple(User(settings.link_user(country), max_connections=LINK_CONNECTIONS) for country, _ in partners),
        permissions=tuple(permission for lane in lanes for permission in _permissions(settings, lane)),
        topic_permissions=tuple(_topic_permission(lane, party) for lane in lanes for party in settings.parties),
        operator_policies=tuple(_bytes_policy(country, partner) for country, partner in partners),
        policies=tuple(policy for lane in lanes for policy in _policies(settings, lane)),
        exchanges=tuple(Exchange(lane, name) for lane in lanes for name in (OUTBOUND, INBOUND)),
        queues=tuple(Queue(lane, name) for lane in lanes for name in queue_names(settings)),
        bindings=tuple(binding for lane in lanes for binding in _bindings(settings, lane)),
        upstreams=tuple(Upstream(country, country, _upstream(settings.country, partner.link)) for country, partner in partners),
    )


def consumer_queue(house: Party, queue: str) -> str:
    """The queue of one consumer of a house: `tj-customs.record`."""
    return f"{house.unit}.{queue}"


def queue_names(settings: Settings) -> tuple[str, ...]:
    """The queues of each lane: every unit's own for control events, and every consumer's."""
    consumers = settings.house.consumers if settings.house else ()
    return tuple(party.unit for party in settings.parties) + tuple(
        consumer_queue(settings.house_party, consumer.queue) for consumer in consumers
    )


def unit_queues(country: str) -> str:
    """The pattern of all queues of our units."""
    return rf"^{country}-[a-z0-9-]+(\.[a-z0-9-]+)?$"


def _check_releases(settings: Settings) -> None:
    problems = []
    for country in settings.lanes:
        at_home = country == settings.country
        if at_home:
            loaded = frozenset(each for consumer in (settings.house.consumers if settings.house else ()) for each in consumer.types)
        else:
            loaded = settings.partners[country].loads
        for number, release in enumerate(settings.releases_to(country)):
            if release.type not in loaded:
                place = "home" if at_home else f"partners.{country}"
                source = "house.consumers" if at_home else f"{place}.loads"
                text = f"{release.type.value} is released, but the customs house of {country} does not load it: it is not in {source}"
                problems.append(Problem(code="topology-type-not-loaded", text=text, field=f"{place}.releases.{number}.type"))
    if problems:
        raise SettingsError.of(problems)


def _limits(settings: Settings, lane: str) -> Limits:
    return Limits(
        lane,
        max_connections=UNIT_CONNECTIONS * max(len(settings.parties), 1) + LINK_CONNECTIONS,
        max_queues=len(queue_names(settings)) + SPARE_QUEUES,
    )


def _permissions(settings: Settings, lane: str) -> Iterator[Permission]:
    yield Permission(lane, settings.broker.management.user, ".*", ".*", ".*")
    for party in settings.parties:
        own = rf"^{party.unit}(\.[a-z0-9-]+)?$" if party.is_house else f"^{party.unit}$"
        yield Permission(lane, party.unit, configure="^$", write=f"^{OUTBOUND}$", read=own)
    if lane in settings.partners:
        # What the federation link does on the upstream side: it declares its queue and an internal exchange of this name, binds them to
        # `outbound` and consumes. Nothing else is open to the partner.
        named = f"^federation: {OUTBOUND} -> .*"
        yield Permission(lane, settings.link_user(lane), configure=named, write=named, read=f"^({OUTBOUND}|federation: {OUTBOUND} -> .*)$")


def _topic_permission(lane: str, party: Party) -> TopicPermission:
    """Pin the last word of the routing key to the unit itself: nobody publishes in another's name."""
    return TopicPermission(lane, party.unit, OUTBOUND, write=rf"^[a-z0-9-]+\.[a-z0-9-]+\.{party.unit}$", read="^$")


def _bytes_policy(lane: str, partner: Partner) -> OperatorPolicy:
    limit = definition({"max-length-bytes": partner.link.federation_queue_max_bytes})
    return OperatorPolicy(lane, BYTES_POLICY, FEDERATION_QUEUES, "queues", limit)


def _policies(settings: Settings, lane: str) -> Iterator[Policy]:
    yield Policy(lane, QUORUM_POLICY, unit_queues(settings.country), "queues", definition({"delivery-limit": DELIVERY_LIMIT}))
    if lane in settings.partners:
        # A full federation queue refuses what is new (the outbox keeps it) and drops nothing. `overflow` is no operator policy on 3.10.
        overflow = definition({"overflow": "reject-publish"})
        yield Policy(lane, OVERFLOW_POLICY, FEDERATION_QUEUES, "queues", overflow)
        yield Policy(lane, UPSTREAM_POLICY, f"^{INBOUND}$", "exchanges", definition({"federation-upstream": lane}))


def _bindings(settings: Settings, lane: str) -> Iterator[Binding]:
    for party in settings.parties:
        for heard in HOUSE_HEARS if party.is_house else POST_HEARS:
            yield Binding(lane, INBOUND, party.unit, f"{party.unit}.{type_word(heard)}.*")
    house = settings.house_party
    for consumer in settings.house.consumers if settings.house else ():
        for taken in consumer.types:
            yield Binding(lane, INBOUND, consumer_queue(house, consumer.queue), f"{house.unit}.{type_word(taken)}.*")
    if lane == settings.country:
        yield Binding(lane, OUTBOUND, INBOUND, "#", destination_type="exchange")


def _upstream(own_country: str, link: Link) -> tuple[tuple[str, str | int | bool], ...]:
    return definition(
        {
            "uri": upstream_uri(own_country, link),
            "exchange": OUTBOUND,
            "ack-mode": "on-confirm",  # a bundle leaves the partner's queue when ours has it on disk
            "max-hops": 1,
            "prefetch-count": LINK_PREFETCH,
            "reconnect-delay": link.reconnect_delay_seconds,
            "resource-cleanup-mode": "never",  # without it every change of the upstream deletes the partner's queue with all in it
            "trust-user-id": False,
        }
    )


def upstream_uri(own_country: str, link: Link) -> str:
    """The address of our lane on the partner's broker. It carries no secret: the broker reads certificate and key from its own disk."""
    parameters = {
        "cacertfile": str(link.ca),
        "certfile": str(link.certificate),
        "keyfile": str(link.key),
        "verify": "verify_peer",
        "auth_mechanism": "external",
        "connection_timeout": str(LINK_CONNECT_MILLISECONDS),
    }
    name = link.server_name or link.host
    if not _is_address(name):  # for an address the client compares the certificate's IP entries by itself, and SNI allows only names
        parameters["server_name_indication"] = name
    host = f"[{link.host}]" if ":" in link.host else link.host
    return f"amqps://{host}:{link.port}/{own_country}?{urlencode(parameters, safe='/', quote_via=quote)}"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
