"""From a certificate to its signatures, and from a signature to its events.

Revision signature_index_0018. Once released it is never changed: a change of the tables is a revision of its own.
"""

from alembic import op

revision = "signature_index_0018"
down_revision = "follow_0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make both indexes: about a second for a million events."""
    op.create_index("ix_inbox_bundle_digest", "inbox", ["bundle_digest"])
    op.create_index("ix_evidence_fingerprint", "evidence", ["fingerprint", "received_at_utc", "bundle_digest"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_evidence_fingerprint", "evidence")
    op.drop_index("ix_inbox_bundle_digest", "inbox")
