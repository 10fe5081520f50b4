"""What the users of a broker may not do: a partner's link, posts and houses; and everybody else at its management API."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel
from pika.credentials import ExternalCredentials, PlainCredentials

from deploy.lab.administrations import Administration
from tests.attacks.live.ground import Ground
from tests.attacks.rows import Row

FAMILY = "rights"
LINK = "federation: outbound -> "
QUEUES = ("af-customs", "af-customs.record", "af-sher-khan-bandar", "af-eshkashim")
Attempt = tuple[str, Callable[[BlockingChannel], object]]


@dataclass(frozen=True, slots=True)
class User:
    """A certificate with its key, and the broker and lane where it knocks."""

    side: Administration
    lane: str
    certificate: Path
    ca: Path

    @property
    def key(self) -> Path:
        """The key beside the certificate."""
        return self.certificate.with_suffix(".key")


def connect(ground: Ground, user: User, credentials: object = None, lane: str | None = None) -> pika.BlockingConnection:
    """Log in by certificate, or as told."""
    context = ssl.create_default_context(cafile=str(user.ca))
    context.load_cert_chain(user.certificate, user.key)
    port = ground.lab.nodes[user.side.plan.country].amqps_port
    options = pika.SSLOptions(context, "localhost")
    return pika.BlockingConnection(
        pika.ConnectionParameters("127.0.0.1", port, lane or user.lane, credentials or ExternalCredentials(), ssl_options=options)
    )


def attack_rights(ground: Ground) -> Iterator[Row]:
    """A row for each kind of user and what it tried."""
    link = User(ground.af, "tj", ground.tj.directory / "pki" / "link-to-af.pem", ground.af.authority.anchor)
    yield _row(ground, "the partner's link: publish, read, declare, bind, delete, dead-letter", link, _of_the_link())
    yield _without_limit(ground, link)
    yield _other_lanes(ground, link)
    post = User(ground.tj, "af", ground.tj.directory / "pki" / "tj-panji-poyon.pem", ground.tj.authority.anchor)
    yield _row(ground, "a post: in another's name, others' receipts, declare, bind, delete", post, _of_a_post())
    yield _copies(ground, post)
    house = User(ground.tj, "af", ground.tj.directory / "pki" / "tj-customs.pem", ground.tj.authority.anchor)
    yield _row(ground, "a house: in a post's name, posts' queues, declare, bind, delete", house, _of_a_house())
    yield from _management(ground, link)
    failures = ground.probe() + ground.dead()
    yield Row(FAMILY, "afterwards: honest declarations, both ways", 2, 0, len(failures), None, "", tuple(failures))


def _row(ground: Ground, name: str, user: User, attempts: Sequence[Attempt]) -> Row:
    """Try each on a channel of its own: what the broker does not refuse has got in. The control is what this user may do."""
    connection = connect(ground, user)
    let_in = [what for what, attempt in attempts if _allowed(connection, attempt)]
    own = user.certificate.stem
    read = LINK + "own" if own.startswith("link") else own
    seen = _allowed(
        connection, lambda channel: channel.queue_declare(read, durable=True) if own.startswith("link") else channel.basic_get(read)
    )
    if own.startswith("link"):
        _allowed(connection, lambda channel: channel.queue_delete(read))
    connection.close()
    return Row(FAMILY, name, len(attempts), len(let_in), 0, seen, "refused by the broker", tuple(let_in))


def _allowed(connection: pika.BlockingConnection, attempt: Callable[[BlockingChannel], object]) -> bool:
    channel = connection.channel()
    channel.confirm_delivery()
    try:
        attempt(channel)
    except (pika.exceptions.ChannelClosedByBroker, pika.exceptions.NackError):
        return False
    except pika.exceptions.UnroutableError:
        return True  # it was allowed, and nobody wanted it
    if channel.is_open:
        channel.close()
    return True


def _publish(exchange: str, key: str, **properties: object) -> Attempt:
    def attempt(channel: BlockingChannel) -> object:
        return channel.basic_publish(exchange, key, b"x", pika.BasicProperties(**properties), mandatory=True)

    return f"publish to {exchange or 'the default exchange'} with {key}", attempt


def _read(queue: str) -> list[Attempt]:
    return [
        (f"read {queue}", lambda channel: channel.basic_get(queue)),
        (f"consume {queue}", lambda channel: channel.basic_consume(queue, lambda *_: None)),
        (f"purge {queue}", lambda channel: channel.queue_purge(queue)),
        (f"delete {queue}", lambda channel: channel.queue_delete(queue)),
        (f"bind {queue}", lambda channel: channel.queue_bind(queue, "outbound", "#")),
        (f"unbind {queue}", lambda channel: channel.queue_unbind(queue, "inbound", "#")),
    ]


def _exchanges() -> list[Attempt]:
    found: list[Attempt] = []
    for name in ("outbound", "inbound"):
        found += [
            (f"delete {name}", lambda channel, name=name: channel.exchange_delete(name)),  # type: ignore[misc]
            (f"bind {name} to amq.topic", lambda channel, name=name: channel.exchange_bind(name, "amq.topic", "#")),  # type: ignore[misc]
            (f"bind amq.fanout to {name}", lambda channel, name=name: channel.exchange_bind("amq.fanout", name, "#")),  # type: ignore[misc]
        ]
    return found


def _declares(prefix: str) -> list[Attempt]:
    return [
        (f"declare {prefix}", lambda channel: channel.queue_declare(prefix, durable=True)),
        ("declare a queue named by the broker", lambda channel: channel.queue_declare("", exclusive=True)),
        ("declare an exchange", lambda channel: channel.exchange_declare(prefix, "topic")),
        ("declare inbound anew", lambda channel: channel.exchange_declare("inbound", "fanout")),
        ("consume the broker's log", lambda channel: channel.queue_bind("", "amq.rabbitmq.log", "#")),
    ]


def _of_the_link() -> list[Attempt]:
    key = "af-customs.customs-export-declaration-v1.tj-panji-poyon"
    own = LINK + "thief"
    attempts = [_publish(exchange, key) for exchange in ("outbound", "inbound", "", "amq.topic", "amq.direct", "amq.fanout", "amq.headers")]
    attempts += [_publish("", queue) for queue in QUEUES]
    attempts += [each for queue in QUEUES for each in _read(queue)] + _exchanges() + _declares("mine")
    attempts += [
        ("declare a queue of the other exchange's name", lambda channel: channel.queue_declare("federation: inbound -> tj", durable=True)),
        ("dead-letter into inbound", lambda channel: channel.queue_declare(own, arguments={"x-dead-letter-exchange": "inbound"})),
        ("dead-letter into the default exchange", lambda channel: channel.queue_declare(own, arguments={"x-dead-letter-exchange": ""})),
        ("an alternate into inbound", lambda channel: channel.exchange_declare(own, "fanout", arguments={"alternate-exchange": "inbound"})),
        ("an own exchange bound to inbound", lambda channel: _own_exchange_to(channel, own, "inbound")),
        ("an own exchange bound to outbound", lambda channel: _own_exchange_to(channel, own, "outbound")),
        ("an own queue bound to inbound", lambda channel: _own_queue_to(channel, own, "inbound")),
        ("an own queue bound to amq.rabbitmq.event", lambda channel: _own_queue_to(channel, own, "amq.rabbitmq.event")),
    ]
    return attempts


def _own_exchange_to(channel: BlockingChannel, own: str, destination: str) -> None:
    channel.exchange_declare(own, "fanout", internal=True, auto_delete=True)
    channel.exchange_bind(destination, own, "#")


def _own_queue_to(channel: BlockingChannel, own: str, source: str) -> None:
    channel.queue_declare(own, exclusive=True)
    channel.queue_bind(own, source, "#")


def _of_a_post() -> list[Attempt]:
    def key(origin: str) -> str:
        return f"af-customs.customs-export-declaration-v1.{origin}"

    attempts = [_publish("outbound", key(origin)) for origin in ("tj-ishkoshim", "tj-customs", "af-customs", "tj-panji-poyon.x", "x", "")]
    attempts += [_publish("outbound", key("tj-panji-poyon"), user_id=name) for name in ("tj-ishkoshim", "tj-customs", "panj-admin")]
    attempts += [_publish(exchange, key("tj-panji-poyon")) for exchange in ("inbound", "", "amq.topic", "amq.fanout")]
    attempts += [each for queue in ("tj-ishkoshim", "tj-customs", "tj-customs.record") for each in _read(queue)]
    return [
        *attempts,
        *_exchanges(),
        *_declares("tj-panji-poyon-more"),
        ("delete its own queue", lambda channel: channel.queue_delete("tj-panji-poyon")),
    ]


def _of_a_house() -> list[Attempt]:
    attempts = [_publish("outbound", f"af-customs.customs-export-declaration-v1.{origin}") for origin in ("tj-panji-poyon", "tj-ishkoshim")]
    attempts += [each for queue in ("tj-ishkoshim", "tj-panji-poyon") for each in _read(queue)]
    return [
        *attempts,
        *_exchanges(),
        *_declares("tj-customs.more"),
        ("delete its own queue", lambda channel: channel.queue_delete("tj-customs")),
    ]


def _copies(ground: Ground, post: User) -> Row:
    """The headers CC and BCC route a message by further keys, in another's name: where a broker lets them, the house parks what comes."""
    key, other = (f"af-customs.customs-export-declaration-v1.{origin}" for origin in ("tj-panji-poyon", "tj-ishkoshim"))
    before = sum(ground.parked(ground.af).values())
    loaded = "SELECT count(*) FROM declaration"
    records = ground.world.rows(ground.af, loaded)
    connection = connect(ground, post)
    let = [name for name in ("CC", "BCC") if _allowed(connection, _publish("outbound", key, headers={name: [other]})[1])]
    connection.close()
    failures = ground.probe()
    grown = ground.world.rows(ground.af, loaded)[0][0] - records[0][0] - 1
    parked = sum(ground.parked(ground.af).values()) - before
    note = f"the broker lets {' and '.join(let) or 'neither'} through; {parked} parked"
    return Row(FAMILY, "a post: copies in another's name by CC and BCC", 2, grown, len(failures), None, note, tuple(failures))


