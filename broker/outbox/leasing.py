"""The lease: one relay per outbox. How long to hold it is the relay's decision."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Engine, delete, insert, select, update

from broker.outbox.engine import one_at_a_time, writing
from broker.outbox.tables import lease
from schemas.errors import UnavailableError
from schemas.event import utc_text

NAME = "relay"


def new_holder() -> str:
    """A name for a would-be holder: `<machine>:<process id>:<random mark>`."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class Lease:
    """The lease of one outbox. Each method is one transaction."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock

    def take(self, holder: str, seconds: float) -> None:
        """Become the one relay of this outbox for so long; UnavailableError `outbox-leased` names who is.

        A holder on this machine whose process is gone (killed) is followed at once, without waiting for its lease to end.
        """
        with writing(self._engine) as connection:
            one_at_a_time(connection)
            now = self._clock()
            row = connection.execute(select(lease).where(lease.c.name == NAME).with_for_update()).first()
            if row is not None and row.holder != holder and row.until_utc > now and not _is_gone(row.holder):
                raise UnavailableError(
                    "outbox-leased",
                    f"this outbox is relayed by {row.holder} until {utc_text(row.until_utc)}: one relay per outbox",
                    value=row.holder,
                )
            connection.execute(delete(lease).where(lease.c.name == NAME))
            connection.execute(insert(lease), {"name": NAME, "holder": holder, "until_utc": now + timedelta(seconds=seconds)})

    def renew(self, holder: str, seconds: float) -> None:
        """Stay it for so long from now; UnavailableError `outbox-lease-lost` where another is by now."""
        here = (lease.c.name == NAME) & (lease.c.holder == holder)
        with writing(self._engine) as connection:
            changed = connection.execute(update(lease).where(here).values(until_utc=self._clock() + timedelta(seconds=seconds)))
            if changed.rowcount == 0:
                text = "another process has taken over this outbox: this one stops relaying"
                raise UnavailableError("outbox-lease-lost", text, value=holder)

    def release(self, holder: str) -> None:
        """Be it no longer."""
        with writing(self._engine) as connection:
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
