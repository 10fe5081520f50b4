"""The marks beside an SQLite outbox by which one that was set back or lost is found out: which life was begun, and how far it came.

`<outbox>.begun` holds the epoch, synced before anything is accepted in it; `<outbox>.reached` how many events were accepted in it, written
each second and never waited for: after a loss of power it may be behind the outbox, and never ahead of it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url

from broker.trust.keys import write_atomically

BEGUN = ".begun"
REACHED = ".reached"
_REACHED = re.compile(r"([0-9a-f]{16}) ([0-9]{20})\n")


@dataclass(frozen=True, slots=True)
class Marker:
    """The marks of one outbox file."""

    outbox: Path

    @classmethod
    def of(cls, url: str) -> Marker | None:
        """The marker of an outbox; None where it is not a file."""
        parsed = make_url(url)
        return cls(Path(parsed.database)) if parsed.get_backend_name() == "sqlite" and parsed.database else None

    @property
    def path(self) -> Path:
        """Where the epoch stands."""
        return self.outbox.with_name(self.outbox.name + BEGUN)

    @property
    def _reached_path(self) -> Path:
        return self.outbox.with_name(self.outbox.name + REACHED)

    @property
    def lost(self) -> bool:
        """Whether an outbox was begun here and its file is gone."""
        return self.path.exists() and not self.outbox.exists()

    def begun(self) -> str | None:
        """The epoch of the life that was begun here last, None where none was."""
        try:
            return self.path.read_text("ascii", errors="replace").strip()[:64]
        except FileNotFoundError:
            return None

    def begin(self, epoch: str) -> None:
        """Note durably that this life is begun here."""
        write_atomically(self.path, f"{epoch}\n".encode())

    def reached(self, epoch: str) -> int:
        """How many events had been accepted in this life, as far as is noted."""
        try:
            found = _REACHED.fullmatch(self._reached_path.read_text("ascii", errors="replace"))
        except OSError:
            return 0
        return int(found.group(2)) if found is not None and found.group(1) == epoch else 0

    def reach(self, epoch: str, accepted: int) -> None:
        """Note how many were accepted. In place and always of the same length: a torn write reads as none."""
        descriptor = os.open(self._reached_path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        try:
            os.pwrite(descriptor, f"{epoch} {accepted:020}\n".encode(), 0)
        finally:
            os.close(descriptor)