def _without_limit(ground: Ground, link: User) -> Row:
    """The link may declare queues of its own name: as many as the lane's limit lets it, and connections as well."""
    connection = connect(ground, link)
    made = 0
    for number in range(200):
        if not _allowed(connection, lambda channel, number=number: channel.queue_declare(f"{LINK}{number}", durable=True)):  # type: ignore[misc]
            break
        made += 1
    for number in range(made):
        _allowed(connection, lambda channel, number=number: channel.queue_delete(f"{LINK}{number}"))  # type: ignore[misc]
    connections = [connection]
    try:
        while len(connections) < 100:
            connections.append(connect(ground, link))
    except pika.exceptions.AMQPError:
        pass
    opened = len(connections)
    for each in connections:
        each.close()
    over = [f"{made} queues"] * (made >= 16) + [f"{opened} connections"] * (opened >= 16)
    return Row(
        FAMILY,
        "the partner's link: queues and connections without limit",
        300,
        len(over),
        0,
        made > 0,
        f"{made} queues, {opened} connections",
        tuple(over),
    )


def _other_lanes(ground: Ground, link: User) -> Row:
    """The link in lanes that are not its own, and by passwords."""
    let_in, tries = [], 0
    for lane in ("af", "/", "tj ", "TJ", "uz"):
        for credentials in (
            ExternalCredentials(),
            PlainCredentials("guest", "guest"),
            PlainCredentials("link-tj", ""),
            PlainCredentials("panj-admin", ""),
        ):
            tries += 1
            try:
                connect(ground, link, credentials, lane).close()
            except (pika.exceptions.AMQPError, OSError):
                continue
            let_in.append(f"{lane} by {type(credentials).__name__}")
    return Row(FAMILY, "the partner's link: other lanes, passwords", tries, len(let_in), 0, _logs_in(ground, link), "", tuple(let_in))


