"""The customs house's bookkeeping: inbox, evidence, held, parked, attempts.

Revision inbox_0001. Once released it is never changed: a change of the tables is a revision of its own.
"""

import sqlalchemy as sa
from alembic import op

from consumers import columns

revision = "inbox_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "attempt",
        sa.Column("mark", columns.name(80), nullable=False, comment="an event's id, or `bundle:` and the digest of a message"),
        sa.Column("begun_at_utc", columns.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("mark", name=op.f("pk_attempt")),
    )
    op.create_table(
        "evidence",
        sa.Column("bundle_digest", columns.digest(), nullable=False, comment="SHA-256 of `jws`"),
        sa.Column(
            "jws",
            columns.words(),
            nullable=False,
            comment="the detached signature over the digests of the bundle's events, certificates included",
        ),
        sa.Column("signatory", columns.name(100), nullable=False, comment="URN in the signing certificate"),
        sa.Column("fingerprint", columns.name(64), nullable=False, comment="SHA-256 of the signing certificate, hex"),
        sa.Column("signed_at_utc", columns.Instant(), nullable=False),
        sa.Column("received_at_utc", columns.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("bundle_digest", name=op.f("pk_evidence")),
    )
    op.create_table(
        "inbox",
        sa.Column("event_id", columns.identifier(), nullable=False, comment="the event's UUIDv7"),
        sa.Column("source", columns.name(100), nullable=False, comment="URN of the post"),
        sa.Column("destination", columns.name(100), nullable=False, comment="URN of this house"),
        sa.Column("type", columns.name(60), nullable=False),
        sa.Column("epoch", columns.name(16), nullable=False),
        sa.Column("sequence", columns.big(), nullable=False),
        sa.Column("reference", columns.name(200), nullable=False, comment="the declaration's, such as TJ/PNJ/2026/1"),
        sa.Column("version", sa.Integer(), nullable=True, comment="null where the content could not be read"),
        sa.Column("digest", columns.digest(), nullable=False, comment="SHA-256 of `raw`"),
        sa.Column("fate", columns.name(8), nullable=False, comment="LOADED, REFUSED or HELD; final but for HELD"),
        sa.Column("problems", columns.document(), nullable=True, comment="why, where the fate is not LOADED"),
        sa.Column("received_at_utc", columns.Instant(), nullable=False),
        sa.Column("decided_at_utc", columns.Instant(), nullable=False),
        sa.Column("duplicates", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="how often it came again"),
        sa.Column("bundle_digest", columns.digest(), nullable=False, comment="evidence.bundle_digest"),
        sa.Column("raw", sa.LargeBinary(), nullable=False, comment="the signed bytes, exactly"),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("epoch", "sequence", "source", "type", "destination", name="uq_inbox_place"),
    )
    op.create_index("ix_inbox_reference", "inbox", ["reference"], unique=False)
    op.create_index(
        "ix_inbox_undone",
        "inbox",
        ["fate"],
        unique=False,
        postgresql_where=sa.text("fate <> 'LOADED'"),
        sqlite_where=sa.text("fate <> 'LOADED'"),
    )
    op.create_table(
        "parked",
        sa.Column(
            "digest", columns.digest(), nullable=False, comment="of routing key, headers and body; of the event where one event is parked"
        ),
        sa.Column("lane", columns.name(2), nullable=False),
        sa.Column("queue", columns.name(100), nullable=False),
        sa.Column("code", columns.name(64), nullable=False),
        sa.Column("text", columns.words(), nullable=False),
        sa.Column("claimed_source", columns.name(100), nullable=True, comment="what the headers or the event claim; nobody vouches for it"),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("first_seen_utc", columns.Instant(), nullable=False),
        sa.Column("last_seen_utc", columns.Instant(), nullable=False),
        sa.Column("bytes", columns.big(), nullable=False, comment="the message's size"),
        sa.Column("kept_bytes", columns.big(), nullable=False, comment="how much of it is kept in `body` and `headers`"),
        sa.Column("body", sa.LargeBinary(), nullable=True, comment="null where it was too large, or the parked rows together"),
        sa.Column("headers", columns.document(), nullable=True),
        sa.Column(
            "closed_at_utc",
            columns.Instant(),
            nullable=True,
            comment="when all events that it claims to hold had been taken in after all, or by a person",
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_parked")),
    )
    op.create_index(
        "ix_parked_open",
        "parked",
        ["lane"],
        unique=False,
        postgresql_where=sa.text("closed_at_utc IS NULL"),
        sqlite_where=sa.text("closed_at_utc IS NULL"),
    )
    op.create_table(
        "held",
        sa.Column("event_id", columns.identifier(), nullable=False),
        sa.Column("queue", columns.name(40), nullable=False, comment="the consumer that tries it again"),
        sa.Column("code", columns.name(64), nullable=False),
        sa.Column("problem", columns.words(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at_utc", columns.Instant(), nullable=True, comment="null: left to a person"),
        sa.Column("first_held_at_utc", columns.Instant(), nullable=False),
        sa.Column("finished_at_utc", columns.Instant(), nullable=True, comment="when the broker confirmed the final receipt"),
        sa.ForeignKeyConstraint(["event_id"], ["inbox.event_id"], name="fk_held_inbox"),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_held")),
    )
    op.create_index(
        "ix_held_due",
        "held",
        ["queue", "next_attempt_at_utc"],
        unique=False,
        postgresql_where=sa.text("finished_at_utc IS NULL"),
        sqlite_where=sa.text("finished_at_utc IS NULL"),
    )
    op.create_table(
        "parked_event",
        sa.Column("digest", columns.digest(), nullable=False),
        sa.Column("event_id", columns.identifier(), nullable=False, comment="claimed, not proven"),
        sa.ForeignKeyConstraint(["digest"], ["parked.digest"], name="fk_parked_event_parked", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest", "event_id", name=op.f("pk_parked_event")),
    )
    op.create_index("ix_parked_event_event_id", "parked_event", ["event_id"], unique=False)


def downgrade() -> None:
    """Drop them, with all that is in them."""
    op.drop_index("ix_parked_event_event_id", table_name="parked_event")
    op.drop_table("parked_event")
    op.drop_index(
        "ix_held_due",
        table_name="held",
        postgresql_where=sa.text("finished_at_utc IS NULL"),
        sqlite_where=sa.text("finished_at_utc IS NULL"),
    )
    op.drop_table("held")
    op.drop_index(
        "ix_parked_open",
        table_name="parked",
        postgresql_where=sa.text("closed_at_utc IS NULL"),
        sqlite_where=sa.text("closed_at_utc IS NULL"),
    )
    op.drop_table("parked")
    op.drop_index(
        "ix_inbox_undone", table_name="inbox", postgresql_where=sa.text("fate <> 'LOADED'"), sqlite_where=sa.text("fate <> 'LOADED'")
    )
    op.drop_index("ix_inbox_reference", table_name="inbox")
    op.drop_table("inbox")
    op.drop_table("evidence")
    op.drop_table("attempt")
