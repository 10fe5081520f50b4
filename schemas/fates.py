"""What can become of an event at the receiver (DESIGN: fates), as values."""

from __future__ import annotations

from enum import StrEnum


class Fate(StrEnum):
    """The receiver's decision about one event. The first three travel in receipts; a parked one is never answered."""

    LOADED = "LOADED"
    REFUSED = "REFUSED"
    HELD = "HELD"
    PARKED = "PARKED"

    @property
    def final(self) -> bool:
        """Whether the sender's outbox row is finished by it: LOADED and REFUSED are, HELD is an interim answer."""
        return self in (Fate.LOADED, Fate.REFUSED)
