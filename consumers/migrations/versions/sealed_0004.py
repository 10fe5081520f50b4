"""What an event says, as a digest, and the key under which reasons go back for one that came encrypted."""

import sqlalchemy as sa
from alembic import op

from consumers import columns

revision = "sealed_0004"
down_revision = "audit_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both."""
    content = "SHA-256 over the data in canonical JSON; null where it could not be read"
    reply_key = "of an event that came encrypted: the key under which reasons go back"
    op.add_column("inbox", sa.Column("content", columns.digest(), comment=content))
    op.add_column("inbox", sa.Column("reply_key", columns.digest(), comment=reply_key))


def downgrade() -> None:
    """Drop both."""
    op.drop_column("inbox", "content")
    op.drop_column("inbox", "reply_key")
