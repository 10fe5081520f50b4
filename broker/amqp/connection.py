"""One AMQP connection and the thread that does its input and output, and nothing else. It connects again, for ever.

What is said over it stands in `publishing` and `consuming`; both hand their work in with `call` and never touch pika from outside.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

import pika
import pika.exceptions
import structlog
from pika.adapters.select_connection import IOLoop
from pika.channel import Channel
from tenacity import RetryCallState, Retrying, wait_exponential_jitter

from broker.amqp.target import ConnectionTarget
from schemas.errors import PanjError

log = structlog.get_logger()

_WAITS = wait_exponential_jitter(multiplier=0.2, max=30, jitter=0.5)
RENEW_SECONDS = 10.0  # how long a connection that is made anew waits for what is in hand on it
_LOOK_SECONDS = 0.05
_TOLD_EACH = 10  # of a long outage, every tenth attempt is logged


class Talk(Protocol):
    """What is done over the connection; all methods are called in its thread."""

    def opened(self, connection: pika.SelectConnection) -> None:
        """The connection stands: open channels."""

    def rest(self) -> None:
        """Begin nothing new: the connection is about to be made anew."""

    def resting(self) -> bool:
        """Whether nothing is in hand any more."""

    def closed(self) -> None:
        """The connection is gone, with all that was not confirmed or acknowledged; or another attempt at one failed."""


class Connection:
    """Keeps one connection open in a thread of its own."""

    def __init__(self, target: ConnectionTarget, purpose: str, talk: Talk) -> None:
        self._target = target
        self._purpose = purpose
        self._talk = talk
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._loop: IOLoop | None = None
        self._connection: pika.SelectConnection | None = None
        self._stands = False
        self._renewing = False
        self._attempts = 0
        self.trouble: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"amqp {purpose} {target.virtual_host}", daemon=True)
        self._thread.start()

    @property
    def stands(self) -> bool:
        """Whether the connection is open at this moment, as far as this side knows."""
        return self._stands

    def call(self, work: Callable[[], None]) -> bool:
        """Have `work` done in the connection's thread; False where there is no connection to do it on (then it is not done)."""
        with self._lock:
            if self._loop is None:
                return False
            self._loop.add_callback_threadsafe(work)
            return True

    def renew(self) -> None:
        """Make the connection anew once what is in hand on it is finished, or after `RENEW_SECONDS`. Returns at once.

        Where none stands there is nothing to do: the next one reads the key files anyway.
        """
        self.call(self._begin_renewal)

    def _begin_renewal(self) -> None:
        connection = self._connection
        if connection is not None and connection.is_open and not self._renewing:
            self._renewing = True
            self._talk.rest()
            self._renew_when_resting(connection, time.monotonic() + RENEW_SECONDS)

    def _renew_when_resting(self, connection: pika.SelectConnection, until: float) -> None:
        if not connection.is_open:
            return
        if self._talk.resting() or time.monotonic() >= until:
            connection.close()
        else:
            connection.ioloop.call_later(_LOOK_SECONDS, partial(self._renew_when_resting, connection, until))

    def close(self) -> None:
        """Close the connection and end its thread, within a few seconds."""
        self._closing.set()
        self.call(self._close)
        if threading.current_thread() is not self._thread:
            self._thread.join(5)

    def _close(self) -> None:
        connection = self._connection
        if connection is not None and connection.is_open:
            connection.close()
        elif self._loop is not None:
            self._loop.stop()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._connect_once()
            except (PanjError, OSError, pika.exceptions.AMQPError) as error:
                self._note(str(error))
            except Exception as error:  # a thread's outermost loop: nothing that comes over the wire may end it for good
                log.exception("connection.surprised", purpose=self._purpose, lane=self._target.virtual_host)
                self._note(type(error).__name__)
            self._stands = False
            self._talk.closed()
            self._closing.wait(self._pause_seconds())

    def _connect_once(self) -> None:
        loop = IOLoop()
        with self._lock:
            self._loop = loop
        try:
            self._connection = pika.SelectConnection(
                self._target.parameters(self._purpose),
                on_open_callback=self._opened,
                on_open_error_callback=lambda _, error: self._ended(loop, error),
                on_close_callback=lambda _, error: self._ended(loop, error),
                custom_ioloop=loop,
            )
            loop.start()
        finally:
            with self._lock:
                self._loop = None  # nothing is handed in any more: what was not done is dropped with the loop
            self._connection = None
            loop.close()

    def _opened(self, connection: pika.SelectConnection) -> None:
        log.info("connection.made", purpose=self._purpose, lane=self._target.virtual_host, after_attempts=self._attempts)
        self._stands = True
        self._attempts = 0
        self.trouble = None
        self._talk.opened(connection)
        if self._closing.is_set():
            connection.close()

    def _ended(self, loop: IOLoop, error: BaseException) -> None:
        if self._renewing and isinstance(error, pika.exceptions.ConnectionClosedByClient):
            log.info("connection.renewed", purpose=self._purpose, lane=self._target.virtual_host)
        elif not self._closing.is_set():
            self._note(_words_of(error))
        self._renewing = False
        loop.stop()

    def _note(self, why: str) -> None:
        self.trouble = why
        if self._attempts % _TOLD_EACH == 0:
            log.warning("connection.lost", purpose=self._purpose, lane=self._target.virtual_host, attempts=self._attempts, why=why)
        self._attempts += 1

    def _pause_seconds(self) -> float:
        state = RetryCallState(Retrying(), None, (), {})  # the strategy reads nothing but the number of attempts
        state.attempt_number = max(1, self._attempts)
        return _WAITS(state)


