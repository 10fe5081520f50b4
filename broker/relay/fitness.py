"""Whether a relay may sign now: its clock stands not before its own last event, and its certificate has not expired."""

from __future__ import annotations

from datetime import datetime

from broker.clocks import refuse_backwards
from broker.outbox.store import Outbox
from broker.trust.keys import Identity
from schemas.errors import UnavailableError
from schemas.event import utc_text


class Fitness:
    """One relay's. The outbox is asked only where the clock went back: as long as it goes on, nothing in there can be later."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._latest: datetime | None = None

    def begin(self, now: datetime) -> None:
        """Learn what the clock never stood before."""
        self._latest = max(self._outbox.newest() or now, now)

    def hindrance(self, identity: Identity, now: datetime) -> UnavailableError | None:
        """Why nothing may be signed now: `clock-behind` or `certificate-expired`; None where it may."""
        try:
            if self._latest is not None and now < self._latest:
                refuse_backwards(now, self._outbox.newest())
            else:
                self._latest = now
            _refuse_expired(identity, now)
        except UnavailableError as error:
            return error
        return None


def _refuse_expired(identity: Identity, now: datetime) -> None:
    if now >= identity.not_after_utc:
        text = 'our own certificate has expired, nobody would believe it: renew it with "panj pki renew", then it goes on by itself'
        raise UnavailableError("certificate-expired", text, value=utc_text(identity.not_after_utc))
