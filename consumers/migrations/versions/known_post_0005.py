"""The posts that a house knows, and how their clocks stand."""

import sqlalchemy as sa
from alembic import op

from consumers.columns import Instant, name

revision = "known_post_0005"
down_revision = "sealed_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "known_post",
        sa.Column("source", name(100), nullable=False, comment="URN of a post whose beacon came"),
        sa.Column("first_seen_utc", Instant(), nullable=False),
        sa.Column("last_seen_utc", Instant(), nullable=False, comment="when its last beacon was here, by our clock"),
        sa.Column("skew_seconds", sa.Float(), comment="its clock less ours, less the time on the way: too low, never too high"),
        sa.Column("skew_measured_at_utc", Instant()),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_known_post")),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("known_post")
