"""How far a measured difference of clocks may be off, and when it was measured."""

import sqlalchemy as sa
from alembic import op

from broker.outbox.tables import UtcInstant

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("beacon", sa.Column("skew_error_seconds", sa.Float()))
    op.add_column("beacon", sa.Column("skew_at_utc", UtcInstant()))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("beacon", "skew_at_utc")
    op.drop_column("beacon", "skew_error_seconds")
