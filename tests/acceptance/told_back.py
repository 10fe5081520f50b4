"""Posts that tell fates back to their national systems, each in another way: their settings, and what was told so far."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import create_engine, text

from broker.trust.keys import write_atomically
from deploy.lab.administrations import Administration
from tests.acceptance.world import World
from tests.unit.producers.national import DDL, KEY, listening

CORRECTED = "registered anew in the national system"


@dataclass(frozen=True)
class Way:
    """A post that tells back, another post of the same side, the house that loads, and how what was told is read: oldest first."""

    side: Administration
    post: str
    other: str
    house: Administration
    told: Callable[[], list[dict[str, Any]]]

    def fates(self, number: str) -> list[tuple[int, str]]:
        """Version and fate of each telling about a declaration, in their order."""
        return [(each["version"], each["fate"]) for each in self.told() if each["reference"].endswith(f"/{number}")]

    def codes(self, number: str) -> list[str]:
        """The codes of the problems that were told about a declaration."""
        about = [each for each in self.told() if each["reference"].endswith(f"/{number}")]
        return [problem["code"] for each in about for problem in each["problems"]]


@contextmanager
def three_ways(world: World) -> Iterator[list[Way]]:
    """Have three posts tell back, started anew with it: as files, by call-backs to a server on loopback, as rows."""
    tj, af = world.lab.sides
    place = tj.directory / "var" / "panji-poyon" / "fates"
    database = f"sqlite:///{af.directory}/var/national.sqlite"
    engine = create_engine(database)
    with engine.begin() as connection:
        connection.execute(text(DDL))
    write_atomically(tj.directory / "secrets" / "fates", b"whsec_" + base64.b64encode(KEY), mode=0o600)

    def in_files() -> list[dict[str, Any]]:
        return [
            json.loads(path.read_bytes())["data"] for path in sorted(place.glob("[!.]*.json"), key=lambda path: path.name.split(".")[1])
        ]

    def in_rows() -> list[dict[str, Any]]:
        with engine.connect() as connection:
            rows = connection.execute(text("SELECT reference, version, fate, problems FROM panj_fate ORDER BY number")).mappings()
            return [{**row, "problems": json.loads(row["problems"] or "[]")} for row in rows]

    with listening() as called:
        _tell_back(world, tj, "panji-poyon", f'directory = "{place}"')
        _tell_back(world, tj, "ishkoshim", f'url = "{called.url}"\nsecret = "secrets/fates"')
        _tell_back(world, af, "sher-khan-bandar", f'database = "{database}"')
        yield [
            Way(tj, "panji-poyon", "ishkoshim", af, in_files),
            Way(tj, "ishkoshim", "panji-poyon", af, lambda: [said["data"] for said in called.said]),
            Way(af, "sher-khan-bandar", "eshkashim", tj, in_rows),
        ]
    engine.dispose()


def _tell_back(world: World, side: Administration, post: str, fates: str) -> None:
    """Start a post anew with these settings; a SAD that is exported again is the next version for it."""
    reading = f'versions = "next"\ncorrection_reason = "{CORRECTED}"'
    more = f"\n[posts.{post}.fates]\n{fates}\n\n[posts.{post}.reading]\n{reading}\n"
    side.config.write_text(side.config.read_text() + more)
    world.lab.daemons[f"{side.plan.country}-{post}"].terminate(10)
    world.lab.spawn_post(side, post)
