"""Withdrawals: the tombstone that is sent in an event's stead."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, and the index that finds the few rows that have them."""
    op.add_column("outbox", sa.Column("withdrawn_at_utc", sa.BigInteger()))
    op.add_column("outbox", sa.Column("withdrawal", sa.LargeBinary()))
    where = sa.text("withdrawn_at_utc IS NOT NULL")
    columns = ["destination", "settled_at_utc", "position"]
    op.create_index("outbox_withdrawn", "outbox", columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    """Remove them: what was withdrawn and is not settled is sent as it was."""
    op.drop_index("outbox_withdrawn", "outbox")
    op.drop_column("outbox", "withdrawal")
    op.drop_column("outbox", "withdrawn_at_utc")
