"""The outbox's tables of closings, in the database of the other ones (`tables`). Their SQL stands in `closings` and `closing_records`."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, LargeBinary, Table, Text, text

from broker.outbox.tables import UtcInstant, metadata

OPEN = "ended_at_utc IS NULL"

# One row a destination: where its chain of closings ends, what the house states, and the reconciliation that is asked for or under way.
account = Table(
    "account",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("number", BigInteger, nullable=False, server_default=text("0")),  # of the last agreed closing
    Column("answer_digest", LargeBinary),  # of the answer that agreed to it: the next manifest names it
    Column("agreed_at_utc", UtcInstant),
    Column("horizon_seconds", BigInteger),
    Column("house_number", BigInteger),  # the last closing that the house knew when it answered
    Column("asked_at_utc", UtcInstant),
    Column("asked_reason", Text),
    Column("asked_everything", Boolean),
    Column("begun_at_utc", UtcInstant),
    Column("reason", Text),
    Column("everything", Boolean),
    Column("finished_at_utc", UtcInstant),  # null while it is under way
    Column("streams", JSON(none_as_null=True)),
)

closing = Table(
    "closing",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("manifest_digest", LargeBinary, nullable=False),
    Column("sent_at_utc", UtcInstant, nullable=False),
    Column("sent_mark", BigInteger, nullable=False),
    Column("sends", Integer, nullable=False),
    Column("answered_at_utc", UtcInstant),
    Column("answer_digest", LargeBinary),
    Column("agreed", Boolean, nullable=False),
    Column("compared", Integer, nullable=False),
    Column("differing", Integer, nullable=False, server_default=text("0")),
    Column("manifest_jws", Text, nullable=False),
    Column("answer_jws", Text),
    Column("manifest", LargeBinary, nullable=False),
    Column("answer", LargeBinary),
)

closing_stream = Table(
    "closing_stream",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("type", Text, primary_key=True),
    Column("epoch", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("agreed_at_utc", UtcInstant, nullable=False),
    # Up to where what was agreed still holds: lowered when the house tells later that it lacks something.
    Column("holds_to", BigInteger, nullable=False),
)

closing_difference = Table(
    "closing_difference",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("type", Text, primary_key=True),
    Column("epoch", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("what", Text, nullable=False),
    Column("event_id", Text),
    Column("digest", LargeBinary),
    Column("house_event_id", Text),
    Column("house_digest", LargeBinary),
    Column("number", BigInteger, nullable=False),
    Column("found_at_utc", UtcInstant, nullable=False),
    Column("ended_at_utc", UtcInstant),
)
Index("closing_difference_open", closing_difference.c.destination, sqlite_where=text(OPEN), postgresql_where=text(OPEN))
