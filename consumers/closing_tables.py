"""The house's tables of closings, in the database of the other ones (`tables`). Their SQL stands in `closing`."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, Table, text

from consumers.columns import Instant, big, digest, identifier, name, words
from consumers.tables import metadata

closing = Table(
    "closing",
    metadata,
    Column("source", name(100), primary_key=True, comment="URN of the post"),
    Column("number", big(), primary_key=True, autoincrement=False, comment="the post counts its closings with this house from 1"),
    Column("manifest_digest", digest(), nullable=False, comment="SHA-256 of `manifest`"),
    Column("answer_digest", digest(), nullable=False, comment="SHA-256 of `answer`: the next closing names it as `previous`"),
    Column("previous", digest(), comment="of our answer to the closing before, as the post states it"),
    Column("agreed", Boolean, nullable=False, comment="until it is, a newer manifest with the same number takes the row"),
    Column("follows", Boolean, nullable=False, comment="whether the closing before is ours to know, and is the one that the post means"),
    Column("compared", Integer, nullable=False, comment="blocks"),
    Column("differing", Integer, nullable=False, comment="blocks"),
    Column("answered_at_utc", Instant(), nullable=False),
    Column("manifest", LargeBinary, nullable=False, comment="the post's signed bytes, exactly"),
    Column("manifest_jws", words(), nullable=False),
    Column("answer", LargeBinary, nullable=False, comment="our signed bytes, exactly"),
    Column("answer_jws", words(), nullable=False),
)

closing_stream = Table(
    "closing_stream",
    metadata,
    Column("source", name(100), primary_key=True),
    Column("type", name(60), primary_key=True),
    Column("epoch", name(16), primary_key=True),
    Column("number", big(), primary_key=True, autoincrement=False, comment="an agreed closing"),
    Column("first", big(), nullable=False, comment="of the sequences that it compared"),
    Column("last", big(), nullable=False),
)

closing_difference = Table(
    "closing_difference",
    metadata,
    Column("source", name(100), primary_key=True),
    Column("type", name(60), primary_key=True),
    Column("epoch", name(16), primary_key=True),
    Column("first", big(), primary_key=True, autoincrement=False, comment="of the block"),
    Column("last", big(), nullable=False),
    Column(
        "what",
        name(8),
        nullable=False,
        comment="missing: we lack events; other: another id or digest stands here; archived: we pruned another block",
    ),
    Column("lacking", Integer, nullable=False, comment="events"),
    Column("number", big(), nullable=False, comment="the closing that found it last"),
    Column("found_at_utc", Instant(), nullable=False),
    Column("ended_at_utc", Instant(), comment="when an agreed closing compared the block"),
    Index(
        "ix_closing_difference_open",
        "source",
        postgresql_where=text("ended_at_utc IS NULL"),
        sqlite_where=text("ended_at_utc IS NULL"),
    ),
)

archived_event = Table(
    "archived_event",
    metadata,
    Column("event_id", identifier(), primary_key=True, comment="its row is gone; the block that holds its place is a file of the archive"),
    Column("reference", name(200), nullable=False),
    Column("source", name(100), nullable=False),
    Column("type", name(60), nullable=False),
    Column("epoch", name(16), nullable=False),
    Column("sequence", big(), nullable=False),
    Index("ix_archived_event_reference", "reference"),
)

archived_block = Table(
    "archived_block",
    metadata,
    Column("source", name(100), primary_key=True),
    Column("type", name(60), primary_key=True),
    Column("epoch", name(16), primary_key=True),
    Column("first", big(), primary_key=True, autoincrement=False, comment="of the sequences whose rows are in the archive only"),
    Column("last", big(), nullable=False),
    Column("digest", digest(), nullable=False, comment="over their lines, as a manifest states it"),
    Column("file", words(), nullable=False),
    Column("archived_at_utc", Instant(), nullable=False),
)
