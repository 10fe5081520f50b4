"""What stands on a broker, as values: virtual hosts, exchanges, queues, bindings, users, rights, policies, upstreams.

Nothing here knows exchange.toml (`derive`) or the management API (`definitions`, `apply`). Two values with the same `key` are the same
thing on the broker; where they differ otherwise, the thing has drifted. RabbitMQ's guides: vhosts, access-control, parameters, federation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Literal

Scalar = str | int | bool
Definition = tuple[tuple[str, Scalar], ...]  # sorted by name, so that equal definitions are equal values


def definition(values: Mapping[str, Scalar]) -> Definition:
    """Give a policy's or parameter's definition as a value."""
    return tuple(sorted(values.items()))


@dataclass(frozen=True, slots=True)
class ClusterName:
    """The broker's own name: a federation queue on the partner's broker carries it, so it is set and never left to the host name."""

    kind: ClassVar[str] = "cluster name"
    name: str

    @property
    def key(self) -> tuple[str, ...]:
        """There is one."""
        return ()


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """A lane: everything between us and one country. The tag `panj` marks those that are ours to change."""

    kind: ClassVar[str] = "virtual host"
    name: str
    tags: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """Its name."""
        return (self.name,)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a lane: a partner's link may fill neither the broker's queues nor its connections."""

    kind: ClassVar[str] = "limits"
    vhost: str
    max_connections: int
    max_queues: int

    @property
    def key(self) -> tuple[str, ...]:
        """Its virtual host."""
        return (self.vhost,)


@dataclass(frozen=True, slots=True)
class User:
    """Who may log in with a certificate of that common name. An empty password hash: no password ever fits."""

    kind: ClassVar[str] = "user"
    name: str
    tags: tuple[str, ...] = ()
    password: bool = False
    max_connections: int | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """Its name."""
        return (self.name,)


@dataclass(frozen=True, slots=True)
class Permission:
    """What a user may do in a lane: regular expressions over the names of exchanges and queues."""

    kind: ClassVar[str] = "permission"
    vhost: str
    user: str
    configure: str
    write: str
    read: str

    @property
    def key(self) -> tuple[str, ...]:
        """One per user and lane."""
        return (self.vhost, self.user)


@dataclass(frozen=True, slots=True)
class TopicPermission:
    """Which routing keys a user may publish with (write) and bind with (read) at a topic exchange."""

    kind: ClassVar[str] = "topic permission"
    vhost: str
    user: str
    exchange: str
    write: str
    read: str

    @property
    def key(self) -> tuple[str, ...]:
        """One per user, lane and exchange."""
        return (self.vhost, self.user, self.exchange)


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange, durable and never internal."""

    kind: ClassVar[str] = "exchange"
    vhost: str
    name: str
    type: str = "topic"

    @property
    def key(self) -> tuple[str, ...]:
        """Its lane and name."""
        return (self.vhost, self.name)


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue. `x-queue-type` is its only argument; everything else is policy, which can be changed on a living queue."""

    kind: ClassVar[str] = "queue"
    vhost: str
    name: str
    arguments: Definition = (("x-queue-type", "quorum"),)

    @property
    def key(self) -> tuple[str, ...]:
        """Its lane and name."""
        return (self.vhost, self.name)


@dataclass(frozen=True, slots=True)
class Binding:
    """A route from an exchange to a queue, or from an exchange to an exchange."""

    kind: ClassVar[str] = "binding"
    vhost: str
    source: str
    destination: str
    routing_key: str
    destination_type: Literal["queue", "exchange"] = "queue"

    @property
    def key(self) -> tuple[str, ...]:
        """All of it: a binding has no name."""
        return (self.vhost, self.source, self.destination_type, self.destination, self.routing_key)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy over exchanges or queues whose name matches `pattern`."""

    kind: ClassVar[str] = "policy"
    vhost: str
    name: str
    pattern: str
    apply_to: Literal["queues", "exchanges", "all"]
    definition: Definition
    priority: int = 0

    @property
    def key(self) -> tuple[str, ...]:
        """Its lane and name."""
        return (self.vhost, self.name)


@dataclass(frozen=True, slots=True)
class OperatorPolicy(Policy):
    """A policy that no ordinary policy can loosen."""

    kind: ClassVar[str] = "operator policy"


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where our `inbound` pulls from: the partner's `outbound`, under the name of the partner's country."""

    kind: ClassVar[str] = "upstream"
    vhost: str
    name: str
    definition: Definition

    @property
    def key(self) -> tuple[str, ...]:
        """Its lane and name."""
        return (self.vhost, self.name)


Thing = (
    ClusterName
    | VirtualHost
    | Limits
    | User
    | Permission
    | TopicPermission
    | OperatorPolicy
    | Policy
    | Exchange
    | Queue
    | Binding
    | Upstream
)


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything that is wanted, or found, in the order in which it is made: rights first, policies before queues, upstreams last."""

    cluster_name: ClusterName | None = None
    vhosts: tuple[VirtualHost, ...] = ()
    limits: tuple[Limits, ...] = ()
    users: tuple[User, ...] = ()
    permissions: tuple[Permission, ...] = ()
    topic_permissions: tuple[TopicPermission, ...] = ()
    operator_policies: tuple[OperatorPolicy, ...] = ()
    policies: tuple[Policy, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[Binding, ...] = ()
    upstreams: tuple[Upstream, ...] = ()

    def things(self) -> Iterator[Thing]:
        """Give everything, in the order of making."""
        if self.cluster_name is not None:
            yield self.cluster_name
        for field in fields(self)[1:]:
            yield from getattr(self, field.name)
