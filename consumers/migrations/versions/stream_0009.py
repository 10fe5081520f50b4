"""The streams that the house has seen."""

import sqlalchemy as sa
from alembic import op

from consumers.columns import Instant, name

revision = "stream_0009"
down_revision = "withdrawal_0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, and write down those that are in the inbox."""
    op.create_table(
        "stream",
        sa.Column("source", name(100), nullable=False, comment="URN of the post"),
        sa.Column("epoch", name(16), nullable=False),
        sa.Column("type", name(60), nullable=False),
        sa.Column("first_seen_utc", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("source", "epoch", "type", name=op.f("pk_stream")),
    )
    op.execute(
        "INSERT INTO stream (source, epoch, type, first_seen_utc)"
        " SELECT source, epoch, type, min(received_at_utc) FROM inbox GROUP BY source, epoch, type"
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("stream")
