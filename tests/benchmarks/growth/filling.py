"""Filling a house's database in sets: one event that was really taken in, a millionfold, as the pipeline would have written it.

Ids are in the order of time and references rise, as in life; the exact bytes are cut to some hundred, so that ten million fit on a disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, Table, text

from consumers.loaders.record.tables import declaration, declaration_item
from consumers.tables import evidence, inbox
from tests.benchmarks.growth.measuring import tell
from tests.integration.consumers.frontier import EXPORT, Post

STEP = 500_000
_BEGAN_MS = 1_700_000_000_000
_ID = f"(lpad(to_hex({_BEGAN_MS} + n), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid"
_BUNDLE = "sha256(('bundle ' || n / 500)::bytea)"
_REFERENCE = "'TJ/PNJ/2025/' || n"
_LONG_AGO = "now() - interval '400 days'"


@dataclass(frozen=True, slots=True)
class Filler:
    """Fills the tables from what stands for the event `template`, for these posts in turn."""

    engine: Engine
    template: str
    posts: Sequence[Post]

    def fill(self, first: int, last: int) -> None:
        """Add events `first` to `last`, a stretch of them for each post, and go over the tables as autovacuum does."""
        for start in range(first, last + 1, STEP):
            end = min(last, start + STEP - 1)
            for index, post in enumerate(self.posts):
                self._add(post, start, end, index)
            self._sign(start, end)
            tell(f"    filled to {end:,}")
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM (ANALYZE, PARALLEL 0)")

    def _add(self, post: Post, first: int, last: int, index: int) -> None:
        share, before = len(self.posts), post.sequences.get(EXPORT, 0)
        chosen = f"SELECT n, row_number() OVER (ORDER BY n) + {before} AS sequence FROM generate_series({first}, {last}) AS n"  # noqa: S608 - numbers
        numbers = f"({chosen} WHERE n % {share} = {index}) AS numbers"
        own = {"event_id": _ID, "reference": _REFERENCE}
        taken = {**own, "source": f"'{post.party.urn}'", "epoch": f"'{post.epoch}'", "sequence": "numbers.sequence"}
        taken |= {"digest": "sha256(n::text::bytea)", "bundle_digest": _BUNDLE, "raw": "substr(t.raw, 1, 300)"}
        taken |= {"received_at_utc": _LONG_AGO, "decided_at_utc": _LONG_AGO}
        with self.engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            self._insert(connection, inbox, taken, numbers, "t.event_id = :template")
            self._insert(connection, declaration, own | {"registration_number": "n::text"}, numbers, "t.event_id = :template")
            self._insert(connection, declaration_item, {"event_id": _ID}, numbers, "t.event_id = :template AND t.number = 1")
        post.sequences[EXPORT] = before + len(range(first + (index - first) % share, last + 1, share))

    def _sign(self, first: int, last: int) -> None:
        """Add the signatures of the bundles that these events came in."""
        numbers = f"(SELECT bundle * 500 AS n FROM generate_series({first // 500}, {last // 500}) AS bundle) AS numbers"  # noqa: S608 - numbers
        signed = "t.bundle_digest = (SELECT bundle_digest FROM inbox WHERE event_id = :template)"
        with self.engine.begin() as connection:
            self._insert(connection, evidence, {"bundle_digest": _BUNDLE, "received_at_utc": _LONG_AGO}, numbers, signed)

    def _insert(self, connection: Connection, table: Table, values: Mapping[str, str], numbers: str, condition: str) -> None:
        names = ", ".join(f'"{column.name}"' for column in table.columns)
        chosen = ", ".join(values.get(column.name, f't."{column.name}"') for column in table.columns)
        rows = f'SELECT {chosen} FROM {numbers}, "{table.name}" AS t WHERE {condition} ORDER BY n'  # noqa: S608 - names are our own tables'
        connection.execute(text(f'INSERT INTO "{table.name}" ({names}) {rows} ON CONFLICT DO NOTHING'), {"template": self.template})
