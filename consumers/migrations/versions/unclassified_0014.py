"""Items of transit declarations may come without an HS code: goods described in words only."""

import sqlalchemy as sa
from alembic import op

from consumers.columns import name

revision = "unclassified_0014"
down_revision = "closing_difference_0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let the column be empty."""
    with op.batch_alter_table("declaration_item") as table:
        table.alter_column("hs_code", existing_type=name(6), nullable=True)


def downgrade() -> None:
    """Ask for it again; what has none gets an empty one."""
    op.execute(sa.text("UPDATE declaration_item SET hs_code = '' WHERE hs_code IS NULL"))
    with op.batch_alter_table("declaration_item") as table:
        table.alter_column("hs_code", existing_type=name(6), nullable=False)
