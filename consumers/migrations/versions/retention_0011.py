"""What is archived, and what an event says kept with the record itself, so that it outlives the inbox.

Revision retention_0011. Once released it is never changed: a change of the tables is a revision of its own.
"""

import sqlalchemy as sa
from alembic import op

from consumers import columns
from consumers.migrations.versions.record_0002 import VIEWS

revision = "retention_0011"
down_revision = "review_0010"
branch_labels = None
depends_on = None

CONTENT = "SHA-256 over the event's data in canonical JSON: what another event of the same name is compared with"


def upgrade() -> None:
    """Add both; what is loaded already takes its content from the inbox."""
    pruned_to = "up to here the events are in the archive only"
    op.add_column("stream", sa.Column("pruned_to", columns.big(), nullable=False, server_default=sa.text("0"), comment=pruned_to))
    _drop_views()  # they name every column of the tables as these were when they were made
    for table in ("declaration", "crossing_event"):
        op.add_column(table, sa.Column("content", columns.digest(), comment=CONTENT))
        op.execute(f"UPDATE {table} SET content = (SELECT content FROM inbox WHERE inbox.event_id = {table}.event_id)")  # noqa: S608  constants
    _make_views()
    op.create_table(
        "archived_block",
        sa.Column("source", columns.name(100), nullable=False),
        sa.Column("type", columns.name(60), nullable=False),
        sa.Column("epoch", columns.name(16), nullable=False),
        sa.Column(
            "first",
            columns.big(),
            autoincrement=False,
            nullable=False,
            comment="of the sequences whose rows are in the archive only",
        ),
        sa.Column("last", columns.big(), nullable=False),
        sa.Column("digest", columns.digest(), nullable=False, comment="over their lines, as a manifest states it"),
        sa.Column("file", columns.words(), nullable=False),
        sa.Column("archived_at_utc", columns.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("source", "type", "epoch", "first", name=op.f("pk_archived_block")),
    )


def downgrade() -> None:
    """Drop both."""
    op.drop_table("archived_block")
    _drop_views()
    for table in ("declaration", "crossing_event"):
        op.drop_column(table, "content")
    _make_views()
    op.drop_column("stream", "pruned_to")


def _drop_views() -> None:
    for view in reversed(VIEWS):
        op.execute(f"DROP VIEW {view}")


def _make_views() -> None:
    for view, query in VIEWS.items():
        op.execute(f"CREATE VIEW {view} AS {query}")
