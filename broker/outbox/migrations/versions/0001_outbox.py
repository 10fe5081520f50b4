"""The outbox, its streams and lives, beacons, the relay's lease, parked control messages and what receipts did not fit."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    position = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "outbox_life",
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("begun_at_utc", sa.BigInteger(), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("epoch", name="outbox_life_pk"),
    )
    _partial_index("outbox_life_current", "outbox_life", ["current"], "current", unique=True)
    op.create_table(
        "stream",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("destination", "type", "epoch", name="stream_pk"),
    )
    op.create_table(
        "outbox",
        sa.Column("position", position, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content_digest", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("accepted_at_utc", sa.BigInteger(), nullable=False),
        sa.Column("relayed_at_utc", sa.BigInteger()),
        sa.Column("relayed_mark", sa.BigInteger()),
        sa.Column("relays", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("answered_fate", sa.Text()),
        sa.Column("settled_at_utc", sa.BigInteger()),
        sa.Column("fate", sa.Text()),
        sa.Column("problems", sa.JSON()),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="outbox_pk"),
        sa.UniqueConstraint("event_id", name="outbox_event_id_unique"),
        sa.UniqueConstraint("destination", "type", "epoch", "sequence", name="outbox_destination_type_epoch_sequence_unique"),
        sa.UniqueConstraint("reference", "version", "destination", "type", name="outbox_reference_version_destination_type_unique"),
        sqlite_autoincrement=True,
    )
    unsettled = "settled_at_utc IS NULL"
    _partial_index("outbox_waiting", "outbox", ["destination", "position", "type", "bytes"], f"relayed_at_utc IS NULL AND {unsettled}")
    _partial_index("outbox_relayed", "outbox", ["destination", "relayed_at_utc"], f"relayed_at_utc IS NOT NULL AND {unsettled}")
    _partial_index("outbox_refused", "outbox", ["destination", "position"], "fate = 'REFUSED'")
    op.create_table(
        "beacon",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("sent_mark", sa.BigInteger(), nullable=False),
        sa.Column("sent_at_utc", sa.BigInteger(), nullable=False),
        sa.Column("returned_mark", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("returned_at_utc", sa.BigInteger()),
        sa.Column("skew_seconds", sa.Float()),
        sa.PrimaryKeyConstraint("destination", name="beacon_pk"),
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until_utc", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="lease_pk"),
    )
    op.create_table(
        "parked_control",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("first_seen_utc", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_utc", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="parked_control_pk"),
    )
    op.create_index("parked_control_last_seen", "parked_control", ["last_seen_utc"])
    op.create_table(
        "receipt_counter",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("destination", "what", name="receipt_counter_pk"),
    )


def downgrade() -> None:
    """Remove them."""
    for table in ("receipt_counter", "parked_control", "lease", "beacon", "outbox", "stream", "outbox_life"):
        op.drop_table(table)


def _partial_index(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    op.create_index(name, table, columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
