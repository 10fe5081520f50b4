"""Recovery: lives that were set back, events learned from the houses, and what is asked and told until then."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NAMED = ["reference", "version", "destination", "type"]
BEFORE = "outbox_reference_version_destination_type_unique"
AFTER = "outbox_reference_version_destination_type_learned_unique"
LIFE = ("suspected_at_utc", "recovering_at_utc", "recovered_at_utc")


def upgrade() -> None:
    """Make the tables; let several learned events bear the name of one that was accepted here."""
    for name in LIFE:
        op.add_column("outbox_life", sa.Column(name, sa.BigInteger()))
    op.add_column("outbox_life", sa.Column("suspected_because", sa.Text()))
    op.add_column("stream", sa.Column("holes", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    place = "raw" if _copies() else None  # before the bytes, which SQLite would walk over to read it
    with op.batch_alter_table("outbox", **_whole()) as outbox:
        outbox.add_column(sa.Column("learned", sa.Integer(), server_default=sa.text("0"), nullable=False), insert_before=place)
        outbox.drop_constraint(BEFORE, type_="unique")
        outbox.create_unique_constraint(AFTER, [*NAMED, "learned"])
    op.create_table(
        "recovery",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("begun_at_utc", sa.BigInteger(), nullable=False),
        sa.Column("told", sa.BigInteger(), nullable=False),
        sa.Column("remaining", sa.BigInteger()),
        sa.Column("answered_at_utc", sa.BigInteger()),
        *(sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False) for name in ("learned", "settled", "reissued")),
        sa.PrimaryKeyConstraint("destination", name="recovery_pk"),
    )
    op.create_table(
        "recovery_head",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("destination", "type", "epoch")),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("destination", "type", "epoch", name="recovery_head_pk"),
    )
    op.create_table(
        "recovery_entry",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary()),
        sa.Column("fate", sa.Text(), nullable=False),
        sa.Column("problems", sa.JSON()),
        sa.Column("sealed", sa.Text()),
        sa.Column("receipt_digest", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("destination", "epoch", "sequence", "type", name="recovery_entry_pk"),
    )
    op.create_index("recovery_entry_reference", "recovery_entry", ["reference"])
    op.create_table(
        "reissued",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("became", sa.Text(), nullable=False),
        sa.Column("at_utc", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name="reissued_pk"),
    )


def downgrade() -> None:
    """Remove them, and what was learned with them: without bytes it means nothing to an older version."""
    for table in ("reissued", "recovery_entry", "recovery_head", "recovery"):
        op.drop_table(table)
    op.execute("DELETE FROM outbox WHERE learned > 0")
    with op.batch_alter_table("outbox", **_whole()) as outbox:
        outbox.drop_constraint(AFTER, type_="unique")
        outbox.create_unique_constraint(BEFORE, NAMED)
        outbox.drop_column("learned")
    op.drop_column("stream", "holes")
    for name in (*LIFE, "suspected_because"):
        op.drop_column("outbox_life", name)


def _copies() -> bool:
    """Whether the database changes a constraint only by copying the table."""
    return op.get_bind().dialect.name == "sqlite"


def _whole() -> dict[str, Any]:
    return {"recreate": "always", "table_kwargs": {"sqlite_autoincrement": True}} if _copies() else {}
