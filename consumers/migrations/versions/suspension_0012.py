"""Suspensions of intake, and which of them holds an event."""

import sqlalchemy as sa
from alembic import op

from consumers import columns

revision = "suspension_0012"
down_revision = "retention_0011"
branch_labels = None
depends_on = None

_HELD_BY = sa.text("suspension IS NOT NULL AND finished_at_utc IS NULL")
_OPEN = sa.text("drained_at_utc IS NULL")


def upgrade() -> None:
    """Make the table; let held rows name their suspension."""
    op.create_table(
        "suspension",
        sa.Column("id", columns.name(12), nullable=False),
        sa.Column("partner", columns.name(2), comment="null: any, as `post` and `type`"),
        sa.Column("post", columns.name(40)),
        sa.Column("type", columns.name(60)),
        sa.Column("reason", columns.words(), nullable=False),
        sa.Column("begun_by", columns.words(), nullable=False),
        sa.Column("begun_at_utc", columns.Instant(), nullable=False),
        sa.Column("until_utc", columns.Instant(), comment="null: until somebody ends it"),
        sa.Column("ended_at_utc", columns.Instant()),
        sa.Column("ended_by", columns.words()),
        sa.Column("end_reason", columns.words()),
        sa.Column("drained_at_utc", columns.Instant(), comment="when it had ended and held nothing any more"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suspension")),
    )
    op.create_index("ix_suspension_open", "suspension", ["id"], postgresql_where=_OPEN, sqlite_where=_OPEN)
    op.add_column("held", sa.Column("suspension", columns.name(12), comment="suspension.id: not tried before that ends"))
    op.create_index("ix_held_suspension", "held", ["suspension", "queue", "event_id"], postgresql_where=_HELD_BY, sqlite_where=_HELD_BY)


def downgrade() -> None:
    """Drop them: what a suspension held is left to a person."""
    op.drop_index("ix_held_suspension", table_name="held", postgresql_where=_HELD_BY, sqlite_where=_HELD_BY)
    op.drop_column("held", "suspension")
    op.drop_index("ix_suspension_open", table_name="suspension", postgresql_where=_OPEN, sqlite_where=_OPEN)
    op.drop_table("suspension")
