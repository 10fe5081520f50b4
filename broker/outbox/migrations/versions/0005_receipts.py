"""The receipts that settled what a post sent, as they came."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; rows that were settled before have no receipt to point to."""
    op.create_table(
        "receipt",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("house", sa.Text(), nullable=False),
        sa.Column("received_at_utc", sa.BigInteger(), nullable=False),
        sa.Column("jws", sa.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("receipt_pk")),
    )
    op.add_column("outbox", sa.Column("receipt_digest", sa.LargeBinary()))


def downgrade() -> None:
    """Drop both."""
    op.drop_column("outbox", "receipt_digest")
    op.drop_table("receipt")
