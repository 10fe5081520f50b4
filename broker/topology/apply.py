"""Making our broker stand as exchange.toml says: read, compare, import what is missing, read back. What is wanted stands in `derive`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from broker.settings.model import Settings
from broker.topology.definitions import from_definitions, to_definitions
from broker.topology.derive import derive
from broker.topology.diff import Action, Change, TopologyDiff, compare
from broker.topology.management import ManagementApi
from broker.topology.model import (
    Binding,
    Limits,
    OperatorPolicy,
    Permission,
    Policy,
    Queue,
    Thing,
    Topology,
    Upstream,
    User,
    VirtualHost,
)
from broker.topology.shut import ShutUser, shut_users
from schemas.errors import ConflictError, Problem, UnavailableError

log = structlog.get_logger()
SETTLE_SECONDS = 10.0
_PLACES: dict[type[Thing], tuple[str, ...]] = {  # where the API keeps what is removed, followed by the thing's key
    VirtualHost: ("vhosts",),
    User: ("users",),  # the broker closes its connections too
    Queue: ("queues",),
    Permission: ("permissions",),
    OperatorPolicy: ("operator-policies",),
    Policy: ("policies",),
    Upstream: ("parameters", "federation-upstream"),
}


@dataclass(frozen=True, slots=True)
class Found:
    """What stands on a broker, whom it keeps out, and how many messages wait per (virtual host, queue): counts some seconds old."""

    topology: Topology
    shut: tuple[ShutUser, ...] = ()
    messages: dict[tuple[str, str], int] = field(default_factory=dict)


def read_topology(api: ManagementApi) -> Found:
    """Ask the broker what stands on it."""
    definitions = api.get("definitions")
    topology = from_definitions(definitions, api.get("vhosts"))
    queues = api.get("queues", columns="vhost,name,messages")
    return Found(topology, shut_users(definitions), {(each["vhost"], each["name"]): each.get("messages", 0) for each in queues})


def plan_topology(settings: Settings, api: ManagementApi | None = None) -> TopologyDiff:
    """Give what `apply_topology` would change. SettingsError where exchange.toml contradicts itself, UnavailableError without the API."""
    wanted = derive(settings)  # first: a mistake in exchange.toml needs no broker to be told
    if api is None:
        with ManagementApi(settings.broker.management) as own:
            return plan_topology(settings, own)
    found = read_topology(api)
    return compare(settings.country, wanted, found.topology, found.messages, found.shut)


def apply_topology(settings: Settings, *, remove: bool = False) -> TopologyDiff:
    """Make our broker stand as exchange.toml says and give what was changed; the second time nothing is.

    With `remove`, lanes, queues and users that are no longer named go too, with all that waits in them. ConflictError
    `topology-conflict` where an exchange or queue stands there with other properties (all else is done first), UnavailableError
    `topology-unsettled` where what was imported does not show in time.
    """
    began = time.monotonic()
    with ManagementApi(settings.broker.management) as api:
        planned = plan_topology(settings, api)
        pending = planned.pending(remove=remove)
        _make(api, pending)
        _unmake(api, pending)
        if pending:
            _settle(settings, api, remove)
    conflicts = planned.of(Action.CONFLICT)
    log.info("topology.applied", changes=len(pending), conflicts=len(conflicts), seconds=round(time.monotonic() - began, 2))
    if conflicts:
        raise ConflictError.of([_conflict(change) for change in conflicts])
    return TopologyDiff(pending, planned.shut)


def _make(api: ManagementApi, changes: Iterable[Change]) -> None:
    """Import what is wanted and is not there; the broker takes rights before policies, and policies before queues."""
    wanted = [change for change in changes if change.wanted is not None]
    for change in wanted:
        match change.wanted, change.found:
            case VirtualHost(name, tags), _:  # apart: an import on 3.10 forgets the tags
                api.put("vhosts", name, value={"description": f"Panj: the lane of {name}", "tags": ",".join(tags)})
            case User(name, max_connections=None), User(max_connections=int()):  # an import adds limits and takes none away
                api.delete("user-limits", name, "max-connections")
    raised = [change.wanted for change in wanted if isinstance(change.wanted, Limits) and change.found is not None]
    if raised:  # apart: the broker measures what an import would add against the limits that stand before it
        api.post("definitions", value=to_definitions(raised))
    imported = [change.wanted for change in wanted if change.wanted is not None and not isinstance(change.wanted, VirtualHost)]
    if imported:
        api.post("definitions", value=to_definitions(imported))


def _unmake(api: ManagementApi, changes: Iterable[Change]) -> None:
    for change in changes:
        if change.action is Action.REMOVE:
            api.delete(*_place(change.thing))
            log.info("topology.removed", kind=change.thing.kind, name="/".join(change.thing.key), messages=change.messages)


def _place(thing: Thing) -> tuple[str, ...]:
    if isinstance(thing, Binding):
        # A binding without arguments is named by its routing key, with `~` for the empty one.
        kind = "e" if thing.destination_type == "exchange" else "q"
        return "bindings", thing.vhost, "e", thing.source, kind, thing.destination, thing.routing_key or "~"
    if isinstance(thing, Limits):
        return "parameters", "vhost-limits", thing.vhost, "limits"
    return (*_PLACES[type(thing)], *thing.key)


def _settle(settings: Settings, api: ManagementApi, remove: bool) -> None:
    retrying = Retrying(
        retry=retry_if_result(bool),
        stop=stop_after_delay(SETTLE_SECONDS),
        wait=wait_fixed(0.2),
        retry_error_callback=lambda state: state.outcome and state.outcome.result(),
    )
    left = retrying(lambda: plan_topology(settings, api).pending(remove=remove))
    if left:
        raise UnavailableError.of(
            [
                Problem(
                    code="topology-unsettled",
                    text=f"the broker took the {change.thing.kind} but does not show it",
                    field="/".join(change.thing.key),
                )
                for change in left[:20]
            ]
        )


def _conflict(change: Change) -> Problem:
    text = (
        f"the {change.thing.kind} stands there with other properties, which cannot be changed: it is left as it is. Empty it, "
        f'delete it by hand, and run "panj topology apply" again (wanted {change.wanted}, found {change.found})'
    )
    return Problem(code="topology-conflict", text=text[:500], field="/".join(change.thing.key)[:200])
