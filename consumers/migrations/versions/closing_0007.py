"""The closings with each post: what it stated, what this house answered, and which sequences they cover."""

import sqlalchemy as sa
from alembic import op

from consumers.columns import Instant, big, digest, name, words

revision = "closing_0007"
down_revision = "evidence_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "closing",
        sa.Column("source", name(100), nullable=False, comment="URN of the post"),
        sa.Column("number", big(), autoincrement=False, nullable=False, comment="the post counts its closings with this house from 1"),
        sa.Column("manifest_digest", digest(), nullable=False, comment="SHA-256 of `manifest`"),
        sa.Column("answer_digest", digest(), nullable=False, comment="SHA-256 of `answer`: the next closing names it as `previous`"),
        sa.Column("previous", digest(), comment="of our answer to the closing before, as the post states it"),
        sa.Column("agreed", sa.Boolean(), nullable=False, comment="until it is, a newer manifest with the same number takes the row"),
        sa.Column(
            "follows",
            sa.Boolean(),
            nullable=False,
            comment="whether the closing before is ours to know, and is the one that the post means",
        ),
        sa.Column("compared", sa.Integer(), nullable=False, comment="blocks"),
        sa.Column("differing", sa.Integer(), nullable=False, comment="blocks"),
        sa.Column("answered_at_utc", Instant(), nullable=False),
        sa.Column("manifest", sa.LargeBinary(), nullable=False, comment="the post's signed bytes, exactly"),
        sa.Column("manifest_jws", words(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False, comment="our signed bytes, exactly"),
        sa.Column("answer_jws", words(), nullable=False),
        sa.PrimaryKeyConstraint("source", "number", name=op.f("pk_closing")),
    )
    op.create_table(
        "closing_stream",
        sa.Column("source", name(100), nullable=False),
        sa.Column("type", name(60), nullable=False),
        sa.Column("epoch", name(16), nullable=False),
        sa.Column("number", big(), autoincrement=False, nullable=False, comment="an agreed closing"),
        sa.Column("first", big(), nullable=False, comment="of the sequences that it compared"),
        sa.Column("last", big(), nullable=False),
        sa.PrimaryKeyConstraint("source", "type", "epoch", "number", name=op.f("pk_closing_stream")),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("closing_stream")
    op.drop_table("closing")
