"""The tables of followers: who they are, what each has done with which event, and up to where each stream is done. Their SQL: `ledger`."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, Table, text

from consumers.columns import Instant, big, identifier, name, words
from consumers.tables import metadata

FAILED = "outcome = 'failed'"

follower = Table(
    "follower",
    metadata,
    Column("name", name(40), primary_key=True),
    Column("began_at_utc", Instant(), nullable=False),
    Column("trouble_code", name(64), comment="why it cannot go on at all; null: it can"),
    Column("trouble", words()),
    Column("trouble_since_utc", Instant()),
)

followed = Table(
    "followed",
    metadata,
    Column(
        "event_id",
        identifier(),
        ForeignKey("inbox.event_id", name="fk_followed_inbox", ondelete="CASCADE"),
        primary_key=True,
        comment="inbox.event_id",
    ),
    Column("follower", name(40), primary_key=True),
    Column("reference", name(200), nullable=False),
    Column("version", Integer, nullable=False),
    Column("outcome", name(10), nullable=False, comment="written, noted, skipped, superseded, known or failed"),
    Column("detail", words(), comment="where it was written, or why not"),
    Column("code", name(64), comment="of the problem, where it failed"),
    Column("attempts", Integer, nullable=False, server_default=text("0"), comment="that failed"),
    Column("next_attempt_at_utc", Instant(), comment="of one that failed; null: left to a person"),
    Column("at_utc", Instant(), nullable=False),
    Index("ix_followed_reference", "follower", "reference"),
    Index("ix_followed_failed", "follower", postgresql_where=text(FAILED), sqlite_where=text(FAILED)),
)

follow_mark = Table(
    "follow_mark",
    metadata,
    Column("follower", name(40), primary_key=True),
    Column("source", name(100), primary_key=True),
    Column("epoch", name(16), primary_key=True),
    Column("type", name(60), primary_key=True),
    Column("done_to", big(), nullable=False, comment="up to here every sequence of the stream is there, final, and done with"),
)
