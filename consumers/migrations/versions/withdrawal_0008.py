"""Withdrawals: the tombstones that came for events."""

import sqlalchemy as sa
from alembic import op

from consumers import columns

revision = "withdrawal_0008"
down_revision = "closing_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "withdrawal",
        sa.Column("event_id", columns.identifier(), nullable=False, comment="the withdrawn event's"),
        sa.Column("digest", columns.digest(), nullable=False, comment="SHA-256 of `raw`, the tombstone's own"),
        sa.Column("reason", columns.words(), nullable=False),
        sa.Column(
            "filled_place",
            sa.Boolean(),
            nullable=False,
            comment="the event had not come: inbox.raw are the tombstone's bytes, inbox.digest is the event's",
        ),
        sa.Column("received_at_utc", columns.Instant(), nullable=False),
        sa.Column("bundle_digest", columns.digest(), nullable=False, comment="evidence.bundle_digest"),
        sa.Column("raw", sa.LargeBinary(), nullable=False, comment="the tombstone's signed bytes, exactly"),
        sa.ForeignKeyConstraint(["event_id"], ["inbox.event_id"], name="fk_withdrawal_inbox"),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_withdrawal")),
    )


def downgrade() -> None:
    """Drop it: what was withdrawn stays refused."""
    op.drop_table("withdrawal")
