"""Followers: who they are, what each has done with which event, and up to where each stream is done."""

import sqlalchemy as sa
from alembic import op

from consumers.columns import Instant, big, identifier, name, words

revision = "follow_0017"
down_revision = "archived_event_0016"
branch_labels = None
depends_on = None

_FAILED = sa.text("outcome = 'failed'")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "follower",
        sa.Column("name", name(40), nullable=False),
        sa.Column("began_at_utc", Instant(), nullable=False),
        sa.Column("trouble_code", name(64), comment="why it cannot go on at all; null: it can"),
        sa.Column("trouble", words()),
        sa.Column("trouble_since_utc", Instant()),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_follower")),
    )
    op.create_table(
        "followed",
        sa.Column("event_id", identifier(), nullable=False, comment="inbox.event_id"),
        sa.Column("follower", name(40), nullable=False),
        sa.Column("reference", name(200), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("outcome", name(10), nullable=False, comment="written, noted, skipped, superseded, known or failed"),
        sa.Column("detail", words(), comment="where it was written, or why not"),
        sa.Column("code", name(64), comment="of the problem, where it failed"),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("0"), comment="that failed"),
        sa.Column("next_attempt_at_utc", Instant(), comment="of one that failed; null: left to a person"),
        sa.Column("at_utc", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["inbox.event_id"], name="fk_followed_inbox", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("event_id", "follower", name=op.f("pk_followed")),
    )
    op.create_index("ix_followed_reference", "followed", ["follower", "reference"])
    op.create_index("ix_followed_failed", "followed", ["follower"], postgresql_where=_FAILED, sqlite_where=_FAILED)
    op.create_table(
        "follow_mark",
        sa.Column("follower", name(40), nullable=False),
        sa.Column("source", name(100), nullable=False),
        sa.Column("epoch", name(16), nullable=False),
        sa.Column("type", name(60), nullable=False),
        sa.Column("done_to", big(), nullable=False, comment="up to here every sequence of the stream is there, final, and done with"),
        sa.PrimaryKeyConstraint("follower", "source", "epoch", "type", name=op.f("pk_follow_mark")),
    )


def downgrade() -> None:
    """Drop them: what followers have done is forgotten, and done again later."""
    op.drop_table("follow_mark")
    op.drop_table("followed")
    op.drop_table("follower")
