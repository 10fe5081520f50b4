"""What a daemon believes and signs with, kept fresh while it works: changed anchors and CRLs, and its own renewed pair. No restart.

Both daemons run one of these in a thread of its own. What is believed stands in `trust.anchors`, how a pair is replaced in `trust.keys`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog

from broker.settings.model import KeyPair
from broker.trust.anchors import TrustStore
from broker.trust.keys import Identity, own_identity
from schemas.errors import SettingsError

RELOAD_SECONDS = 1.0

log = structlog.get_logger()

Marks = tuple[tuple[int, int] | None, ...]


class Freshness:
    """One daemon's. `take` is given each renewed identity; `then` are further looks at the same pace, after the trust store's.

    `signing` is what the daemon signs with at first: a pair replaced since that was read is seen at the first look.
    """

    def __init__(
        self,
        trust: TrustStore,
        signing: Identity,
        pair: KeyPair,
        take: Callable[[Identity], None],
        then: Sequence[Callable[[], None]] = (),
    ) -> None:
        self._trust = trust
        self._party = signing.party
        self._pair = pair
        self._take = take
        self._then = then
        self._fingerprint = signing.fingerprint
        self._known: Marks | None = None

    def run(self, stop: threading.Event) -> None:
        """Look each second until `stop` is set."""
        while not stop.wait(RELOAD_SECONDS):
            self.look()

    def look(self) -> None:
        """Look once; cheap while no file has changed."""
        self._trust.reload()
        self._look_at_pair()
        for look in self._then:
            look()

    def _look_at_pair(self) -> None:
        marks = _marks_of(self._pair)
        if marks == self._known:
            return
        self._known = marks
        try:
            identity = own_identity(self._party, self._pair)
        except SettingsError as error:  # half renewed, or wrong: the pair that we have goes on signing
            log.warning("certificate.unusable", unit=self._party.unit, code=error.code, reason=str(error))
            return
        if identity.fingerprint == self._fingerprint:
            return
        self._fingerprint = identity.fingerprint
        self._take(identity)
        until = identity.not_after_utc.isoformat()
        log.info("certificate.renewed", unit=self._party.unit, not_after=until, fingerprint=identity.fingerprint)


def _marks_of(pair: KeyPair) -> Marks:
    """What tells whether a file was replaced; None where it is away."""
    marks: list[tuple[int, int] | None] = []
    for path in (pair.key, pair.certificate):
        try:
            found = path.stat()
            marks.append((found.st_ino, found.st_mtime_ns))
        except OSError:
            marks.append(None)
    return tuple(marks)
