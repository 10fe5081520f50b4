"""Shutting a partner's link out: its user is deleted, its connections are closed, and the broker itself remembers not to let it in again.

RabbitMQ logs a link in by the common name of its certificate: a revoked certificate would be let in again together with any new one that
bears the same name. So a name that was shut is not used again; the partner gets a new one (`partners.X.link_user`). The mark is a global
parameter of the broker: it outlives us, and every later `panj topology apply` reads it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog

from broker.settings.model import LINK_USER, Settings
from broker.topology.management import ManagementApi
from broker.topology.model import Topology
from schemas.errors import SettingsError, UnavailableError, UsageError
from schemas.event import utc_text

MARK = "panj-shut-users"
LATE_SECONDS = 6.0  # the API's list of connections is up to five seconds old: one that has just begun shows so much later
PATIENCE_SECONDS = 20.0
_LOOK_SECONDS = 0.5

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ShutUser:
    """A user that is kept out: since when (RFC 3339), by whom, and why."""

    name: str
    at: str
    by: str
    reason: str


def shut_users(definitions: Mapping[str, Any]) -> tuple[ShutUser, ...]:
    """Read the marks from what a broker says of itself (`GET /api/definitions`)."""
    values = [each["value"] for each in definitions.get("global_parameters", ()) if each["name"] == MARK]
    marks = values[0] if values and isinstance(values[0], Mapping) else {}
    return tuple(
        ShutUser(name, str(mark.get("at", "")), str(mark.get("by", "")), str(mark.get("reason", "")))
        for name, mark in sorted(marks.items())
    )


def without_shut(wanted: Topology, shut: Sequence[ShutUser]) -> Topology:
    """What is wanted, but for users that are kept out and their rights."""
    names = {user.name for user in shut}
    return replace(
        wanted,
        users=tuple(user for user in wanted.users if user.name not in names),
        permissions=tuple(each for each in wanted.permissions if each.user not in names),
    )


def link_user_of(settings: Settings, country: str, user: str | None = None) -> str:
    """The link user that is meant; UsageError `partner-invalid` where it is no partner of ours, or the name another partner's."""
    name = user or (settings.link_user(country) if country in settings.partners else f"link-{country}")
    if not re.fullmatch(LINK_USER, name) or name[5:7] != country:
        raise UsageError("partner-invalid", f"a link's user begins with link-{country}", value=name)
    return name


def shut(api: ManagementApi, user: str, by: str, reason: str, now: datetime) -> None:
    """Keep a user out from now on: mark it, delete it, see its connections closed. Doing it again changes nothing.

    The broker closes a deleted user's connections by itself, at once; for some seconds more it is looked at, because the API shows
    late. UnavailableError `topology-unsettled` where a connection still stands after `PATIENCE_SECONDS`.
    """
    marks = _marks(api)
    marks.setdefault(user, {"at": utc_text(now), "by": by, "reason": reason})
    api.put("global-parameters", MARK, value={"name": MARK, "value": marks})  # first: whatever happens next, nobody lets it in again
    api.delete("users", user)
    log.warning("link.shut", user=user, by=by, reason=reason)
    _see_closed(api, user)


def readmit(api: ManagementApi, user: str) -> bool:
    """Take the mark away, so that the next `apply` makes the user again; say whether there was one."""
    marks = _marks(api)
    if marks.pop(user, None) is None:
        return False
    api.put("global-parameters", MARK, value={"name": MARK, "value": marks})
    log.warning("link.readmitted", user=user)
    return True


def _marks(api: ManagementApi) -> dict[str, Any]:
    found = [each["value"] for each in api.get("global-parameters") if each["name"] == MARK]
    return dict(found[0]) if found and isinstance(found[0], Mapping) else {}


def connections_of(api: ManagementApi, user: str) -> list[str]:
    """The names of a user's connections, as far as the API knows them already."""
    return [each["name"] for each in api.get("connections", columns="name,user") if each.get("user") == user]


def _see_closed(api: ManagementApi, user: str) -> None:
    begun = time.monotonic()
    while True:
        left = connections_of(api, user)
        for name in left:
            with suppress(SettingsError):  # one that is closing by itself just now is answered with HTTP 500; the next look tells
                api.delete("connections", name)
        waited = time.monotonic() - begun
        if not left and waited >= LATE_SECONDS:
            return
        if waited > PATIENCE_SECONDS:
            text = f"{len(left)} of its connections still stand: restart the broker, the user itself is gone"
            raise UnavailableError("topology-unsettled", text, field=user)
        time.sleep(_LOOK_SECONDS)
