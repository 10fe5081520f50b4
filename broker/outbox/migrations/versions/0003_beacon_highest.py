"""What a returned beacon says of the house: the highest sequence that it holds of our epoch."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it to the beacons."""
    op.add_column("beacon", sa.Column("highest_epoch", sa.Text()))
    op.add_column("beacon", sa.Column("highest", sa.BigInteger()))


def downgrade() -> None:
    """Remove it."""
    op.drop_column("beacon", "highest")
    op.drop_column("beacon", "highest_epoch")