def _words_of(error: BaseException) -> str:
    """Say what ended a connection, in the broker's words where there are some."""
    if isinstance(error, pika.exceptions.ConnectionClosed):
        return f"{error.reply_code} {error.reply_text}"
    causes = [error, *getattr(error, "args", ())]
    named = next((each for each in causes if isinstance(each, BaseException) and str(each)), error)
    return f"{type(error).__name__}: {named}"[:300]


class ChannelKeeper:
    """Opens a channel again, after growing waits, whenever the broker closes it, as long as the connection stands.

    `on_closed` is told whether the broker closed the channel for something done on it, and not because the connection went.
    """

    def __init__(self, purpose: str, on_open: Callable[[Channel], None], on_closed: Callable[[bool], None]) -> None:
        self._purpose = purpose
        self._on_open = on_open
        self._on_closed = on_closed
        self._connection: pika.SelectConnection | None = None
        self._failures = 0
        self.trouble: str | None = None

    def start(self, connection: pika.SelectConnection) -> None:
        """Open the channel on a fresh connection."""
        self._connection = connection
        self._open()

    def stop(self) -> None:
        """Forget the connection: it is gone, or the channel is not wanted any more."""
        self._connection = None

    def works(self) -> None:
        """Note that the channel did its work: the next failure is a first one."""
        self._failures = 0
        self.trouble = None

    def again(self, why: str) -> None:
        """Open anew after a while."""
        connection = self._connection
        if connection is None or not connection.is_open:
            return
        if self._failures % _TOLD_EACH == 0:
            log.warning("channel.closed", purpose=self._purpose, why=why, failures=self._failures)
        self.trouble = why
        self._failures += 1
        connection.ioloop.call_later(min(30.0, 0.2 * 2 ** min(self._failures, 10)), self._open)

    def _open(self) -> None:
        if self._connection is not None and self._connection.is_open:
            self._connection.channel(on_open_callback=self._opened)

    def _opened(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._closed)
        self._on_open(channel)

    def _closed(self, _: Channel, error: Exception) -> None:
        self._on_closed(isinstance(error, pika.exceptions.ChannelClosedByBroker))
        if isinstance(error, pika.exceptions.ChannelClosedByBroker):
            self.again(f"{error.reply_code} {error.reply_text}")
