"""Whether the work was done right: what was accepted stands in the database, whole and once, and every row of the outbox is settled."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from broker.outbox.values import Draft
from broker.settings.model import Settings
from producers.intake import prepare, routes_of
from tests.benchmarks.ours import reads

_KEPT = """
    SELECT d.reference, d.version, d.content, count(i.event_id)
    FROM declaration AS d JOIN inbox USING (event_id) LEFT JOIN declaration_item AS i USING (event_id)
    WHERE inbox.fate = 'LOADED' AND d.reference LIKE %(round)s GROUP BY d.event_id
    UNION ALL
    SELECT c.reference, 1, c.content, 0
    FROM crossing_event AS c JOIN inbox USING (event_id)
    WHERE inbox.fate = 'LOADED' AND c.reference LIKE %(round)s
"""

Kept = tuple[str, int, bytes, int]  # reference, version, SHA-256 of the content, items


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one round must bring into a database."""

    rows: frozenset[Kept]
    pattern: str

    @classmethod
    def of(cls, settings: Settings, count: int, seed: int) -> Wanted:
        """What `count` declarations of a seed come to, made from them again and not taken from anybody's outbox."""
        routes = routes_of(settings)
        rows = []
        for read in reads(count, seed):
            draft = prepare(read, "tj", routes).drafts[0]
            assert isinstance(draft, Draft)  # its version is stated
            rows.append((draft.reference, draft.version, draft.content_digest, len(read.data.get("items", ()))))
        return cls(frozenset(rows), f"%/{seed:04}%")

    def check(self, name: str, database: str, *, duplicates: int | None = None, encrypted: bool = False) -> None:
        """End everything where a database holds anything else, or anything came openly that was to be `encrypted`.

        `database` as psycopg takes it.
        """
        with psycopg.connect(database) as connection:
            kept = [
                (reference, version, bytes(content), items)
                for reference, version, content, items in connection.execute(_KEPT, {"round": self.pattern})
            ]
            openly = connection.execute("SELECT EXISTS (SELECT 1 FROM inbox WHERE reply_key IS NULL)").fetchone()
            again = connection.execute("SELECT coalesce(sum(duplicates), 0) FROM inbox").fetchone()
        if len(kept) != len(set(kept)) or set(kept) != self.rows:
            lacking, strange = len(self.rows - set(kept)), len(set(kept) - self.rows)
            raise SystemExit(f"{name} did not do the work: {lacking} of {len(self.rows)} are missing, {strange} are not what was sent")
        if encrypted and openly != (False,):
            raise SystemExit(f"{name}: what was to be encrypted came openly")
        if duplicates is not None and again != (duplicates,):
            raise SystemExit(f"{name}: {duplicates} copies were sent, {again} were noticed")
