"""What must change on a broker: wanted against found. Pure; making it so stands in `apply`, printing in `commands`.

What is not ours is left alone: other virtual hosts, other users, and in our lanes whatever does not bear our names. What
holds messages or lets somebody in (a lane, a queue, a user) is removed only on purpose; what goes with it is not listed apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from broker.topology.derive import TAG, unit_queues
from broker.topology.model import (
    Binding,
    Exchange,
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
from broker.topology.shut import ShutUser, without_shut

_OUR_POLICY = "panj-"


class Action(StrEnum):
    """What is done about a difference."""

    CREATE = "create"
    CHANGE = "change"
    REMOVE = "remove"
    CONFLICT = "conflict"  # an exchange or queue with other properties: it is told, never deleted and made anew


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `deliberate`: done only on purpose, with --remove. `messages`: what waits in it now."""

    action: Action
    wanted: Thing | None
    found: Thing | None
    deliberate: bool = False
    messages: int = 0

    @property
    def thing(self) -> Thing:
        """What it is about."""
        thing = self.wanted if self.wanted is not None else self.found
        assert thing is not None  # noqa: S101  every change is made below with one of the two
        return thing


@dataclass(frozen=True, slots=True)
class TopologyDiff:
    """All differences, in the order of making; removals last, in the opposite order. `shut`: users of exchange.toml that are kept out."""

    changes: tuple[Change, ...] = ()
    shut: tuple[ShutUser, ...] = ()

    def of(self, *actions: Action) -> tuple[Change, ...]:
        """The differences of some actions."""
        return tuple(change for change in self.changes if change.action in actions)

    @property
    def clean(self) -> bool:
        """Whether the broker stands as it should."""
        return not self.changes

    def pending(self, *, remove: bool) -> tuple[Change, ...]:
        """What `apply` would do."""
        return tuple(change for change in self.changes if change.action is not Action.CONFLICT and (remove or not change.deliberate))


def compare(
    country: str,
    wanted: Topology,
    found: Topology,
    messages: Mapping[tuple[str, str], int] | None = None,
    shut: Sequence[ShutUser] = (),
) -> TopologyDiff:
    """Give what must change; `country` is our own, `messages` how many wait per (virtual host, queue), `shut` who is kept out."""
    waiting, kept_out = messages or {}, {user.name for user in shut}
    still_named = tuple(user for user in shut if any(user.name == each.name for each in wanted.users))
    wanted = without_shut(wanted, shut)
    there = {_identity(thing): thing for thing in found.things()}
    wanted_identities = {_identity(thing) for thing in wanted.things()}
    changes = [change for thing in wanted.things() if (change := _towards(thing, there.get(_identity(thing))))]
    ours = _Ours(country, wanted, found)
    for thing in reversed(list(found.things())):
        if _identity(thing) not in wanted_identities and ours.surplus(thing):
            back = isinstance(thing, User) and thing.name in kept_out  # somebody made it again by hand
            deliberate = isinstance(thing, VirtualHost | Queue | User) and not back
            changes.append(Change(Action.REMOVE, None, thing, deliberate, _waiting(thing, waiting)))
    return TopologyDiff(tuple(changes), still_named)


def _identity(thing: Thing) -> tuple[str, tuple[str, ...]]:
    return thing.kind, thing.key


def _towards(wanted: Thing, found: Thing | None) -> Change | None:
    if found == wanted:
        return None
    if found is None:
        return Change(Action.CREATE, wanted, None)
    if isinstance(wanted, Exchange | Queue):
        return Change(Action.CONFLICT, wanted, found)
    return Change(Action.CHANGE, wanted, found)


def _waiting(thing: Thing, messages: Mapping[tuple[str, str], int]) -> int:
    if isinstance(thing, Queue):
        return messages.get((thing.vhost, thing.name), 0)
    if isinstance(thing, VirtualHost):
        return sum(count for (vhost, _), count in messages.items() if vhost == thing.name)
    return 0


class _Ours:
    """Tells what found things are ours to remove: those that bear our names and do not go with something larger that is removed."""

    def __init__(self, country: str, wanted: Topology, found: Topology) -> None:
        self._lanes = {vhost.name for vhost in wanted.vhosts}
        self._users = {user.name for user in wanted.users}
        self._queues = {queue.key for queue in wanted.queues}
        self._exchanges = {exchange.key for exchange in wanted.exchanges}
        self._user_name = re.compile(rf"({re.escape(country)}-[a-z0-9-]+|link-[a-z]{{2}}(-[a-z0-9]+)*)\Z")
        self._queue_name = re.compile(unit_queues(re.escape(country)))

    def surplus(self, thing: Thing) -> bool:  # noqa: PLR0911  one short case per kind of thing reads best in one place
        # A topic permission too many opens nothing (rights on exchanges bound it), and the API removes only all of a user's at once.
        match thing:
            case VirtualHost():
                return TAG in thing.tags
            case User():
                return not thing.tags and self._user_name.match(thing.name) is not None
            case Queue():
                return thing.vhost in self._lanes and self._queue_name.match(thing.name) is not None
            case Permission():
                return thing.vhost in self._lanes and thing.user in self._users
            case Binding():
                return thing.vhost in self._lanes and self._between_ours(thing)
            case Policy() | OperatorPolicy():
                return thing.vhost in self._lanes and thing.name.startswith(_OUR_POLICY)
            case Upstream() | Limits():
                return thing.vhost in self._lanes
            case _:
                return False

    def _between_ours(self, binding: Binding) -> bool:
        ends = self._queues if binding.destination_type == "queue" else self._exchanges
        return (binding.vhost, binding.source) in self._exchanges and (binding.vhost, binding.destination) in ends
