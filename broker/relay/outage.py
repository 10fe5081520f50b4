"""What is done when a destination's bundles of one type are not taken: they are left alone for growing waits, and it is told once."""

from __future__ import annotations

import structlog

from broker.ports import Published
from broker.relay.decisions import failure_wait_seconds

log = structlog.get_logger()

_TRYING = float("inf")
_CODES = {Published.RETURNED: "type-unrouted", Published.REFUSED: "broker-refuses", Published.LOST: "broker-away"}
_ADVICE = {
    Published.RETURNED: 'no queue is bound for it: run "panj topology check" here, and see that the house over there loads this type',
    Published.REFUSED: "our broker refused it: what waits for the partner fills its queue (federation_queue_max_bytes), "
    "or this unit may not publish it: see the link, and the broker's log",
    Published.LOST: "our broker was away before it confirmed: nothing to do, it is sent again",
}


class Outages:
    """The types that one destination does not take at the moment. Times are seconds of a monotonic clock."""

    def __init__(self, destination: str) -> None:
        self._destination = destination
        self._failures: dict[str, int] = {}
        self._again_at: dict[str, float] = {}
        self._how: dict[str, Published] = {}

    @property
    def types(self) -> frozenset[str]:
        """The types not taken at the moment."""
        return frozenset(self._failures)

    def due(self, now: float) -> list[str]:
        """Those of them that may be tried again now, with one bundle each."""
        return sorted(event_type for event_type, at in self._again_at.items() if now >= at)

    def failed(self, event_type: str, how: Published, events: int, now: float) -> None:
        """A bundle was not taken. Those that left together with it fail with it, and count as one."""
        if now < self._again_at.get(event_type, 0.0) < _TRYING:
            return
        self._how[event_type] = how
        failures = self._failures[event_type] = self._failures.get(event_type, 0) + 1
        self._again_at[event_type] = now + failure_wait_seconds(failures, how)
        if failures == 1:
            log.warning(
                "bundle.returned", destination=self._destination, type=event_type, how=how.value, events=events, advice=_ADVICE.get(how)
            )

    def reasons(self) -> dict[str, str]:
        """Why, by code, in words that name the types."""
        types: dict[Published, list[str]] = {}
        for event_type in sorted(self._failures):
            types.setdefault(self._how[event_type], []).append(event_type)
        return {_CODES[how]: f"{', '.join(named)}: {_ADVICE[how]}" for how, named in types.items()}

    def trying(self, event_type: str) -> None:
        """A bundle of it is on its way again: none other until it is known how that ended."""
        self._again_at[event_type] = _TRYING

    def succeeded(self, event_type: str) -> bool:
        """A bundle was taken; say whether that ended an outage."""
        failures = self._failures.pop(event_type, None)
        self._again_at.pop(event_type, None)
        if failures is not None:
            log.info("outage.ended", destination=self._destination, type=event_type, failures=failures)
        return failures is not None