def _logs_in(ground: Ground, user: User) -> bool:
    connect(ground, user).close()
    return True


def _management(ground: Ground, link: User) -> Iterator[Row]:
    """The management API: without a password, with empty and wrong ones, with those of users that have none, by certificate."""
    places = ("overview", "definitions", "users", "queues/tj", "exchanges/tj/inbound/publish", "parameters/federation-upstream", "whoami")
    logins: tuple[tuple[str, str] | None, ...] = (
        None,
        ("guest", "guest"),
        ("panj-admin", ""),
        ("panj-admin", "panj-admin"),
        ("link-tj", ""),
    )
    logins += (("af-customs", ""), ("af-customs", "af-customs"), ("", ""))
    let_in, tries = [], 0
    url = ground.lab.nodes["af"].management_url
    for login in logins:
        for place in places:
            for method in ("GET", "POST", "PUT", "DELETE"):
                tries += 1
                with httpx.Client(trust_env=False, timeout=10, cert=(str(link.certificate), str(link.key))) as client:
                    answer = client.request(method, f"{url}/api/{place}", auth=login, json={} if method in ("POST", "PUT") else None)
                if answer.status_code < 400:
                    let_in.append(f"{method} {place} as {login}")
    password = ground.af.management_password
    right = httpx.get(f"{url}/api/overview", auth=("panj-admin", password), trust_env=False).status_code == httpx.codes.OK
    yield Row(FAMILY, "the management API, by everybody but its administrator", tries, len(let_in), 0, right, "401", tuple(let_in[:3]))
