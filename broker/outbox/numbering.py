"""Numbers within streams: 1, 2, 3, … without holes, in the epoch of one life. Called within the store's transactions."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, insert, select, update

from broker.outbox.tables import stream

_LAST = select(stream.c.destination, stream.c.type, stream.c.last_sequence).where(stream.c.epoch == bindparam("life"))
_KEEP = (
    update(stream)
    .where(stream.c.destination == bindparam("to"), stream.c.type == bindparam("kind"), stream.c.epoch == bindparam("life"))
    .values(last_sequence=bindparam("last"))
)


class Numbers:
    """The streams of one epoch, and the last number given in each."""

    def __init__(self, connection: Connection, epoch: str) -> None:
        self._connection = connection
        self._epoch = epoch
        rows = connection.execute(_LAST, {"life": epoch})
        self._before: dict[tuple[str, str], int] = {(row.destination, row.type): row.last_sequence for row in rows}
        self._last = dict(self._before)

    def next(self, destination: str, event_type: str) -> int:
        """The next number of a stream."""
        key = (destination, event_type)
        number = self._last.get(key, 0) + 1
        self._last[key] = number
        return number

    def keep(self) -> None:
        """Write the last numbers down."""
        for (destination, event_type), last in self._last.items():
            before = self._before.get((destination, event_type))
            name = {"destination": destination, "type": event_type, "epoch": self._epoch}
            if before is None:
                self._connection.execute(insert(stream), {**name, "last_sequence": last})
            elif before != last:
                self._connection.execute(_KEEP, {"to": destination, "kind": event_type, "life": self._epoch, "last": last})
