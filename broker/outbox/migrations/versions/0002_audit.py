"""The audit trail of what people do at a post."""

import sqlalchemy as sa
from alembic import op

from broker import audit

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the trail, and have the database refuse every change of it."""
    op.create_table(
        "audit",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("at_utc", "actor", "action", "subject", "reason", "detail", "previous", "digest")
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("audit_pk")),
    )
    for statement in audit.guard(op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    """Drop it."""
    op.drop_table("audit")
    for statement in audit.unguard(op.get_bind().dialect.name):
        op.execute(statement)
