"""Durable marks of attempts that may kill their process: a mark that is found again was left by a worker that died of its work.

Used only for deliveries that came back several times; each mark is committed before the work and removed with its result.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select

from consumers.database import insert_missing
from consumers.tables import attempt


def bundle_mark(digest: bytes) -> str:
    """The mark of opening a whole message."""
    return f"bundle:{digest.hex()}"


def left_over(connection: Connection, mark: str) -> bool:
    """Whether an earlier worker set this mark and never removed it."""
    return connection.execute(select(attempt.c.mark).where(attempt.c.mark == mark)).first() is not None


def set_mark(connection: Connection, mark: str, now_utc: datetime) -> None:
    """Say that work on it begins; the caller commits before it begins."""
    insert_missing(connection, attempt, [{"mark": mark, "begun_at_utc": now_utc}])


def remove_marks(connection: Connection, marks: Sequence[str]) -> None:
    """The work ended, well or not: forget the marks."""
    if marks:
        connection.execute(delete(attempt).where(attempt.c.mark.in_(marks)))
