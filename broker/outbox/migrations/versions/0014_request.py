"""Idempotency keys of requests."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "request",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("at_utc", sa.BigInteger(), nullable=False),
        sa.Column("answer", sa.JSON()),
        sa.PrimaryKeyConstraint("key", name="request_pk"),
    )
    op.create_index("request_at_utc", "request", ["at_utc"])


def downgrade() -> None:
    """Drop it: a request that is repeated then is answered anew."""
    op.drop_table("request")
