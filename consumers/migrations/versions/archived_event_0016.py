"""Where the events that are in the archive only are found.

Revision archived_event_0016. Once released it is never changed: a change of the tables is a revision of its own.
"""

import sqlalchemy as sa
from alembic import op

from consumers.columns import big, identifier, name

revision = "archived_event_0016"
down_revision = "purpose_0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index; what was archived before is not in it."""
    op.create_table(
        "archived_event",
        sa.Column(
            "event_id",
            identifier(),
            nullable=False,
            comment="its row is gone; the block that holds its place is a file of the archive",
        ),
        sa.Column("reference", name(200), nullable=False),
        sa.Column("source", name(100), nullable=False),
        sa.Column("type", name(60), nullable=False),
        sa.Column("epoch", name(16), nullable=False),
        sa.Column("sequence", big(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_archived_event")),
    )
    op.create_index("ix_archived_event_reference", "archived_event", ["reference"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("archived_event")
