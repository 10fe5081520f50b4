"""Numbers within streams: 1, 2, 3, … without holes, in the epoch of one life. Called within the store's transactions."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from broker.outbox.tables import stream


class Numbers:
    """The streams of one epoch, and the last number given in each."""

    def __init__(self, connection: Connection, epoch: str) -> None:
        self._connection = connection
        self._epoch = epoch
        query = select(stream.c.destination, stream.c.type, stream.c.last_sequence).where(stream.c.epoch == epoch)
        self._before: dict[tuple[str, str], int] = {(row.destination, row.type): row.last_sequence for row in connection.execute(query)}
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
                here = (stream.c.destination == destination) & (stream.c.type == event_type) & (stream.c.epoch == self._epoch)
                self._connection.execute(update(stream).where(here).values(last_sequence=last))
