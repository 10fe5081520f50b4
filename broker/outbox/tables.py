"""The outbox's tables (SQLAlchemy Core), the same on SQLite and PostgreSQL. What is done with them stands in the modules beside it;
how a database gets them, in `migrations`.

Parties are kept as URNs, instants as whole microseconds since 1970 in UTC, digests as 32 bytes. The partial indexes hold only what is
unfinished: a million settled rows cost neither a start nor a turn of the relay.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

from broker.audit import audit_table

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class UtcInstant(TypeDecorator[datetime]):
    """An instant in UTC as whole microseconds since 1970: exact, ordered, and the same in both databases."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Give the microseconds of an aware instant."""
        return None if value is None else (value - _BEGINNING) // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Give the instant of so many microseconds."""
        return None if value is None else _BEGINNING + timedelta(microseconds=value)


metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "uq": "%(table_name)s_%(column_0_N_name)s_unique",
        "ix": "%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite numbers rows by itself only where the key is called exactly INTEGER.
Position = BigInteger().with_variant(Integer, "sqlite")

WAITING = "relayed_at_utc IS NULL AND settled_at_utc IS NULL"
RELAYED = "relayed_at_utc IS NOT NULL AND settled_at_utc IS NULL"
REFUSED = "fate = 'REFUSED'"
WITHDRAWN = "withdrawn_at_utc IS NOT NULL"
CURRENT = "current"

