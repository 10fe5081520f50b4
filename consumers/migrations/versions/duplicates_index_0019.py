"""What came again, counted without reading over all that did not.

Revision duplicates_index_0019. Once released it is never changed: a change of the tables is a revision of its own.
"""

import sqlalchemy as sa
from alembic import op

revision = "duplicates_index_0019"
down_revision = "signature_index_0018"
branch_labels = None
depends_on = None

_AGAIN = sa.text("duplicates > 0")


def upgrade() -> None:
    """Make the index: about a second for a million events."""
    op.create_index("ix_inbox_duplicates", "inbox", ["duplicates"], postgresql_where=_AGAIN, sqlite_where=_AGAIN)


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_inbox_duplicates", "inbox")
