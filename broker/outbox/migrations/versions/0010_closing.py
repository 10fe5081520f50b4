"""The account with each house: closings, what they cover, what differs, and the reconciliation under way."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "account",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("answer_digest", sa.LargeBinary()),
        sa.Column("agreed_at_utc", sa.BigInteger()),
        sa.Column("horizon_seconds", sa.BigInteger()),
        sa.Column("house_number", sa.BigInteger()),
        sa.Column("asked_at_utc", sa.BigInteger()),
        sa.Column("asked_reason", sa.Text()),
        sa.Column("asked_everything", sa.Boolean()),
        sa.Column("begun_at_utc", sa.BigInteger()),
        sa.Column("reason", sa.Text()),
        sa.Column("everything", sa.Boolean()),
        sa.Column("finished_at_utc", sa.BigInteger()),
        sa.Column("streams", sa.JSON()),
        sa.PrimaryKeyConstraint("destination", name="account_pk"),
    )
    op.create_table(
        "closing",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("manifest_digest", sa.LargeBinary(), nullable=False),
        sa.Column("sent_at_utc", sa.BigInteger(), nullable=False),
        sa.Column("sent_mark", sa.BigInteger(), nullable=False),
        sa.Column("sends", sa.Integer(), nullable=False),
        sa.Column("answered_at_utc", sa.BigInteger()),
        sa.Column("answer_digest", sa.LargeBinary()),
        sa.Column("agreed", sa.Boolean(), nullable=False),
        sa.Column("compared", sa.Integer(), nullable=False),
        sa.Column("differing", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("manifest_jws", sa.Text(), nullable=False),
        sa.Column("answer_jws", sa.Text()),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("destination", "number", name="closing_pk"),
    )
    op.create_table(
        "closing_stream",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("agreed_at_utc", sa.BigInteger(), nullable=False),
        sa.Column("holds_to", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("destination", "type", "epoch", "number", name="closing_stream_pk"),
    )
    op.create_table(
        "closing_difference",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text()),
        sa.Column("digest", sa.LargeBinary()),
        sa.Column("house_event_id", sa.Text()),
        sa.Column("house_digest", sa.LargeBinary()),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("found_at_utc", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_utc", sa.BigInteger()),
        sa.PrimaryKeyConstraint("destination", "type", "epoch", "sequence", name="closing_difference_pk"),
    )
    stands = sa.text("ended_at_utc IS NULL")
    op.create_index("closing_difference_open", "closing_difference", ["destination"], sqlite_where=stands, postgresql_where=stands)


def downgrade() -> None:
    """Remove them."""
    for table in ("closing_difference", "closing_stream", "closing", "account"):
        op.drop_table(table)
