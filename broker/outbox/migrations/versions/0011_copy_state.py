"""How the second copy of the outbox stands."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "copy_state",
        sa.Column("directory", sa.Text(), nullable=False),
        sa.Column("trouble", sa.Text()),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.Column("since_utc", sa.BigInteger(), nullable=False),
        sa.Column("seen_at_utc", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("directory", name="copy_state_pk"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("copy_state")
