"""A relay's hold on its outbox: the lease taken, renewed each few seconds, and given up. Its row: `broker.outbox.leasing`."""

from __future__ import annotations

import time

from broker.outbox.store import Outbox
from schemas.errors import UnavailableError

LEASE_SECONDS = 15.0


class Tenure:
    """One relay's lease. `holds` is judged by this machine's monotonic clock, so that a stalled process stops publishing."""

    def __init__(self, outbox: Outbox, holder: str, seconds: float) -> None:
        self.holder = holder
        self._outbox = outbox
        self._seconds = seconds
        self._renewed_at = 0.0
        self._held = False

    @property
    def holds(self) -> bool:
        """Whether the lease is still ours for certain."""
        return self._held and time.monotonic() - self._renewed_at < self._seconds * 0.8

    def begin(self) -> None:
        """Take the lease; UnavailableError `outbox-leased` names who has it."""
        at = time.monotonic()
        self._outbox.lease.take(self.holder, self._seconds)
        self._renewed_at, self._held = at, True

    def keep(self) -> None:
        """Renew it where a third of it has passed; UnavailableError `outbox-lease-lost` where another has it."""
        at = time.monotonic()
        if at - self._renewed_at < self._seconds / 3:
            return
        try:
            self._outbox.lease.renew(self.holder, self._seconds)
        except UnavailableError as error:
            self._held = self._held and error.code != "outbox-lease-lost"
            raise
        self._renewed_at = at

    def end(self) -> None:
        """Give it up, so that the next one need not wait; where the outbox does not answer, it ends by itself."""
        if self._held:
            self._held = False
            try:
                self._outbox.lease.release(self.holder)
            except UnavailableError:
                return
