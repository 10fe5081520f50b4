"""Topology as RabbitMQ writes it down: the JSON of `GET` and `POST /api/definitions`, both ways. Pure: asking the broker stands in `apply`.

The form is the same on 3.10, 3.13 and 4.x (RabbitMQ guide "Schema Definition Export and Import"); 3.10 leaves out a virtual host's tags,
which are therefore read from `GET /api/vhosts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from broker.topology.model import (
    Binding,
    ClusterName,
    Exchange,
    Limits,
    OperatorPolicy,
    Permission,
    Policy,
    Queue,
    Thing,
    TopicPermission,
    Topology,
    Upstream,
    User,
    VirtualHost,
    definition,
)

Document = dict[str, Any]
_NO_LIMIT = -1


def to_definitions(things: Iterable[Thing]) -> Document:
    """Give things as a document that a broker imports; users get an empty password hash, so that only a certificate lets them in."""
    document: Document = {
        section: []
        for section in (
            "users",
            "vhosts",
            "permissions",
            "topic_permissions",
            "parameters",
            "global_parameters",
            "policies",
            "queues",
            "exchanges",
            "bindings",
        )
    }
    for thing in things:
        section, entry = _entry(thing)
        document[section].append(entry)
    return document


def _entry(thing: Thing) -> tuple[str, Document]:  # noqa: C901, PLR0911  one short case per kind of thing reads best in one place
    match thing:
        case ClusterName(name):
            return "global_parameters", {"name": "cluster_name", "value": name}
        case VirtualHost(name, tags):
            return "vhosts", {"name": name, "tags": list(tags), "metadata": {"description": _description(name), "tags": list(tags)}}
        case Limits(vhost, max_connections, max_queues):
            value = {"max-connections": max_connections, "max-queues": max_queues}
            return "parameters", {"component": "vhost-limits", "vhost": vhost, "name": "limits", "value": value}
        case User(name, tags, _, max_connections):
            limits = {} if max_connections is None else {"max-connections": max_connections}
            hashing = "rabbit_password_hashing_sha256"
            return "users", {"name": name, "password_hash": "", "hashing_algorithm": hashing, "tags": ",".join(tags), "limits": limits}
        case Permission(vhost, user, configure, write, read):
            return "permissions", {"vhost": vhost, "user": user, "configure": configure, "write": write, "read": read}
        case TopicPermission(vhost, user, exchange, write, read):
            return "topic_permissions", {"vhost": vhost, "user": user, "exchange": exchange, "write": write, "read": read}
        case OperatorPolicy():
            value = {key: each for key, each in _policy(thing).items() if key not in ("vhost", "name")}
            return "parameters", {"component": "operator_policy", "vhost": thing.vhost, "name": thing.name, "value": value}
        case Policy():
            return "policies", _policy(thing)
        case Exchange(vhost, name, kind):
            flags = {"durable": True, "auto_delete": False, "internal": False, "arguments": {}}
            return "exchanges", {"vhost": vhost, "name": name, "type": kind, **flags}
        case Queue(vhost, name, arguments):
            return "queues", {"vhost": vhost, "name": name, "durable": True, "auto_delete": False, "arguments": dict(arguments)}
        case Binding(vhost, source, destination, routing_key, destination_type):
            ends = {"source": source, "destination": destination, "destination_type": destination_type}
            return "bindings", {"vhost": vhost, **ends, "routing_key": routing_key, "arguments": {}}
        case Upstream(vhost, name, values):
            return "parameters", {"component": "federation-upstream", "vhost": vhost, "name": name, "value": dict(values)}


def _description(vhost: str) -> str:
    return f"Panj: the lane of {vhost}"


def _policy(policy: Policy) -> Document:
    return {
        "vhost": policy.vhost,
        "name": policy.name,
        "pattern": policy.pattern,
        "apply-to": policy.apply_to,
        "definition": dict(policy.definition),
        "priority": policy.priority,
    }


def from_definitions(document: Mapping[str, Any], vhosts: Sequence[Mapping[str, Any]] = ()) -> Topology:
    """Give what a broker says of itself as values; `vhosts` is what it answers to `GET /api/vhosts`. Kinds we do not use are left out."""
    parameters = [each for each in document.get("parameters", ()) if isinstance(each.get("value"), Mapping)]
    policies = document.get("policies", ())
    return Topology(
        cluster_name=_cluster_name(document),
        vhosts=tuple(VirtualHost(each["name"], _tags(each)) for each in (vhosts or document.get("vhosts", ()))),
        limits=tuple(_limits(each) for each in parameters if each["component"] == "vhost-limits"),
        users=tuple(_user(each) for each in document.get("users", ())),
        permissions=tuple(Permission(*_named(each, "vhost", "user", "configure", "write", "read")) for each in document["permissions"]),
        topic_permissions=tuple(
            TopicPermission(*_named(each, "vhost", "user", "exchange", "write", "read")) for each in document.get("topic_permissions", ())
        ),
        operator_policies=tuple(_operator_policy(each) for each in parameters if each["component"] == "operator_policy"),
        policies=tuple(Policy(*_named(each, "vhost", "name"), *_policy_values(each)) for each in policies),
        exchanges=tuple(Exchange(each["vhost"], each["name"], _exchange_type(each)) for each in document["exchanges"]),
        queues=tuple(Queue(each["vhost"], each["name"], _queue_arguments(each)) for each in document["queues"]),
        bindings=tuple(
            Binding(*_named(each, "vhost", "source", "destination", "routing_key", "destination_type"))
            for each in document["bindings"]
            if not each.get("arguments")
        ),
        upstreams=tuple(
            Upstream(each["vhost"], each["name"], _upstream(each["value"]))
            for each in parameters
            if each["component"] == "federation-upstream"
        ),
    )


def _named(entry: Mapping[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(entry[name] for name in names)


def _tags(entry: Mapping[str, Any]) -> tuple[str, ...]:
    tags = entry.get("tags") or (entry.get("metadata") or {}).get("tags") or ()
    return tuple(tag.strip() for tag in tags.split(",") if tag.strip()) if isinstance(tags, str) else tuple(tags)


def _cluster_name(document: Mapping[str, Any]) -> ClusterName | None:
    names = [each["value"] for each in document.get("global_parameters", ()) if each["name"] == "cluster_name"]
    return ClusterName(names[0]) if names else None


def _limits(entry: Mapping[str, Any]) -> Limits:
    value = entry["value"]
    return Limits(entry["vhost"], value.get("max-connections", _NO_LIMIT), value.get("max-queues", _NO_LIMIT))


def _user(entry: Mapping[str, Any]) -> User:
    limits = entry.get("limits") or {}
    return User(entry["name"], _tags(entry), bool(entry.get("password_hash")), limits.get("max-connections"))


def _operator_policy(entry: Mapping[str, Any]) -> OperatorPolicy:
    return OperatorPolicy(entry["vhost"], entry["name"], *_policy_values(entry["value"]))


def _policy_values(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    return entry["pattern"], entry.get("apply-to", "all"), _flat(entry["definition"]), entry.get("priority", 0)


def _exchange_type(entry: Mapping[str, Any]) -> str:
    """Name what an exchange is; every flag that ours never carry is part of it, so that it shows as a difference."""
    flags = [name for name in ("auto_delete", "internal") if entry.get(name)]
    flags += [] if entry.get("durable", True) else ["transient"]
    flags += [f"{name}={value}" for name, value in sorted(entry.get("arguments", {}).items())]
    return " ".join([entry["type"], *flags])


def _queue_arguments(entry: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    flags = {"auto-delete": True} if entry.get("auto_delete") else {}
    flags |= {} if entry.get("durable", True) else {"transient": True}
    return _flat({**entry.get("arguments", {}), **flags})


def _upstream(value: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    uri = value.get("uri")
    return _flat({**value, "uri": uri[0]} if isinstance(uri, list) and len(uri) == 1 else value)


def _flat(values: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Give a definition as a value; what is no plain value (a list of addresses) as its text: it only has to differ."""
    return definition({name: value if isinstance(value, str | int | bool) else repr(value) for name, value in values.items()})
