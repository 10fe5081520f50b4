"""The CRLs that signatures were checked against when they came."""

import sqlalchemy as sa
from alembic import op

from consumers import columns

revision = "evidence_0006"
down_revision = "known_post_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; what was taken in before does not say by which CRLs."""
    op.create_table(
        "crl",
        sa.Column("digest", columns.digest(), nullable=False, comment="SHA-256 of `der`"),
        sa.Column("country", columns.name(2), nullable=False),
        sa.Column("issuer", columns.words(), nullable=False, comment="the authority's name, RFC 4514"),
        sa.Column(
            "number", columns.name(50), nullable=False, comment="CRLNumber, decimal; up to 20 bytes, more than an integer column holds"
        ),
        sa.Column("this_update_utc", columns.Instant(), nullable=False),
        sa.Column("next_update_utc", columns.Instant(), nullable=False),
        sa.Column("first_seen_utc", columns.Instant(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_crl")),
    )
    comment = "the lists that its certificates were checked against: `crl.digest` of each in base64url"
    op.add_column("evidence", sa.Column("crls", columns.document(), comment=comment))


def downgrade() -> None:
    """Drop both."""
    op.drop_column("evidence", "crls")
    op.drop_table("crl")
