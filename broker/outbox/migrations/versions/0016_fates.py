"""What is told back to the national system."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables: empty until fates are told back."""
    op.create_table(
        "fate_progress",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("stopped_because", sa.Text()),
        sa.Column("trouble", sa.Text()),
        sa.PrimaryKeyConstraint("name", name="fate_progress_pk"),
    )
    op.create_table(
        "fate_watch",
        sa.Column("position", _POSITION, nullable=False, autoincrement=False),
        sa.Column("told", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="fate_watch_pk"),
    )
    op.create_table(
        "fate_telling",
        sa.Column("number", _POSITION, nullable=False, autoincrement=True),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("fate", sa.Text(), nullable=False),
        sa.Column("problems", sa.JSON()),
        sa.Column("at_utc", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("next_at_utc", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("number", name="fate_telling_pk"),
        sqlite_autoincrement=True,
    )
    op.create_index("fate_telling_reference", "fate_telling", ["reference", "number"])


def downgrade() -> None:
    """Drop them: what was not told is not told any more."""
    op.drop_table("fate_telling")
    op.drop_table("fate_watch")
    op.drop_table("fate_progress")
