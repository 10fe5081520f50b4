"""The demo's story, step by step: what goes well between two administrations, what goes wrong, and how it comes right again."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from deploy.demo.sabotage import tamper_with_waiting_bundle
from deploy.demo.tally import Tally, tally
from deploy.lab.administrations import Administration
from deploy.lab.laboratory import Laboratory
from schemas.errors import UnavailableError
from schemas.examples import varied

CUT_SECONDS = 4.0
QUIET_SECONDS = 90.0
CONTESTED = "2026-CONTESTED"

Document = tuple[str, dict[str, Any]]


class Story:
    """The steps, in order; `tell` is told what is happening, and is called often enough to keep a live view alive."""

    def __init__(self, lab: Laboratory, events_per_post: int, tell: Callable[[str], None]) -> None:
        self._lab = lab
        self._events = events_per_post
        self._tell = tell
        self._numbers = itertools.count(1)
        self.settings = {side.plan.country: side.settings for side in lab.sides}

    def tallies(self) -> dict[str, Tally]:
        """Count both directions now."""
        tj, af = self.settings["tj"], self.settings["af"]
        return {"tj → af": tally(tj, af), "af → tj": tally(af, tj)}

    def run(self) -> None:
        """Tell it all."""
        self._exchange()
        self._refusal()
        self._same_file_twice()
        self._tampering()
        self._cut_line()

    def _exchange(self) -> None:
        for seed, (side, post, office) in enumerate(self._posts()):
            self._drop(side, post, varied(side.plan.country, office, self._events, seed))
        self._wait("varied declarations cross both ways", self._all_settled)

    def _refusal(self) -> None:
        first, second = self._lab.tj.plan.posts
        office = self._lab.tj.plan.posts[first]
        for number, post in enumerate((first, second)):
            ((event_type, data),) = list(varied("tj", office, 1, 1_000 + number))
            contested = data | {"registration_number": CONTESTED}
            self._drop(self._lab.tj, post, [(event_type, contested)])
            self._wait("two posts use one declaration number: the second is refused by the receiver, with its reason", self._all_settled)

    def _same_file_twice(self) -> None:
        post, office = next(iter(self._lab.af.plan.posts.items()))
        documents = list(varied("af", office, 1, 2_000))
        for _ in range(2):
            self._drop(self._lab.af, post, documents)
        self._wait("a file is sent twice and loaded once", self._all_settled)

    def _tampering(self) -> None:
        tj, af = self._lab.sides
        post, office = list(tj.plan.posts.items())[1]
        self._lab.daemons["af-customs"].terminate(10)
        ((event_type, data),) = list(varied("tj", office, 1, 3_000))
        data["exporter_name"] = "Honest exporter"
        self._drop(tj, post, [(event_type, data)])
        self._tell("a broker's operator changes a bundle that waits for the customs house")
        if not tamper_with_waiting_bundle(self.settings["af"], "tj", "af-customs.record", b"Honest exporter", b"Another exporte"):
            raise UnavailableError("demo-failed", "no bundle came to tamper with")
        self._lab.spawn_house(af)
        self._wait("the forged bundle is parked", lambda: self.tallies()["tj → af"].parked > 0)
        self._wait("no receipt comes for it: its post sends it again, and it is loaded after all", self._all_settled)

    def _cut_line(self) -> None:
        self._lab.cut()
        for seed, (side, post, office) in enumerate(self._posts()):
            self._drop(side, post, varied(side.plan.country, office, self._events // 3 + 1, 4_000 + seed))
        end = time.monotonic() + CUT_SECONDS
        self._wait("the line is cut: posts go on accepting", lambda: time.monotonic() > end)
        self._lab.mend()
        self._wait("the line is mended: what waited catches up", self._all_settled)

    def _posts(self) -> Iterable[tuple[Administration, str, str]]:
        for side in self._lab.sides:
            for post, office in side.plan.posts.items():
                yield side, post, office

    def _all_settled(self) -> bool:
        tallies = self.tallies().values()
        files = sum(len(list(side.watch(post).glob("*.json"))) for side, post, _ in self._posts())
        return not files and all(each.waiting == each.held for each in tallies)

    def _drop(self, side: Administration, post: str, documents: Iterable[Document]) -> None:
        for event_type, data in documents:
            _write_whole(side.watch(post) / f"{next(self._numbers):06}.json", {"type": event_type, "declaration": data})

    def _wait(self, said: str, done: Callable[[], bool]) -> None:
        end = time.monotonic() + QUIET_SECONDS
        self._tell(said)
        while not done():
            if time.monotonic() > end:
                raise UnavailableError("demo-failed", f"not done within {QUIET_SECONDS:.0f} s: {said}")
            time.sleep(0.1)
            self._tell(said)


def _write_whole(path: Path, document: dict[str, Any]) -> None:
    """Write under another name first and rename: a watched directory never sees half a file."""
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
    os.replace(partial, path)
