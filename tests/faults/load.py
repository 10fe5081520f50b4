"""The load of one fault: declarations dropped at an even pace where the posts watch, and what each of them deserves."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.lab.administrations import Administration
from schemas import examples
from schemas.content import validate
from schemas.fates import Fate
from schemas.names import EventType
from tests.faults.ledger import DEADLY, HELD, REFUSED

TICK_SECONDS = 0.1
REFUSED_EACH, HELD_EACH, TWICE_EACH = 37, 61, 41  # every so many declarations

Key = tuple[str, str, int]  # type, reference, version


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of the load: from a post to the house over the frontier."""

    sender: Administration
    post: str
    receiver: Administration

    @property
    def watch(self) -> Path:
        """Where the post watches."""
        return self.sender.watch(self.post)


@dataclass(slots=True)
class Dropped:
    """What was put into one post's directory: by file name what is in it, and by declaration the fate that it deserves."""

    way: Way
    files: dict[str, Key] = field(default_factory=dict)
    deserved: dict[Key, Fate] = field(default_factory=dict)


class Wave:
    """What one fault's load dropped. `number` makes its declarations' numbers different from all others'."""

    def __init__(self, number: int, ways: tuple[Way, ...]) -> None:
        self.number = number
        self.dropped = tuple(Dropped(way) for way in ways)
        self.deadly: set[Key] = set()
        self._sources = [_documents(number, way) for way in ways]
        self._lock = threading.Lock()

    @property
    def events(self) -> int:
        """How many different declarations were dropped."""
        return sum(len(self.keys(way)) for way in range(len(self.dropped)))

    def keys(self, way: int) -> set[Key]:
        """Which declarations were dropped one way so far."""
        with self._lock:
            return set(self.dropped[way].deserved)

    def waiting_keys(self, way: int) -> set[Key]:
        """Which declarations dropped one way still lie where they were dropped."""
        dropped = self.dropped[way]
        waiting = {path.name for path in dropped.way.watch.iterdir()}
        with self._lock:
            return {dropped.files[name] for name in waiting & dropped.files.keys()}

    def drop(self, count: int, way: int | None = None, *, deadly: bool = False) -> None:
        """Drop so many more declarations each way (or one way, by its index), one file each; `deadly`: the worker that loads them dies."""
        with self._lock:
            for each, source in zip(self.dropped, self._sources, strict=True):
                if way is None or each is self.dropped[way]:
                    keys = {_drop(each, source, deadly) for _ in range(count)}
                    self.deadly |= keys if deadly else set()


def _documents(number: int, way: Way) -> Iterator[tuple[int, EventType, dict[str, Any]]]:
    office = way.sender.plan.posts[way.post]
    examples_of_it = examples.varied(way.sender.plan.country, office, 1_000_000, number)
    return ((index, event_type, data) for index, (event_type, data) in zip(itertools.count(), examples_of_it, strict=False))


def _drop(dropped: Dropped, source: Iterator[tuple[int, EventType, dict[str, Any]]], deadly: bool) -> Key:
    index, event_type, data = next(source)
    while deadly and event_type is EventType.CROSSING_EVENT:
        index, event_type, data = next(source)
    fate = Fate.LOADED
    if event_type is not EventType.CROSSING_EVENT:
        if deadly:
            data["exporter_name"], fate = DEADLY, Fate.HELD
        elif index % REFUSED_EACH == REFUSED_EACH // 2:
            data["exporter_name"], fate = REFUSED, Fate.REFUSED
        elif index % HELD_EACH == HELD_EACH // 2:
            data["exporter_name"], fate = HELD, Fate.HELD
    model = validate(event_type, data)
    key: Key = (event_type.value, model.reference, model.version)
    text = json.dumps({"type": event_type.value, "declaration": data}, ensure_ascii=False).encode()
    for copy in range(2 if index % TWICE_EACH == TWICE_EACH // 2 else 1):
        name = f"{model.reference.rpartition('/')[2]}-{copy}.json"
        _write_whole(dropped.way.watch / name, text)
        dropped.files[name] = key
    dropped.deserved[key] = fate
    return key


def _write_whole(path: Path, content: bytes) -> None:
    """Write under another name first and rename: a watched directory never sees half a file."""
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(content)
    os.replace(partial, path)


class Load:
    """Drops a wave's declarations in a thread of its own, `per_second` each way, until it is stopped."""

    def __init__(self, wave: Wave, per_second: float) -> None:
        self.per_second = per_second
        self._wave = wave
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"load-{wave.number}", daemon=True)
        self._failure: Exception | None = None
        self._thread.start()

    def stop(self) -> None:
        """End it; raises what ended it before."""
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        owed = 0.0
        last = time.monotonic()
        try:
            while not self._stop.wait(TICK_SECONDS):
                now = time.monotonic()
                owed, last = owed + (now - last) * self.per_second, now
                self._wave.drop(int(owed))
                owed -= int(owed)
        except Exception as error:  # noqa: BLE001  told to whoever stops it: a load that ended by itself makes a quiet test
            self._failure = error
