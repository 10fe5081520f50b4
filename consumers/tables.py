"""The tables of the customs house's own bookkeeping: inbox, stream, evidence, crl, held, withdrawal, parked, attempt, known_post, orders.
They live in the database that the consumers load, so that one transaction holds both. Their SQL stands in `inbox`, `streams`, `evidence`,
`held`, `withdrawals`, `parked`, `attempts`, `known_posts` and `review`. The tables of closings stand in `closing_tables`.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, UniqueConstraint, text

from broker.audit import audit_table
from consumers.columns import Instant, big, digest, document, identifier, name, words

metadata = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_name)s", "uq": "uq_%(table_name)s_%(column_0_name)s", "pk": "pk_%(table_name)s"}
)

HELD_BY = "suspension IS NOT NULL AND finished_at_utc IS NULL"

inbox = Table(
    "inbox",
    metadata,
    Column("event_id", identifier(), primary_key=True, comment="the event's UUIDv7"),
    Column("source", name(100), nullable=False, comment="URN of the post"),
    Column("destination", name(100), nullable=False, comment="URN of this house"),
    Column("type", name(60), nullable=False),
    Column("epoch", name(16), nullable=False),
    Column("sequence", big(), nullable=False),
    Column("reference", name(200), nullable=False, comment="the declaration's, such as TJ/PNJ/2026/1"),
    Column("version", Integer, comment="null where the content could not be read"),
    Column("digest", digest(), nullable=False, comment="SHA-256 of `raw`"),
    Column("fate", name(8), nullable=False, comment="LOADED, REFUSED or HELD; final but for HELD"),
    Column("problems", document(), comment="why, where the fate is not LOADED"),
    Column("received_at_utc", Instant(), nullable=False),
    Column("decided_at_utc", Instant(), nullable=False),
    Column("duplicates", Integer, nullable=False, server_default=text("0"), comment="how often it came again"),
    Column("bundle_digest", digest(), nullable=False, comment="evidence.bundle_digest"),
    Column("content", digest(), comment="SHA-256 over the data in canonical JSON; null where it could not be read"),
    Column("reply_key", digest(), comment="of an event that came encrypted: the key under which reasons go back"),
    Column("raw", LargeBinary, nullable=False, comment="the signed bytes, exactly"),
    Column("purpose", name(64), comment="for what its sender released it; null: came before this was kept here"),
    Column("legal_basis", words()),
    # A stream's places stand together, however many events of other types its epoch has: an epoch is one post's.
    UniqueConstraint("epoch", "type", "sequence", "source", "destination", name="uq_inbox_place"),
    Index("ix_inbox_reference", "reference"),
    Index("ix_inbox_bundle_digest", "bundle_digest"),  # from a signature to its events: after a theft, and when signatures are swept
    Index("ix_inbox_duplicates", "duplicates", postgresql_where=text("duplicates > 0"), sqlite_where=text("duplicates > 0")),
    Index("ix_inbox_undone", "fate", postgresql_where=text("fate <> 'LOADED'"), sqlite_where=text("fate <> 'LOADED'")),
)

stream = Table(
    "stream",
    metadata,
    Column("source", name(100), primary_key=True, comment="URN of the post"),
    Column("epoch", name(16), primary_key=True),
    Column("type", name(60), primary_key=True),
    Column("first_seen_utc", Instant(), nullable=False),
    Column("pruned_to", big(), nullable=False, server_default=text("0"), comment="up to here the events are in the archive only"),
)

evidence = Table(
    "evidence",
    metadata,
    Column("bundle_digest", digest(), primary_key=True, comment="SHA-256 of `jws`"),
    Column("jws", words(), nullable=False, comment="the detached signature over the digests of the bundle's events, certificates included"),
    Column("signatory", name(100), nullable=False, comment="URN in the signing certificate"),
    Column("fingerprint", name(64), nullable=False, comment="SHA-256 of the signing certificate, hex"),
    Column("signed_at_utc", Instant(), nullable=False),
    Column("received_at_utc", Instant(), nullable=False),
    Column("crls", document(), comment="the lists that its certificates were checked against: `crl.digest` of each in base64url"),
    # Holds all that is asked after a theft, so that no `jws` of 60 kB is read over; in the order in which it is asked.
    Index("ix_evidence_fingerprint", "fingerprint", "received_at_utc", "bundle_digest"),
)

crl = Table(
    "crl",
    metadata,
    Column("digest", digest(), primary_key=True, comment="SHA-256 of `der`"),
    Column("country", name(2), nullable=False),
    Column("issuer", words(), nullable=False, comment="the authority's name, RFC 4514"),
    Column("number", name(50), nullable=False, comment="CRLNumber, decimal; up to 20 bytes, more than an integer column holds"),
    Column("this_update_utc", Instant(), nullable=False),
    Column("next_update_utc", Instant(), nullable=False),
    Column("first_seen_utc", Instant(), nullable=False),
    Column("der", LargeBinary, nullable=False),
)

held = Table(
    "held",
    metadata,
    Column("event_id", identifier(), ForeignKey("inbox.event_id", name="fk_held_inbox"), primary_key=True),
    Column("queue", name(40), nullable=False, comment="the consumer that tries it again"),
    Column("code", name(64), nullable=False),
    Column("problem", words(), nullable=False),
    Column("exception", words(), comment="type and place of what the handler raised; not told to the sender"),
    Column("traceback", words(), comment="the end of its traceback"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_attempt_at_utc", Instant(), comment="null: left to a person"),
    Column("first_held_at_utc", Instant(), nullable=False),
    Column("released_by_order", big(), comment="review_order.number: a person decided that no rule holds it any more"),
    Column("finished_at_utc", Instant(), comment="when the broker confirmed the final receipt"),
    Column("suspension", name(12), comment="suspension.id: not tried before that ends"),
    Index("ix_held_suspension", "suspension", "queue", "event_id", postgresql_where=text(HELD_BY), sqlite_where=text(HELD_BY)),
    Index(
        "ix_held_due",
        "queue",
        "next_attempt_at_utc",
        postgresql_where=text("finished_at_utc IS NULL"),
        sqlite_where=text("finished_at_utc IS NULL"),
    ),
)

suspension = Table(
    "suspension",
    metadata,
    Column("id", name(12), primary_key=True),
    Column("partner", name(2), comment="null: any, as `post` and `type`"),
    Column("post", name(40)),
    Column("type", name(60)),
    Column("reason", words(), nullable=False),
    Column("begun_by", words(), nullable=False),
    Column("begun_at_utc", Instant(), nullable=False),
    Column("until_utc", Instant(), comment="null: until somebody ends it"),
    Column("ended_at_utc", Instant()),
    Column("ended_by", words()),
    Column("end_reason", words()),
    Column("drained_at_utc", Instant(), comment="when it had ended and held nothing any more"),
    Index("ix_suspension_open", "id", postgresql_where=text("drained_at_utc IS NULL"), sqlite_where=text("drained_at_utc IS NULL")),
)

withdrawal = Table(
    "withdrawal",
    metadata,
    Column(
        "event_id",
        identifier(),
        ForeignKey("inbox.event_id", name="fk_withdrawal_inbox"),
        primary_key=True,
        comment="the withdrawn event's",
    ),
    Column("digest", digest(), nullable=False, comment="SHA-256 of `raw`, the tombstone's own"),
    Column("reason", words(), nullable=False),
    Column(
        "filled_place",
        Boolean,
        nullable=False,
        comment="the event had not come: inbox.raw are the tombstone's bytes, inbox.digest is the event's",
    ),
    Column("received_at_utc", Instant(), nullable=False),
    Column("bundle_digest", digest(), nullable=False, comment="evidence.bundle_digest"),
    Column("raw", LargeBinary, nullable=False, comment="the tombstone's signed bytes, exactly"),
)

parked = Table(
    "parked",
    metadata,
    Column("digest", digest(), primary_key=True, comment="of routing key, headers and body; of the event where one event is parked"),
    Column("lane", name(2), nullable=False),
    Column("queue", name(100), nullable=False),
    Column("code", name(64), nullable=False),
    Column("text", words(), nullable=False),
    Column("claimed_source", name(100), comment="what the headers or the event claim; nobody vouches for it"),
    Column("times", Integer, nullable=False),
    Column("first_seen_utc", Instant(), nullable=False),
    Column("last_seen_utc", Instant(), nullable=False),
    Column("bytes", big(), nullable=False, comment="the message's size"),
    Column("kept_bytes", big(), nullable=False, comment="how much of it is kept in `body` and `headers`"),
    Column("body", LargeBinary, comment="null where it was too large, or the parked rows together"),
    Column("headers", document()),
    Column("closed_at_utc", Instant(), comment="when all events that it claims to hold had been taken in after all, or by a person"),
    Column("closed_by_order", big(), comment="review_order.number, where a person had it opened again or discarded it"),
    Index("ix_parked_open", "lane", postgresql_where=text("closed_at_utc IS NULL"), sqlite_where=text("closed_at_utc IS NULL")),
)

parked_event = Table(
    "parked_event",
    metadata,
    Column("digest", digest(), ForeignKey("parked.digest", ondelete="CASCADE", name="fk_parked_event_parked"), primary_key=True),
    Column("event_id", identifier(), primary_key=True, comment="claimed, not proven"),
    Index("ix_parked_event_event_id", "event_id"),
)

attempt = Table(
    "attempt",
    metadata,
    Column("mark", name(80), primary_key=True, comment="an event's id, or `bundle:` and the digest of a message"),
    Column("begun_at_utc", Instant(), nullable=False),
)

known_post = Table(
    "known_post",
    metadata,
    Column("source", name(100), primary_key=True, comment="URN of a post whose beacon came"),
    Column("first_seen_utc", Instant(), nullable=False),
    Column("last_seen_utc", Instant(), nullable=False, comment="when its last beacon was here, by our clock"),
    Column("skew_seconds", Float, comment="its clock less ours, less the time on the way: too low, never too high"),
    Column("skew_measured_at_utc", Instant()),
)

review_order = Table(
    "review_order",
    metadata,
    Column("number", big(), primary_key=True, autoincrement=False),
    Column("kind", name(6), nullable=False, comment="held or parked"),
    Column("action", name(8), nullable=False, comment="replay, release or discard"),
    Column("reason", words(), nullable=False),
    Column("chosen", words(), nullable=False, comment="how the set was chosen, as it was typed"),
    Column("state", name(9), nullable=False, comment="waiting (for a second person), running, done, cancelled or expired"),
    Column("ordered_by", words(), nullable=False, comment="the login"),
    Column("ordered_at_utc", Instant(), nullable=False),
    Column("expires_at_utc", Instant(), comment="until when a second person may approve it; null: it needs none"),
    Column("approved_by", words()),
    Column("approved_at_utc", Instant()),
    Column("finished_at_utc", Instant()),
    Index(
        "ix_review_order_open",
        "state",
        postgresql_where=text("state IN ('waiting', 'running')"),
        sqlite_where=text("state IN ('waiting', 'running')"),
    ),
)

review_item = Table(
    "review_item",
    metadata,
    Column("order_number", big(), ForeignKey("review_order.number", name="fk_review_item_order"), primary_key=True),
    Column("key", name(64), primary_key=True, comment="the held event's id, or the parked row's digest in hexadecimal"),
    Column("queue", name(100), nullable=False, comment="whose consumer tries it: as in `held` and `parked`"),
    Column("code", name(64), nullable=False, comment="why it was held or parked when it was chosen"),
    Column("begun_at_utc", Instant(), comment="set before a parked message is opened: found again, its worker died of it"),
    Column("outcome", name(10), comment="null: not done yet"),
    Column("outcome_code", name(64)),
    Column("done_at_utc", Instant()),
    # What stands in an open order is in no other one.
    Index("uq_review_item_open", "key", unique=True, postgresql_where=text("outcome IS NULL"), sqlite_where=text("outcome IS NULL")),
    Index("ix_review_item_open", "order_number", postgresql_where=text("outcome IS NULL"), sqlite_where=text("outcome IS NULL")),
)

audit = audit_table(metadata)
