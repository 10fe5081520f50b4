"""Items of transit declarations may come without an HS code: goods described in words only."""

import sqlalchemy as sa
from alembic import op

from consumers.columns import name
from consumers.migrations.versions.record_0002 import VIEWS

revision = "unclassified_0014"
down_revision = "closing_difference_0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let the column be empty."""
    _alter(nullable=True)


def downgrade() -> None:
    """Ask for it again; what has none gets an empty one."""
    op.execute(sa.text("UPDATE declaration_item SET hs_code = '' WHERE hs_code IS NULL"))
    _alter(nullable=False)


def _alter(*, nullable: bool) -> None:
    for view in reversed(VIEWS):  # SQLite makes the table anew, and views stand on it
        op.execute(f"DROP VIEW {view}")
    with op.batch_alter_table("declaration_item") as table:
        table.alter_column("hs_code", existing_type=name(6), nullable=nullable)
    for view, query in VIEWS.items():
        op.execute(f"CREATE VIEW {view} AS {query}")
