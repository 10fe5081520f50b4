"""Suspensions of outflow."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "suspension",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("partner", sa.Text()),
        sa.Column("type", sa.Text()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("begun_by", sa.Text(), nullable=False),
        sa.Column("begun_at_utc", sa.BigInteger(), nullable=False),
        sa.Column("until_utc", sa.BigInteger()),
        sa.Column("ended_at_utc", sa.BigInteger()),
        sa.Column("ended_by", sa.Text()),
        sa.Column("end_reason", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="suspension_pk"),
    )


def downgrade() -> None:
    """Drop it: what was held back leaves."""
    op.drop_table("suspension")
