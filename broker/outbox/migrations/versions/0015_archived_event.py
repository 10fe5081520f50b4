"""Where the events that are in the archive only are found."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index; what was archived before is not in it."""
    op.create_table(
        "archived_event",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("archived_event_pk")),
    )
    op.create_index("archived_event_reference", "archived_event", ["reference"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("archived_event")
