"""Blocks that differed in a closing, until an agreed one compares them."""

import sqlalchemy as sa
from alembic import op

from consumers.columns import Instant, big, name

revision = "closing_difference_0013"
down_revision = "suspension_0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "closing_difference",
        sa.Column("source", name(100), nullable=False),
        sa.Column("type", name(60), nullable=False),
        sa.Column("epoch", name(16), nullable=False),
        sa.Column("first", big(), autoincrement=False, nullable=False, comment="of the block"),
        sa.Column("last", big(), nullable=False),
        sa.Column(
            "what",
            name(8),
            nullable=False,
            comment="missing: we lack events; other: another id or digest stands here; archived: we pruned another block",
        ),
        sa.Column("lacking", sa.Integer(), nullable=False, comment="events"),
        sa.Column("number", big(), nullable=False, comment="the closing that found it last"),
        sa.Column("found_at_utc", Instant(), nullable=False),
        sa.Column("ended_at_utc", Instant(), comment="when an agreed closing compared the block"),
        sa.PrimaryKeyConstraint("source", "type", "epoch", "first", name=op.f("pk_closing_difference")),
    )
    stands = sa.text("ended_at_utc IS NULL")
    op.create_index("ix_closing_difference_open", "closing_difference", ["source"], postgresql_where=stands, sqlite_where=stands)


def downgrade() -> None:
    """Drop it."""
    op.drop_table("closing_difference")
