"""What every daemon needs: to stop when it is told to, and never to die of one message. What a daemon does stands in its own package."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, sleep_using_event, stop_when_event_set, wait_exponential

log = structlog.get_logger()

STOP_SECONDS = 9.0  # a daemon is gone 10 s after SIGTERM, what is in hand finished or given back


def stop_on_signals() -> threading.Event:
    """Give an event that SIGTERM and SIGINT set; the second signal ends the process at once, with 130."""
    stop = threading.Event()

    def _stop(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + signal.SIGINT)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    return stop


def supervise(workers: Mapping[str, Callable[[], None]], stop: threading.Event) -> None:
    """Run each named worker in a thread of its own until `stop` is set, and give them `STOP_SECONDS` to finish what they have in hand.

    A worker returns when it sees `stop`. One that ends with an exception before that is logged and started again, after growing waits.
    """
    threads = [threading.Thread(target=_run, args=(name, work, stop), name=name, daemon=True) for name, work in workers.items()]
    for thread in threads:
        thread.start()
    while not stop.wait(1.0):  # a bounded wait lets the main thread see signals on every platform
        pass
    end = time.monotonic() + STOP_SECONDS
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    for thread in threads:
        if thread.is_alive():
            log.warning("worker.abandoned", worker=thread.name, why="it did not finish in time; what it had in hand is not lost")


def _run(name: str, work: Callable[[], None], stop: threading.Event) -> None:
    # The outermost loop of a worker's thread: whatever surprises it is told with its trace, and the worker goes on.
    again = Retrying(
        retry=retry_if_exception_type(Exception),
        wait=wait_exponential(multiplier=0.5, max=30),
        stop=stop_when_event_set(stop),
        sleep=sleep_using_event(stop),
        before_sleep=lambda state: _tell(name, state),
        reraise=False,
        retry_error_callback=lambda state: None,
    )
    again(work)


def _tell(name: str, state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.error("worker.failed", worker=name, attempt=state.attempt_number, exc_info=error)
