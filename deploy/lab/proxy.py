"""The line over the frontier: a small TCP proxy on loopback that is cut, mended, delayed and throttled, and that counts what crosses it.

It knows nothing of what it carries.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable

from deploy.lab.ports import LOOPBACK, free_port

_CHUNK_BYTES = 64 * 1024
_PENDING_BYTES = 8 * 1024**2  # a sender that outruns a delayed line is not read from beyond this
_PACKET_BYTES = 1_460  # read at once from a throttled line, so that what shares it takes turns
_QUEUE_SECONDS = 2.0  # how much a throttled line holds before its sender has to wait


class Rate:
    """So many bytes a second in one direction, for all connections and proxies that share it."""

    def __init__(self, bytes_per_second: float) -> None:
        self.queue_bytes = max(bytes_per_second * _QUEUE_SECONDS, _PACKET_BYTES)
        self._bytes_per_second = bytes_per_second
        self._free_at = 0.0
        self._lock = threading.Lock()

    def through_at(self, count: int) -> float:
        """When so many bytes that begin now, behind all others, are through."""
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + count / self._bytes_per_second
            return self._free_at


class LineProxy:
    """Listens on `port` and passes every connection on to the target, both ways, in one thread of its own."""

    def __init__(self, target_host: str, target_port: int, *, listener: socket.socket | None = None) -> None:
        """Lead from a free port on loopback, or from a listening socket that is given, to the target."""
        self.port = free_port() if listener is None else listener.getsockname()[1]
        self.bytes_there = 0
        self.bytes_back = 0
        self.connections = 0
        self._target = (target_host, target_port)
        self._delay_seconds = 0.0
        self._rates: dict[bool, Rate | None] = {True: None, False: None}  # there, and back
        self._selector = selectors.DefaultSelector()
        self._listener: socket.socket | None = None
        self._flows: set[_Flow] = set()
        self._orders: deque[tuple[Callable[[], None], threading.Event]] = deque()
        self._bell, self._ear = socket.socketpair()
        self._ear.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ)
        self._open = True
        self._deserted: list[socket.socket] = []
        self._listen(listener)
        self._thread = threading.Thread(target=self._run, name=f"line-{self.port}", daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Break all connections and refuse new ones, until `mend`. Returns when it is done."""
        self._order(self._cut)

    def mend(self) -> None:
        """Take connections again, on the same port."""
        self._order(self._listen)

    def lead_to(self, host: str, port: int) -> None:
        """Lead to another target from now on; the connections that stand are broken."""

        def turn() -> None:
            self._target = (host, port)
            self._drop_all()

        self._order(turn)

    def leave_half_open(self) -> None:
        """Break the near side of all connections and leave the far one open, as a line does that dies without a word.

        New connections are taken. What the far side says on the old ones is not read; it learns nothing until its own timers run out.
        """
        self._order(self._leave_half_open)

    def delay(self, seconds: float) -> None:
        """Let what arrives from now on take so long, each way (a round trip takes twice as long); 0 for no delay."""
        self._delay_seconds = seconds

    def throttle(self, there: Rate | None, back: Rate | None) -> None:
        """Let no more than this through from now on, in each direction; None for as much as there is."""
        self._rates = {True: there, False: back}

    def close(self) -> None:
        """End it with all its connections."""
        if self._open:
            self._order(self._finish)
            self._thread.join()

    def _order(self, what: Callable[[], None]) -> None:
        """Have the proxy's thread do it, and wait."""
        if not self._thread.is_alive():
            return
        done = threading.Event()
        self._orders.append((what, done))
        self._bell.send(b"!")
        done.wait()

    def _run(self) -> None:
        while self._open:
            for key, events in self._selector.select(self._next_due_seconds()):
                if key.fileobj is self._ear:
                    self._obey()
                elif key.fileobj is self._listener:
                    self._accept()
                elif key.data in self._flows:
                    key.data.serve(key.fileobj, events)
            for flow in tuple(self._flows):
                flow.settle()
        self._selector.close()
        for each in (self._bell, self._ear):
            each.close()

    def _obey(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._ear.recv(64)
        while self._orders:
            what, done = self._orders.popleft()
            try:
                what()
            finally:
                done.set()

    def _listen(self, given: socket.socket | None = None) -> None:
        if self._listener is None:
            self._listener = given or socket.create_server((LOOPBACK, self.port))
            self._listener.setblocking(False)
            self._selector.register(self._listener, selectors.EVENT_READ)

    def _cut(self) -> None:
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
        self._drop_all()

    def _drop_all(self) -> None:
        for flow in tuple(self._flows):
            self._drop(flow)

    def _leave_half_open(self) -> None:
        for flow in tuple(self._flows):
            _near, far = flow.ends
            self._deserted.append(far.dup())
            self._drop(flow)

    def _finish(self) -> None:
        self._cut()
        for each in self._deserted:
            each.close()
        self._open = False

    def _accept(self) -> None:
        assert self._listener is not None  # noqa: S101  it is what became readable
        try:
            near, _ = self._listener.accept()
        except OSError:
            return  # it gave up before we looked
        try:
            far = socket.create_connection(self._target, timeout=5)
        except OSError:
            near.close()
            return
        self.connections += 1
        self._flows.add(_Flow(near, far, self))

    def _drop(self, flow: _Flow) -> None:
        self._flows.discard(flow)
        for each in flow.ends:
            with contextlib.suppress(KeyError):
                self._selector.unregister(each)
            each.close()

    def _next_due_seconds(self) -> float | None:
        due = [way.waiting[0][0] for flow in self._flows for way in flow.ways if way.waiting and not way.blocked]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _count(self, count: int, there: bool) -> None:
        if there:
            self.bytes_there += count
        else:
            self.bytes_back += count


class _Way:
    """One direction of one connection: what was read and is not yet written, each piece with the time when it is due."""

    def __init__(self, source: socket.socket, sink: socket.socket, there: bool) -> None:
        self.source, self.sink, self.there = source, sink, there
        self.waiting: deque[tuple[float, bytes]] = deque()
        self.pending_bytes = 0
        self.blocked = False  # the sink takes no more for now
        self.ended = False  # the source will say no more
        self.closed = False  # and the sink was told so


class _Flow:
    """One connection through the proxy."""

    def __init__(self, near: socket.socket, far: socket.socket, line: LineProxy) -> None:
        self.ends = (near, far)
        self.ways = (_Way(near, far, there=True), _Way(far, near, there=False))
        self._line = line
        for each in self.ends:
            each.setblocking(False)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch()

    def serve(self, end: object, events: int) -> None:
        """Read what can be read from an end, and note that it takes bytes again."""
        for way in self.ways:
            if way.sink is end and events & selectors.EVENT_WRITE:
                way.blocked = False
            if way.source is end and events & selectors.EVENT_READ:
                self._read(way)

    def settle(self) -> None:
        """Write what is due, pass on an end of speech, and leave when both ways have ended."""
        if self not in self._line._flows:
            return
        try:
            for way in self.ways:
                self._write(way)
        except OSError:
            self._line._drop(self)
            return
        if all(way.closed for way in self.ways):
            self._line._drop(self)
        else:
            self._watch()

    def _read(self, way: _Way) -> None:
        rate = self._line._rates[way.there]
        try:
            piece = way.source.recv(_CHUNK_BYTES if rate is None else _PACKET_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._line._drop(self)
            return
        if not piece:
            way.ended = True
            return
        through_at = time.monotonic() if rate is None else rate.through_at(len(piece))
        way.waiting.append((through_at + self._line._delay_seconds, piece))
        way.pending_bytes += len(piece)

    def _write(self, way: _Way) -> None:
        while way.waiting and not way.blocked and way.waiting[0][0] <= time.monotonic():
            due, piece = way.waiting.popleft()
            try:
                written = way.sink.send(piece)
            except BlockingIOError:
                written = 0
            way.pending_bytes -= written
            self._line._count(written, way.there)
            if written < len(piece):
                way.waiting.appendleft((due, piece[written:]))
                way.blocked = True
        if way.ended and not way.waiting and not way.closed:
            way.closed = True
            with contextlib.suppress(OSError):
                way.sink.shutdown(socket.SHUT_WR)

    def _watch(self) -> None:
        """Ask the selector for exactly what can be used now."""
        for end in self.ends:
            wanted = 0
            for way in self.ways:
                rate = self._line._rates[way.there]
                room = _PENDING_BYTES if rate is None else rate.queue_bytes
                if way.source is end and not way.ended and way.pending_bytes < room:
                    wanted |= selectors.EVENT_READ
                if way.sink is end and way.blocked:
                    wanted |= selectors.EVENT_WRITE
            key = self._line._selector.get_map().get(end)
            if key is None and wanted:
                self._line._selector.register(end, wanted, self)
            elif key is not None and not wanted:
                self._line._selector.unregister(end)
            elif key is not None and key.events != wanted:
                self._line._selector.modify(end, wanted, self)
