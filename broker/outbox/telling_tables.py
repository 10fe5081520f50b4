"""The tables of what is told back to the national system. They stay empty where nothing is; nothing else writes them than `telling`."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, Table, Text, text

from broker.outbox.tables import Position, UtcInstant, metadata

# One row: up to which position of the outbox events are watched, and why nothing is told any more, or just now.
fate_progress = Table(
    "fate_progress",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("stopped_because", Text),
    Column("trouble", Text),
)

# Every event that has not come to its end, and the last stage that was put on the way to the national system.
fate_watch = Table(
    "fate_watch",
    metadata,
    Column("position", Position, primary_key=True, autoincrement=False),
    Column("told", Integer, nullable=False),
)

# What is on the way to it, in the order in which it is told; gone once it was taken.
fate_telling = Table(
    "fate_telling",
    metadata,
    Column("number", Position, primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("fate", Text, nullable=False),
    Column("problems", JSON(none_as_null=True)),
    Column("at_utc", UtcInstant, nullable=False),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("next_at_utc", UtcInstant, nullable=False, server_default=text("0")),
    sqlite_autoincrement=True,
)
Index("fate_telling_reference", fate_telling.c.reference, fate_telling.c.number)
