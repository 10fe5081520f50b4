"""What acceptance tests do in the laboratory: put files where a post watches, run commands as a person would, and wait for what shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import create_engine, text

from deploy.demo.tally import Tally, tally
from deploy.lab.administrations import Administration
from deploy.lab.laboratory import Laboratory

WAIT_SECONDS = 60.0


def wait_for(what: str, done: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    """Wait until `done()`; fail with what was waited for."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)


@dataclass(frozen=True)
class Said:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Its one JSON document."""
        return json.loads(self.out)


class World:
    """A started laboratory with all daemons running."""

    def __init__(self, lab: Laboratory) -> None:
        self.lab = lab
        self._files = 0

    def panj(self, side: Administration, *arguments: str, timeout: float = 90) -> Said:
        """Run `panj … --config exchange.toml` of one side."""
        return self.run(*arguments, "--config", str(side.config), timeout=timeout)

    def run(self, *arguments: str, timeout: float = 90) -> Said:
        """Run `panj …`."""
        command = [sys.executable, "-m", "broker.operations.cli", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        return Said(done.returncode, done.stdout, done.stderr)

    def drop(self, side: Administration, post: str, documents: Iterable[tuple[str, dict[str, Any]]]) -> list[str]:
        """Put declarations where a post watches, one file each; their file names."""
        names = []
        for event_type, data in documents:
            self._files += 1
            names.append(f"{self._files:06}.json")
            self.write(side, post, names[-1], json.dumps({"type": str(event_type), "declaration": data}).encode())
        return names

    def write(self, side: Administration, post: str, name: str, content: bytes) -> None:
        """Put any file there, whole at once."""
        place = side.watch(post) / name
        partial = place.with_name(f".{name}.part")
        partial.write_bytes(content)
        os.replace(partial, place)

    def tallies(self) -> tuple[Tally, Tally]:
        """Both directions: tj to af, af to tj."""
        tj, af = self.lab.tj.settings, self.lab.af.settings
        return tally(tj, af), tally(af, tj)

    def wait_quiet(self, seconds: float = WAIT_SECONDS) -> None:
        """Wait until no file waits and every accepted event is settled."""

        def quiet() -> bool:
            files = [path for side in self.lab.sides for post in side.plan.posts for path in side.watch(post).glob("*.json")]
            return not files and all(each.waiting == 0 for each in self.tallies())

        wait_for(f"all is settled: {self.tallies()}", quiet, seconds)

    def rows(self, side: Administration, query: str, **values: object) -> list[tuple[Any, ...]]:
        """Ask a house's database."""
        house = side.settings.house
        assert house is not None
        engine = create_engine(house.database)
        with engine.connect() as connection:
            found = [tuple(row) for row in connection.execute(text(query), values)]
        engine.dispose()
        return found
