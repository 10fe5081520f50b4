"""What people decide about held and parked: orders with their frozen sets; why a handler failed."""

import sqlalchemy as sa
from alembic import op

from consumers import columns

revision = "review_0010"
down_revision = "stream_0009"
branch_labels = None
depends_on = None

_OPEN_ORDER = sa.text("state IN ('waiting', 'running')")
_OPEN_ITEM = sa.text("outcome IS NULL")


def upgrade() -> None:
    """Make the orders' tables; let held and parked rows say more."""
    raised = "type and place of what the handler raised; not told to the sender"
    op.add_column("held", sa.Column("exception", columns.words(), comment=raised))
    op.add_column("held", sa.Column("traceback", columns.words(), comment="the end of its traceback"))
    released = "review_order.number: a person decided that no rule holds it any more"
    op.add_column("held", sa.Column("released_by_order", columns.big(), comment=released))
    closed = "review_order.number, where a person had it opened again or discarded it"
    op.add_column("parked", sa.Column("closed_by_order", columns.big(), comment=closed))
    op.create_table(
        "review_order",
        sa.Column("number", columns.big(), autoincrement=False, nullable=False),
        sa.Column("kind", columns.name(6), nullable=False, comment="held or parked"),
        sa.Column("action", columns.name(8), nullable=False, comment="replay, release or discard"),
        sa.Column("reason", columns.words(), nullable=False),
        sa.Column("chosen", columns.words(), nullable=False, comment="how the set was chosen, as it was typed"),
        sa.Column("state", columns.name(9), nullable=False, comment="waiting (for a second person), running, done, cancelled or expired"),
        sa.Column("ordered_by", columns.words(), nullable=False, comment="the login"),
        sa.Column("ordered_at_utc", columns.Instant(), nullable=False),
        sa.Column("expires_at_utc", columns.Instant(), comment="until when a second person may approve it; null: it needs none"),
        sa.Column("approved_by", columns.words()),
        sa.Column("approved_at_utc", columns.Instant()),
        sa.Column("finished_at_utc", columns.Instant()),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_review_order")),
    )
    op.create_index("ix_review_order_open", "review_order", ["state"], postgresql_where=_OPEN_ORDER, sqlite_where=_OPEN_ORDER)
    op.create_table(
        "review_item",
        sa.Column("order_number", columns.big(), nullable=False),
        sa.Column("key", columns.name(64), nullable=False, comment="the held event's id, or the parked row's digest in hexadecimal"),
        sa.Column("queue", columns.name(100), nullable=False, comment="whose consumer tries it: as in `held` and `parked`"),
        sa.Column("code", columns.name(64), nullable=False, comment="why it was held or parked when it was chosen"),
        sa.Column("begun_at_utc", columns.Instant(), comment="set before a parked message is opened: found again, its worker died of it"),
        sa.Column("outcome", columns.name(10), comment="null: not done yet"),
        sa.Column("outcome_code", columns.name(64)),
        sa.Column("done_at_utc", columns.Instant()),
        sa.ForeignKeyConstraint(["order_number"], ["review_order.number"], name="fk_review_item_order"),
        sa.PrimaryKeyConstraint("order_number", "key", name=op.f("pk_review_item")),
    )
    op.create_index("uq_review_item_open", "review_item", ["key"], unique=True, postgresql_where=_OPEN_ITEM, sqlite_where=_OPEN_ITEM)
    op.create_index("ix_review_item_open", "review_item", ["order_number"], postgresql_where=_OPEN_ITEM, sqlite_where=_OPEN_ITEM)


def downgrade() -> None:
    """Drop them, and with them what people decided; the audit trail keeps it."""
    op.drop_table("review_item")
    op.drop_table("review_order")
    op.drop_column("parked", "closed_by_order")
    for column in ("released_by_order", "traceback", "exception"):
        op.drop_column("held", column)
