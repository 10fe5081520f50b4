"""The key under which a house's reasons come back for an event that was encrypted to it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it."""
    op.add_column("outbox", sa.Column("reply_key", sa.LargeBinary()))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("outbox", "reply_key")
