"""The record: declarations, their items, crossing events, and the views that say what is current.

Revision record_0002. Once released it is never changed: a change of the tables is a revision of its own.
"""

import sqlalchemy as sa
from alembic import op

from consumers import columns

revision = "record_0002"
down_revision = "inbox_0001"
branch_labels = None
depends_on = None

VIEWS = {
    "current_declaration": """
        SELECT d.*,
               CASE WHEN d.message_function <> 'cancellation' THEN 'in-force'
                    WHEN EXISTS (SELECT 1 FROM crossing_event AS c WHERE c.declaration_reference = d.reference AND c.kind = 'released')
                        THEN 'invalidated-after-release'
                    ELSE 'cancelled' END AS status
        FROM declaration AS d
        WHERE NOT EXISTS (SELECT 1 FROM declaration AS later WHERE later.reference = d.reference AND later.version > d.version)
    """,
    "current_declaration_item": """
        SELECT d.reference, d.version, d.kind, d.administration, i.*
        FROM current_declaration AS d JOIN declaration_item AS i ON i.event_id = d.event_id
    """,
}


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "crossing_event",
        sa.Column("event_id", columns.identifier(), nullable=False, comment="the event that brought it: inbox.event_id"),
        sa.Column("reference", columns.name(200), nullable=False, comment="its own: TJ/PNJ/crossing/1"),
        sa.Column("administration", columns.name(2), nullable=False, comment="of the post"),
        sa.Column("office_code", columns.name(40), nullable=False),
        sa.Column("event_number", columns.name(40), nullable=False),
        sa.Column("kind", columns.name(16), nullable=False, comment="arrived … exited"),
        sa.Column("occurred_at_utc", columns.Instant(), nullable=False),
        sa.Column("occurred_at_offset_minutes", sa.SmallInteger(), nullable=False),
        sa.Column(
            "declaration_reference",
            columns.name(200),
            nullable=False,
            comment="declaration.reference; the declaration may come later, or never",
        ),
        sa.Column("vehicle_plates", columns.document(), nullable=False),
        sa.Column("vehicle_nationality", columns.name(2), nullable=True),
        sa.Column("vehicle_transport_mode", columns.name(4), nullable=True),
        sa.Column("vehicle_container_numbers", columns.document(), nullable=False),
        sa.Column("vehicle_seal_numbers", columns.document(), nullable=False),
        sa.Column("onto_vehicle", columns.document(), nullable=True, comment="the vehicle after a transshipment"),
        sa.Column("part_package_count", columns.Exact(16, 6), nullable=True),
        sa.Column("part_gross_mass_kg", columns.Exact(16, 6), nullable=True),
        sa.Column("part_net_mass_kg", columns.Exact(16, 6), nullable=True),
        sa.Column("part_item_numbers", columns.document(), nullable=False),
        sa.Column("weighed_mass_kg", columns.Exact(16, 6), nullable=True),
        sa.Column("control_result", columns.name(40), nullable=True),
        sa.Column("reason", columns.words(), nullable=True),
        sa.Column("extensions", columns.document(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_crossing_event")),
        sa.UniqueConstraint("reference", name="uq_crossing_event_reference"),
    )
    op.create_index("ix_crossing_event_declaration_reference", "crossing_event", ["declaration_reference", "kind"], unique=False)
    op.create_table(
        "declaration",
        sa.Column("event_id", columns.identifier(), nullable=False, comment="the event that brought this version: inbox.event_id"),
        sa.Column("reference", columns.name(200), nullable=False, comment="administration, office, year and number in one: TJ/PNJ/2026/1"),
        sa.Column("version", sa.SmallInteger(), nullable=False),
        sa.Column("kind", columns.name(8), nullable=False, comment="export, import or transit"),
        sa.Column("administration", columns.name(2), nullable=False),
        sa.Column("office_code", columns.name(40), nullable=False),
        sa.Column("registration_year", sa.SmallInteger(), nullable=False),
        sa.Column("registration_number", columns.name(40), nullable=False),
        sa.Column("message_function", columns.name(12), nullable=False, comment="original, amendment or cancellation"),
        sa.Column("corrects", sa.SmallInteger(), nullable=True, comment="the version that this one replaces or cancels"),
        sa.Column("correction_reason", columns.words(), nullable=True),
        sa.Column("registered_on", sa.Date(), nullable=True),
        sa.Column("accepted_at_utc", columns.Instant(), nullable=True),
        sa.Column("accepted_at_offset_minutes", sa.SmallInteger(), nullable=True, comment="of the place: 300 in Dushanbe, 270 in Kabul"),
        sa.Column("local_reference", columns.words(), nullable=True),
        sa.Column("declaration_type", columns.name(40), nullable=True),
        sa.Column("exporter_id", columns.name(40), nullable=True),
        sa.Column("exporter_name", columns.words(), nullable=True),
        sa.Column("consignee_id", columns.name(40), nullable=True),
        sa.Column("consignee_name", columns.words(), nullable=True),
        sa.Column("declarant_id", columns.name(40), nullable=True),
        sa.Column("declarant_name", columns.words(), nullable=True),
        sa.Column("export_country", columns.name(2), nullable=True),
        sa.Column("destination_country", columns.name(2), nullable=True),
        sa.Column("border_transport_mode", columns.name(4), nullable=True),
        sa.Column("inland_transport_mode", columns.name(4), nullable=True),
        sa.Column("vehicle_ids", columns.document(), nullable=False),
        sa.Column("vehicle_nationality", columns.name(2), nullable=True),
        sa.Column("inland_vehicle_ids", columns.document(), nullable=False),
        sa.Column("containerised", sa.Boolean(), nullable=True),
        sa.Column("container_numbers", columns.document(), nullable=False),
        sa.Column("seal_numbers", columns.document(), nullable=False),
        sa.Column("incoterm", columns.name(8), nullable=True),
        sa.Column("exit_office", columns.name(40), nullable=True),
        sa.Column("entry_office", columns.name(40), nullable=True),
        sa.Column("invoice_amount", columns.Exact(18, 4), nullable=True),
        sa.Column("invoice_currency", columns.name(3), nullable=True),
        sa.Column("freight_amount", columns.Exact(18, 4), nullable=True),
        sa.Column("freight_currency", columns.name(3), nullable=True),
        sa.Column("insurance_amount", columns.Exact(18, 4), nullable=True),
        sa.Column("insurance_currency", columns.name(3), nullable=True),
        sa.Column("gross_mass_kg", columns.Exact(16, 6), nullable=True),
        sa.Column("package_count", columns.Exact(16, 6), nullable=True),
        sa.Column("item_count", sa.SmallInteger(), nullable=True),
        sa.Column("documents", columns.document(), nullable=False),
        sa.Column("previous_documents", columns.document(), nullable=False),
        sa.Column("extensions", columns.document(), nullable=False),
        sa.Column("departure_office", columns.name(40), nullable=True, comment="this and the following: transit only"),
        sa.Column("destination_office", columns.name(40), nullable=True),
        sa.Column("transit_offices", columns.document(), nullable=False),
        sa.Column("principal_id", columns.name(40), nullable=True),
        sa.Column("principal_name", columns.words(), nullable=True),
        sa.Column("guarantee_type_code", columns.name(40), nullable=True),
        sa.Column("guarantee_reference", columns.words(), nullable=True),
        sa.Column("guarantee_amount", columns.Exact(18, 4), nullable=True),
        sa.Column("guarantee_currency", columns.name(3), nullable=True),
        sa.Column("time_limit_on", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_declaration")),
        sa.UniqueConstraint("reference", "version", name="uq_declaration_version"),
    )
    op.create_index("ix_declaration_registration_number", "declaration", ["registration_number"], unique=False)
    op.create_table(
        "declaration_item",
        sa.Column("event_id", columns.identifier(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("hs_code", columns.name(6), nullable=False),
        sa.Column("national_code", columns.name(8), nullable=True),
        sa.Column("description", columns.words(), nullable=True),
        sa.Column("origin_country", columns.name(2), nullable=True),
        sa.Column("gross_mass_kg", columns.Exact(16, 6), nullable=True),
        sa.Column("net_mass_kg", columns.Exact(16, 6), nullable=True),
        sa.Column("package_count", columns.Exact(16, 6), nullable=True),
        sa.Column("package_kind", columns.name(4), nullable=True),
        sa.Column("supplementary_quantity", columns.Exact(16, 6), nullable=True),
        sa.Column("supplementary_unit", columns.name(40), nullable=True),
        sa.Column("procedure_code", columns.name(7), nullable=True),
        sa.Column("national_procedure", columns.name(40), nullable=True),
        sa.Column("item_price", columns.Exact(18, 4), nullable=True),
        sa.Column("statistical_value", columns.Exact(18, 4), nullable=True),
        sa.Column("container_numbers", columns.document(), nullable=False),
        sa.Column("documents", columns.document(), nullable=False),
        sa.Column("previous_documents", columns.document(), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["declaration.event_id"], name="fk_declaration_item_declaration"),
        sa.PrimaryKeyConstraint("event_id", "number", name=op.f("pk_declaration_item")),
    )
    for view, query in VIEWS.items():
        op.execute(f"CREATE VIEW {view} AS {query}")


def downgrade() -> None:
    """Drop them, with all that is in them."""
    for view in reversed(VIEWS):
        op.execute(f"DROP VIEW {view}")
    op.drop_table("declaration_item")
    op.drop_index("ix_declaration_registration_number", table_name="declaration")
    op.drop_table("declaration")
    op.drop_index("ix_crossing_event_declaration_reference", table_name="crossing_event")
    op.drop_table("crossing_event")