outbox_life = Table(
    "outbox_life",
    metadata,
    Column("epoch", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("begun_at_utc", UtcInstant, nullable=False),
    Column("current", Boolean, nullable=False),
    Column("suspected_at_utc", UtcInstant),  # since when it is known that the outbox was set back: nothing is accepted in this life
    Column("suspected_because", Text),
    Column("recovering_at_utc", UtcInstant),  # the life was begun by a recovery: nothing is accepted until `recovered_at_utc`
    Column("recovered_at_utc", UtcInstant),
)
Index("outbox_life_current", outbox_life.c.current, unique=True, sqlite_where=text(CURRENT), postgresql_where=text(CURRENT))

stream = Table(
    "stream",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("type", Text, primary_key=True),
    Column("epoch", Text, primary_key=True),
    Column("last_sequence", BigInteger, nullable=False),
    Column("pruned_to", BigInteger, nullable=False, server_default=text("0")),  # up to here the events are in the archive only
    # Numbers below, given in a time that a restored outbox forgot, of which no house knows the event.
    Column("holes", BigInteger, nullable=False, server_default=text("0")),
)

outbox = Table(
    "outbox",
    metadata,
    Column("position", Position, primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("epoch", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("reference", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("content_digest", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("accepted_at_utc", UtcInstant, nullable=False),
    Column("relayed_at_utc", UtcInstant),
    Column("relayed_mark", BigInteger),
    Column("relays", Integer, nullable=False, server_default=text("0")),
    Column("answered_fate", Text),
    Column("settled_at_utc", UtcInstant),
    Column("fate", Text),
    Column("problems", JSON(none_as_null=True)),
    Column("reply_key", LargeBinary),
    Column("withdrawn_at_utc", UtcInstant),
    Column("withdrawal", LargeBinary),  # the tombstone's exact bytes, sent in the event's stead; none once it proved too late
    # 0: accepted here. 1, 2, …: learned from the house, without bytes, the first, second … of its name.
    Column("learned", Integer, nullable=False, server_default=text("0")),
    Column("raw", LargeBinary, nullable=False),  # behind the others: SQLite reads them without walking over a long one
    Column("receipt_digest", LargeBinary),  # receipt.digest of the one that gave `fate`, or, while there is none, `answered_fate`
    UniqueConstraint("event_id"),
    UniqueConstraint("destination", "type", "epoch", "sequence"),
    # The reference leads, so that acceptance and `panj trace` both find by it.
    UniqueConstraint("reference", "version", "destination", "type", "learned"),
    sqlite_autoincrement=True,
)
Index(
    "outbox_waiting",
    outbox.c.destination,
    outbox.c.position,
    outbox.c.type,
    outbox.c.bytes,
    sqlite_where=text(WAITING),
    postgresql_where=text(WAITING),
)
Index(
    "outbox_relayed",
    outbox.c.destination,
    outbox.c.relayed_at_utc,
    sqlite_where=text(RELAYED),
    postgresql_where=text(RELAYED),
)
Index(
    "outbox_withdrawn",
    outbox.c.destination,
    outbox.c.settled_at_utc,
    outbox.c.position,
    sqlite_where=text(WITHDRAWN),
    postgresql_where=text(WITHDRAWN),
)
Index("outbox_refused", outbox.c.destination, outbox.c.position, sqlite_where=text(REFUSED), postgresql_where=text(REFUSED))

beacon = Table(
    "beacon",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("sent_mark", BigInteger, nullable=False),
    Column("sent_at_utc", UtcInstant, nullable=False),
    Column("returned_mark", BigInteger, nullable=False, server_default=text("0")),
    Column("returned_at_utc", UtcInstant),
    Column("skew_seconds", Float),
    Column("skew_error_seconds", Float),
    Column("skew_at_utc", UtcInstant),
    Column("highest_epoch", Text),
    Column("highest", BigInteger),
)

lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until_utc", UtcInstant, nullable=False),
)

parked_control = Table(
    "parked_control",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("lane", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("times", BigInteger, nullable=False),
    Column("first_seen_utc", UtcInstant, nullable=False),
    Column("last_seen_utc", UtcInstant, nullable=False),
)
Index("parked_control_last_seen", parked_control.c.last_seen_utc)

receipt = Table(
    "receipt",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("house", Text, nullable=False),
    Column("received_at_utc", UtcInstant, nullable=False),
    Column("jws", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),
)

receipt_counter = Table(
    "receipt_counter",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("what", Text, primary_key=True),  # mismatched, contradicted, repeated
    Column("times", BigInteger, nullable=False),
)

recovery = Table(
    "recovery",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("epoch", Text, nullable=False),  # the life that asks
    Column("begun_at_utc", UtcInstant, nullable=False),
    Column("told", BigInteger, nullable=False),
    Column("remaining", BigInteger),
    Column("answered_at_utc", UtcInstant),
    Column("learned", BigInteger, nullable=False, server_default=text("0")),
    Column("settled", BigInteger, nullable=False, server_default=text("0")),
    Column("reissued", BigInteger, nullable=False, server_default=text("0")),
)

recovery_head = Table(
    "recovery_head",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("type", Text, primary_key=True),
    Column("epoch", Text, primary_key=True),
    Column("last", BigInteger, nullable=False),
)

# What the houses told so far, page by page: applied in one transaction once a house has told all, and gone then.
recovery_entry = Table(
    "recovery_entry",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("epoch", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("type", Text, primary_key=True),
    Column("event_id", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("reference", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("content", LargeBinary),
    Column("fate", Text, nullable=False),
    Column("problems", JSON(none_as_null=True)),
    Column("sealed", Text),  # the problems, under the event's own reply key
    Column("receipt_digest", LargeBinary),  # of the answer that says so, where it settles one of ours
)

Index("recovery_entry_reference", recovery_entry.c.reference)

# An event that nobody took because its place was taken, and the one that bears its content now.
reissued = Table(
    "reissued",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("became", Text, nullable=False),
    Column("at_utc", UtcInstant, nullable=False),
)

hindrance = Table(
    "hindrance",
    metadata,
    Column("destination", Text, primary_key=True),  # empty: the relay as a whole
    Column("code", Text, primary_key=True),
    Column("words", Text, nullable=False),
    Column("since_utc", UtcInstant, nullable=False),
)

# How the second copy stands, for other processes: one row, where there is one.
copy_state = Table(
    "copy_state",
    metadata,
    Column("directory", Text, primary_key=True),
    Column("trouble", Text),
    Column("whole", Boolean, nullable=False),
    Column("since_utc", UtcInstant, nullable=False),
    Column("seen_at_utc", UtcInstant, nullable=False),
)

suspension = Table(
    "suspension",
    metadata,
    Column("id", Text, primary_key=True),
    Column("partner", Text),  # the destination's country
    Column("type", Text),
    Column("reason", Text, nullable=False),
    Column("begun_by", Text, nullable=False),
    Column("begun_at_utc", UtcInstant, nullable=False),
    Column("until_utc", UtcInstant),
    Column("ended_at_utc", UtcInstant),
    Column("ended_by", Text),
    Column("end_reason", Text),
)

# Idempotency keys: SHA-256 of the key and of the body that came with it, and what was answered.
request = Table(
    "request",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("at_utc", UtcInstant, nullable=False),
    Column("answer", JSON(none_as_null=True)),
)
Index("request_at_utc", request.c.at_utc)

# Where the events whose rows are gone stand: the block that holds this place of the stream is a file of the archive.
archived_event = Table(
    "archived_event",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("reference", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("epoch", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
)
Index("archived_event_reference", archived_event.c.reference)

# How far each table or view of a national database was read: what follows `place` was not.
source_cursor = Table(
    "source_cursor",
    metadata,
    Column("name", Text, primary_key=True),
    Column("place", JSON(none_as_null=True)),
    Column("rows", BigInteger, nullable=False, server_default=text("0")),
    Column("rejected", BigInteger, nullable=False, server_default=text("0")),
    Column("read_at_utc", UtcInstant),
    Column("waiting_since_utc", UtcInstant),
    Column("trouble", Text),
)

audit = audit_table(metadata)
