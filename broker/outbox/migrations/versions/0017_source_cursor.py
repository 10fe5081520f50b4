"""How far tables and views of national databases were read."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "source_cursor",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("place", sa.JSON()),
        sa.Column("rows", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("rejected", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("read_at_utc", sa.BigInteger()),
        sa.Column("waiting_since_utc", sa.BigInteger()),
        sa.Column("trouble", sa.Text()),
        sa.PrimaryKeyConstraint("name", name="source_cursor_pk"),
    )


def downgrade() -> None:
    """Drop it: all is read again, and is a duplicate."""
    op.drop_table("source_cursor")
