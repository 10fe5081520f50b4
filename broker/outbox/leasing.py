"""The lease: one relay per outbox. Called within the store's transactions; how long to hold it is the relay's decision."""

from __future__ import annotations

import os
import secrets
import socket
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select, update

from broker.outbox.tables import lease
from schemas.errors import UnavailableError
from schemas.event import utc_text

NAME = "relay"


def new_holder() -> str:
    """A name for a would-be holder: `<machine>:<process id>:<random mark>`."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def take(connection: Connection, holder: str, seconds: float, now: datetime) -> None:
    """Take the lease for so long; UnavailableError `outbox-leased` names who has it.

    A holder on this machine whose process is gone (killed) is followed at once, without waiting for its lease to end.
    """
    row = connection.execute(select(lease).where(lease.c.name == NAME).with_for_update()).first()
    if row is not None and row.holder != holder and row.until_utc > now and not _is_gone(row.holder):
        raise UnavailableError(
            "outbox-leased",
            f"this outbox is relayed by {row.holder} until {utc_text(row.until_utc)}: one relay per outbox",
            value=row.holder,
        )
    connection.execute(delete(lease).where(lease.c.name == NAME))
    connection.execute(insert(lease), {"name": NAME, "holder": holder, "until_utc": now + timedelta(seconds=seconds)})


def renew(connection: Connection, holder: str, seconds: float, now: datetime) -> None:
    """Hold it for so long from now; UnavailableError `outbox-lease-lost` where it is another's by now."""
    here = (lease.c.name == NAME) & (lease.c.holder == holder)
    changed = connection.execute(update(lease).where(here).values(until_utc=now + timedelta(seconds=seconds)))
    if changed.rowcount == 0:
        raise UnavailableError("outbox-lease-lost", "another process has taken over this outbox: this one stops relaying", value=holder)


def release(connection: Connection, holder: str) -> None:
    """Give it up, if it is still held."""
    connection.execute(delete(lease).where(lease.c.name == NAME, lease.c.holder == holder))


def _is_gone(holder: str) -> bool:
    """Whether the holder was a process of this machine that does not run any more."""
    machine, _, rest = holder.rpartition(":")[0].rpartition(":")
    if machine != socket.gethostname() or not rest.isdigit():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
