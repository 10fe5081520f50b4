"""The tables and views of the record. Each row names the event that brought it; `docs/database.md` describes them for people.

Only INSERT ever happens here: a declaration's versions are rows, and which one is current is a question asked by the views.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Date, ForeignKey, Index, SmallInteger, Table, UniqueConstraint

from consumers.columns import Exact, Instant, digest, document, identifier, name, words
from consumers.tables import metadata

CONTENT = "SHA-256 over the event's data in canonical JSON: what another event of the same name is compared with"

PURPOSE = "for what its sender released it: read it through `consumers.reading`; null: not known, and then for nothing"


def _amount(column: str) -> Column[object]:
    return Column(column, Exact(18, 4))


def _quantity(column: str) -> Column[object]:
    return Column(column, Exact(16, 6))


declaration = Table(
    "declaration",
    metadata,
    Column("event_id", identifier(), primary_key=True, comment="the event that brought this version: inbox.event_id"),
    Column("reference", name(200), nullable=False, comment="administration, office, year and number in one: TJ/PNJ/2026/1"),
    Column("version", SmallInteger, nullable=False),
    Column("kind", name(8), nullable=False, comment="export, import or transit"),
    Column("administration", name(2), nullable=False),
    Column("office_code", name(40), nullable=False),
    Column("registration_year", SmallInteger, nullable=False),
    Column("registration_number", name(40), nullable=False),
    Column("message_function", name(12), nullable=False, comment="original, amendment or cancellation"),
    Column("corrects", SmallInteger, comment="the version that this one replaces or cancels"),
    Column("correction_reason", words()),
    Column("registered_on", Date),
    Column("accepted_at_utc", Instant()),
    Column("accepted_at_offset_minutes", SmallInteger, comment="of the place: 300 in Dushanbe, 270 in Kabul"),
    Column("local_reference", words()),
    Column("declaration_type", name(40)),
    Column("exporter_id", name(40)),
    Column("exporter_name", words()),
    Column("consignee_id", name(40)),
    Column("consignee_name", words()),
    Column("declarant_id", name(40)),
    Column("declarant_name", words()),
    Column("export_country", name(2)),
    Column("destination_country", name(2)),
    Column("border_transport_mode", name(4)),
    Column("inland_transport_mode", name(4)),
    Column("vehicle_ids", document(), nullable=False),
    Column("vehicle_nationality", name(2)),
    Column("inland_vehicle_ids", document(), nullable=False),
    Column("containerised", Boolean),
    Column("container_numbers", document(), nullable=False),
    Column("seal_numbers", document(), nullable=False),
    Column("incoterm", name(8)),
    Column("exit_office", name(40)),
    Column("entry_office", name(40)),
    _amount("invoice_amount"),
    Column("invoice_currency", name(3)),
    _amount("freight_amount"),
    Column("freight_currency", name(3)),
    _amount("insurance_amount"),
    Column("insurance_currency", name(3)),
    _quantity("gross_mass_kg"),
    _quantity("package_count"),
    Column("item_count", SmallInteger),
    Column("documents", document(), nullable=False),
    Column("previous_documents", document(), nullable=False),
    Column("extensions", document(), nullable=False),
    Column("departure_office", name(40), comment="this and the following: transit only"),
    Column("destination_office", name(40)),
    Column("transit_offices", document(), nullable=False),
    Column("principal_id", name(40)),
    Column("principal_name", words()),
    Column("guarantee_type_code", name(40)),
    Column("guarantee_reference", words()),
    _amount("guarantee_amount"),
    Column("guarantee_currency", name(3)),
    Column("time_limit_on", Date),
    Column("content", digest(), comment=CONTENT),
    Column("purpose", name(64), comment=PURPOSE),
    Column("legal_basis", words()),
    UniqueConstraint("reference", "version", name="uq_declaration_version"),
    Index("ix_declaration_registration_number", "registration_number"),
)

declaration_item = Table(
    "declaration_item",
    metadata,
    Column("event_id", identifier(), ForeignKey("declaration.event_id", name="fk_declaration_item_declaration"), primary_key=True),
    Column("number", SmallInteger, primary_key=True),
    Column("hs_code", name(6)),
    Column("national_code", name(8)),
    Column("description", words()),
    Column("origin_country", name(2)),
    _quantity("gross_mass_kg"),
    _quantity("net_mass_kg"),
    _quantity("package_count"),
    Column("package_kind", name(4)),
    _quantity("supplementary_quantity"),
    Column("supplementary_unit", name(40)),
    Column("procedure_code", name(7)),
    Column("national_procedure", name(40)),
    _amount("item_price"),
    _amount("statistical_value"),
    Column("container_numbers", document(), nullable=False),
    Column("documents", document(), nullable=False),
    Column("previous_documents", document(), nullable=False),
)

crossing_event = Table(
    "crossing_event",
    metadata,
    Column("event_id", identifier(), primary_key=True, comment="the event that brought it: inbox.event_id"),
    Column("reference", name(200), nullable=False, comment="its own: TJ/PNJ/crossing/1"),
    Column("administration", name(2), nullable=False, comment="of the post"),
    Column("office_code", name(40), nullable=False),
    Column("event_number", name(40), nullable=False),
    Column("kind", name(16), nullable=False, comment="arrived … exited"),
    Column("occurred_at_utc", Instant(), nullable=False),
    Column("occurred_at_offset_minutes", SmallInteger, nullable=False),
    Column("declaration_reference", name(200), nullable=False, comment="declaration.reference; the declaration may come later, or never"),
    Column("vehicle_plates", document(), nullable=False),
    Column("vehicle_nationality", name(2)),
    Column("vehicle_transport_mode", name(4)),
    Column("vehicle_container_numbers", document(), nullable=False),
    Column("vehicle_seal_numbers", document(), nullable=False),
    Column("onto_vehicle", document(), comment="the vehicle after a transshipment"),
    _quantity("part_package_count"),
    _quantity("part_gross_mass_kg"),
    _quantity("part_net_mass_kg"),
    Column("part_item_numbers", document(), nullable=False),
    _quantity("weighed_mass_kg"),
    Column("control_result", name(40)),
    Column("reason", words()),
    Column("extensions", document(), nullable=False),
    Column("content", digest(), comment=CONTENT),
    Column("purpose", name(64), comment=PURPOSE),
    Column("legal_basis", words()),
    UniqueConstraint("reference", name="uq_crossing_event_reference"),
    Index("ix_crossing_event_declaration_reference", "declaration_reference", "kind"),
)

# What is current is decided here and nowhere else: the highest version; a cancellation cancels, and after a release it invalidates,
# flagged. Late older versions and the order of arrival make no difference.
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
