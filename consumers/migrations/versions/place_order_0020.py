"""The unique key of places begins with the stream, so that a stream's last events are found however many its epoch has of other types.

Revision place_order_0020. Once released it is never changed: a change of the tables is a revision of its own.
"""

import sqlalchemy as sa
from alembic import op

revision = "place_order_0020"
down_revision = "duplicates_index_0019"
branch_labels = None
depends_on = None

_KEY = "uq_inbox_place"
_BEFORE = ("epoch", "sequence", "source", "type", "destination")
_AFTER = ("epoch", "type", "sequence", "source", "destination")


def upgrade() -> None:
    """Make the key anew: some seconds for a million events."""
    _rekey(_AFTER, _BEFORE)


def downgrade() -> None:
    """Make the one before."""
    _rekey(_BEFORE, _AFTER)


def _rekey(wanted: tuple[str, ...], before: tuple[str, ...]) -> None:
    if op.get_bind().dialect.name == "sqlite":
        _make_anew(f"({', '.join(before)})", f"({', '.join(wanted)})")
        return
    op.drop_constraint(_KEY, "inbox", type_="unique")
    op.create_unique_constraint(_KEY, "inbox", list(wanted))


def _make_anew(before: str, wanted: str) -> None:
    """SQLite: the same table with another key, its rows, then its indexes. References to it are by name, and not checked meanwhile."""
    connection = op.get_bind()
    kept = "SELECT sql FROM sqlite_master WHERE tbl_name = 'inbox' AND type = '{}' AND sql IS NOT NULL"
    table = connection.execute(sa.text(kept.format("table"))).scalar_one()
    indexes = connection.execute(sa.text(kept.format("index"))).scalars().all()
    made = table.replace(before, wanted).replace("CREATE TABLE inbox ", "CREATE TABLE inbox_anew ")
    made = made.replace('CREATE TABLE "inbox" ', "CREATE TABLE inbox_anew ")
    for statement in (
        made,
        "INSERT INTO inbox_anew SELECT * FROM inbox",
        "DROP TABLE inbox",
        "ALTER TABLE inbox_anew RENAME TO inbox",
        *indexes,
    ):
        connection.exec_driver_sql(statement)
