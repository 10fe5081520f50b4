"""Where our microseconds go: functions of a running daemon timed from outside, each without what it calls that is timed itself.

    python -m tests.benchmarks.stages FILE post run --post panji-poyon --config exchange.toml

runs a real `panj` daemon whose stages write their CPU time to FILE when it ends. Production code has no switch of this kind. Timing a call
costs about a microsecond, so that a profile tells a little more than the rounds, which are never profiled.
"""

from __future__ import annotations

import atexit
import functools
import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

_OURS = ("schemas", "broker", "producers", "consumers")

# What is timed, by the name that people read; the outer ones keep what no inner one took.
BUNDLES = {
    "schemas.event:digest_of": "SHA-256",
    "schemas.strict_json:parse": "strict JSON",
    "schemas.event:Event.model_validate": "pydantic: the envelope",
    "schemas.content:validate": "pydantic: the content",
    "schemas.content:content_digest": "digest of the content",
    "broker.bundle.lines:compress": "gzip",
    "broker.bundle.lines:expand": "gunzip",
    "broker.trust.signing:sign": "sign",
    "broker.trust.signing:verify": "verify",
    "broker.amqp.connection:Connection._run": "AMQP threads",
}
POST = BUNDLES | {
    "broker.outbox.store:Outbox.waiting": "outbox: read what waits",
    "broker.outbox.store:Outbox.record": "outbox: record what happened",
    "broker.relay.writing:write_bundle": "bundles: the rest",
    "broker.relay.arrivals:Mailbox.open": "receipts: the rest",
    "broker.relay.relay:Relay.run": "relay: the rest",
}
HOUSE = BUNDLES | {
    "consumers.inbox:look_up": "inbox: look up",
    "consumers.loaders.record.rows:declaration_row": "rows of record",
    "consumers.loaders.record.rows:crossing_row": "rows of record",
    "consumers.loaders.record.rows:item_row": "rows of record",
    "consumers.database:insert_rows": "COPY, the client's part",
    "consumers.evidence:write_evidence": "keep signatures",
    "consumers.handling:run_handler": "handler: the rest",
    "consumers.opening:open_deliveries": "open: the rest",
    "consumers.answers:receipts": "receipts: the rest",
    "consumers.pipeline:Pipeline.take_in": "take in: the rest",
    "consumers.worker:Worker.run": "worker: the rest",
}
INTAKE = {
    "schemas.content:validate": "pydantic: the content",
    "schemas.content:canonical_bytes": "canonical JSON",
    "schemas.event:event_bytes": "JSON of the event",
    "schemas.event:Event.model_validate": "pydantic: the envelope",
    "schemas.event:digest_of": "SHA-256",
    "producers.intake:prepare": "prepare: the rest",
    "broker.outbox.acceptance:accept": "outbox: number and insert",
    "broker.outbox.store:Outbox.accept": "outbox: the transaction",
    "producers.intake:Intake.accept": "intake: the rest",
}


class Stages:
    """Timed functions. `cost` is CPU seconds by name, and how often each was called."""

    def __init__(self, wanted: Mapping[str, str]) -> None:
        self._threads: list[dict[str, list[float]]] = []
        self._local = threading.local()
        self._begun: float | None = None
        self.missing: list[str] = []
        self._undo: list[Callable[[], None]] = []
        for place, name in wanted.items():
            self._time(place, name)

    def cost(self) -> dict[str, tuple[float, int]]:
        """What each stage took so far; `elsewhere` is what this process used outside all of them since the first was entered."""
        sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
        for found in self._threads:
            for name, (seconds, calls) in list(found.items()):
                sums[name][0] += seconds
                sums[name][1] += calls
        inside = sum(seconds for seconds, _ in sums.values())
        if self._begun is not None:
            sums["elsewhere"] = [max(time.process_time() - self._begun - inside, 0.0), 0]
        return {name: (seconds, int(calls)) for name, (seconds, calls) in sums.items()}

    def remove(self) -> None:
        """Leave the functions as they were."""
        for undo in self._undo:
            undo()

    def _time(self, place: str, name: str) -> None:
        module, _, path = place.partition(":")
        *owners, attribute = path.split(".")
        try:
            holder: Any = functools.reduce(getattr, owners, import_module(module))
            original = getattr(holder, attribute)
        except (ImportError, AttributeError):
            self.missing.append(place)  # it was renamed: its time is told with whoever calls it
            return
        timed = self._timed(original, name)
        if owners:
            self._replace(holder, attribute, staticmethod(timed) if hasattr(original, "__self__") else timed)
            return
        for each in [found for key, found in sys.modules.items() if key.partition(".")[0] in _OURS]:
            for key, value in list(vars(each).items()):
                if value is original:
                    self._replace(each, key, timed)

    def _replace(self, holder: Any, attribute: str, value: Any) -> None:
        had, before = attribute in vars(holder), vars(holder).get(attribute)
        setattr(holder, attribute, value)
        self._undo.append(lambda: setattr(holder, attribute, before) if had else delattr(holder, attribute))

    def _timed(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        clock = time.thread_time

        @functools.wraps(original)
        def timed(*arguments: Any, **named: Any) -> Any:
            mine = self._mine()
            outer, mine.inner = mine.inner, 0.0
            begun = clock()
            try:
                return original(*arguments, **named)
            finally:
                whole = clock() - begun
                entry = mine.found.setdefault(name, [0.0, 0])
                entry[0] += whole - mine.inner
                entry[1] += 1
                mine.inner = outer + whole

        return timed

    def _mine(self) -> Any:
        if not hasattr(self._local, "found"):
            self._local.found, self._local.inner = {}, 0.0
            self._threads.append(self._local.found)
            if self._begun is None:
                self._begun = time.process_time()
        return self._local


def main(file: str, *panj: str) -> None:
    """Run a daemon; write what its stages cost when it ends."""
    from broker.operations.cli import main as run  # noqa: PLC0415  a benchmark imports this module for its names alone

    for module in ("consumers.commands", "consumers.house", "consumers.loaders.record", "producers.commands", "broker.relay.relay"):
        import_module(module)
    stages = Stages(POST if panj[0] == "post" else HOUSE)
    atexit.register(lambda: Path(file).write_text(json.dumps({"cost": stages.cost(), "missing": stages.missing})))
    run([*panj])


if __name__ == "__main__":
    main(*sys.argv[1:])
