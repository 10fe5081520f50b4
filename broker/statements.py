"""What SQL statements on both databases share. No table is named here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

from sqlalchemy import Executable, Table
from sqlalchemy.dialects import postgresql, sqlite

_Item = TypeVar("_Item")


def in_parts(items: Sequence[_Item], at_once: int = 1_000) -> Iterator[Sequence[_Item]]:
    """Cut what statements name into parts of as many items: the parameters of one statement are bounded (SQLite, "Limits In SQLite")."""
    return (items[start : start + at_once] for start in range(0, len(items), at_once))


@lru_cache
def insert_missing(table: Table, dialect: str) -> Executable:
    """Insert rows whose key is not there yet, and leave the others; made once for each table and dialect (its name)."""
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert(table).on_conflict_do_nothing()
