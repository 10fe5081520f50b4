"""What keeps a relay from sending, noted in its outbox: the daemon knows it, and `panj status`, in another process, says it.

Noted is what was seen twice in a row, a second apart, so that a connection being made is no trouble; written only when it changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic

from broker.outbox.store import Outbox
from broker.relay.lane import Lane
from schemas.errors import UnavailableError

LOOK_SECONDS = 1.0
_EVERYWHERE = ""  # instead of a destination: what hinders the relay as a whole

Found = dict[tuple[str, str], str]  # by destination and code: in words


class Hindrances:
    """The hindrances of one relay. Used by its thread only."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._seen: Found = {}
        self._noted: Found = {}
        self._looked_at = float("-inf")

    def begin(self) -> None:
        """Forget what an earlier process had noted."""
        self._seen, self._noted = {}, {}
        self._outbox.note_hindrances({})

    def look(self, lanes: Iterable[Lane], trouble: UnavailableError | None = None) -> None:
        """See what hinders now, where it is time to look; UnavailableError where that cannot be noted."""
        at = monotonic()
        if at - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = at
        found = {(lane.destination, code): words for lane in lanes for code, words in lane.hindrances().items()}
        if trouble is not None:
            found[_EVERYWHERE, trouble.code] = trouble.problems[0].text
        lasting = {key: words for key, words in found.items() if key in self._seen}
        self._seen = found
        if lasting != self._noted:
            self._outbox.note_hindrances(lasting)
            self._noted = lasting
