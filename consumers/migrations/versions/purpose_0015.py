"""For what each event was released, and on which legal basis, beside it in the inbox and in the record.

What is there already is told from its signed bytes; what was archived in the meantime has none, and is read for no purpose.
"""

import sqlalchemy as sa
from alembic import op

from consumers import columns

revision = "purpose_0015"
down_revision = "unclassified_0014"
branch_labels = None
depends_on = None

_RECORD = ("declaration", "crossing_event")
_COMMENTS = {
    "inbox": "for what its sender released it; null: came before this was kept here",
    "declaration": "for what its sender released it: read it through `consumers.reading`; null: not known, and then for nothing",
    "crossing_event": "for what its sender released it: read it through `consumers.reading`; null: not known, and then for nothing",
}
_CURRENT = """
    SELECT d.*,
           CASE WHEN d.message_function <> 'cancellation' THEN 'in-force'
                WHEN EXISTS (SELECT 1 FROM crossing_event AS c WHERE c.declaration_reference = d.reference AND c.kind = 'released')
                    THEN 'invalidated-after-release'
                ELSE 'cancelled' END AS status
    FROM declaration AS d
    WHERE NOT EXISTS (SELECT 1 FROM declaration AS later WHERE later.reference = d.reference AND later.version > d.version)
"""
_CURRENT_ITEM = """
    SELECT d.reference, d.version, d.kind, d.administration, i.*
    FROM current_declaration AS d JOIN declaration_item AS i ON i.event_id = d.event_id
"""
_VIEWS = {"current_declaration": _CURRENT, "current_declaration_item": _CURRENT_ITEM}


def upgrade() -> None:
    """Add the columns, fill them from what is kept, and make the views anew: theirs are those of the table."""
    _drop_views()
    for table, comment in _COMMENTS.items():
        op.add_column(table, sa.Column("purpose", columns.name(64), comment=comment))
        op.add_column(table, sa.Column("legal_basis", columns.words()))
    said = (
        "convert_from(raw, 'UTF8')::jsonb ->> '{}'"
        if op.get_bind().dialect.name == "postgresql"
        else "json_extract(CAST(raw AS TEXT), '$.{}')"
    )
    op.execute(f"UPDATE inbox SET purpose = {said.format('purpose')}, legal_basis = {said.format('legalbasis')}")  # noqa: S608 - no data in it
    for table in _RECORD:
        kept = f"(SELECT i.{{}} FROM inbox AS i WHERE i.event_id = {table}.event_id)"  # noqa: S608 - as above
        op.execute(f"UPDATE {table} SET purpose = {kept.format('purpose')}, legal_basis = {kept.format('legal_basis')}")  # noqa: S608 - as above
    _make_views()


def downgrade() -> None:
    """Drop the columns."""
    _drop_views()
    for table in _COMMENTS:
        op.drop_column(table, "legal_basis")
        op.drop_column(table, "purpose")
    _make_views()


def _drop_views() -> None:
    for view in reversed(_VIEWS):
        op.execute(f"DROP VIEW {view}")


def _make_views() -> None:
    for view, query in _VIEWS.items():
        op.execute(f"CREATE VIEW {view} AS {query}")
