"""What stands where in a declaration of the WCO Data Model. Element names are those of DEC-DMS 2; paths begin beneath `Declaration`.

Masses are kilograms (KGM) where their element names no unit; another unit is kept beside.
"""

from __future__ import annotations

from producers.formats import rules
from producers.formats.mapping import Group, Mapping, Row
from producers.formats.mrn import MRN_COUNTRY, MRN_YEAR, REGISTRATION, YEAR

_GS = "GoodsShipment"
_CONSIGNMENT = f"{_GS}/Consignment"
_GI = f"{_GS}/GovernmentAgencyGoodsItem"
_COMMODITY = f"{_GI}/Commodity"
_KGM = "[@unitCode=KGM,]"

_GROUPS = (
    Group(_GI, "items[]"),
    Group("AdditionalDocument", "documents[]"),
    Group(f"{_GS}/PreviousDocument", "previous_documents[]"),
    Group(f"{_GI}/AdditionalDocument", "items[].documents[]"),
    Group(f"{_GI}/PreviousDocument", "items[].previous_documents[]"),
)

_HEADER = (
    Row("FunctionCode", ".function", rules.CODE),
    Row("FunctionalReferenceID", "local_reference", rules.TEXT),
    Row("ID", "registration_number", REGISTRATION),
    Row("ID", "registration_year", MRN_YEAR),
    Row("TypeCode", "declaration_type", rules.CODE),
    Row("AcceptanceDateTime/DateTimeString | AcceptanceDateTime", "accepted_at", rules.INSTANT),
    Row("AcceptanceDateTime/DateTimeString | AcceptanceDateTime", "registration_year", YEAR, otherwise=True),
    Row("AcceptanceDateTime/DateTimeString/@formatCode", ".accepted_format", rules.CODE),
    Row("GoodsItemQuantity", "item_count", rules.WHOLE),
    Row("InvoiceAmount", "invoice_amount", rules.AMOUNT, "invoice currency"),
    Row("InvoiceAmount/@currencyID", "invoice_currency", rules.CURRENCY),
    Row(f"TotalGrossMassMeasure{_KGM}", "gross_mass_kg", rules.MASS, "kg"),
    Row("TotalPackageQuantity", "package_count", rules.QUANTITY, "packages"),
    Row("AdditionalDocument/CategoryCode", "documents[].type_code", rules.CODE),
    Row("AdditionalDocument/TypeCode", "documents[].type_code", rules.CODE, joins=True),
    Row("AdditionalDocument/ID", "documents[].reference", rules.TEXT),
    Row("BorderTransportMeans/ID", "vehicle_ids[]", rules.PLATES),
    Row("BorderTransportMeans/RegistrationNationalityCode", "vehicle_nationality", rules.COUNTRY),
    Row("BorderTransportMeans/ModeCode", "border_transport_mode", rules.TRANSPORT_MODE),
    Row("Declarant/ID", "declarant_id", rules.CODE),
    Row("Declarant/Name", "declarant_name", rules.TEXT),
    Row("ExitOffice/ID", "exit_office", rules.OFFICE),
    Row(f"Exporter/ID | {_GS}/Exporter/ID", "exporter_id", rules.CODE),
    Row(f"Exporter/Name | {_GS}/Exporter/Name", "exporter_name", rules.TEXT),
)

_SHIPMENT = (
    Row(f"{_GS}/Importer/ID", "consignee_id", rules.CODE),
    Row(f"{_GS}/Importer/Name", "consignee_name", rules.TEXT),
    Row(f"{_GS}/Consignee/ID", "consignee_id", rules.CODE, otherwise=True),
    Row(f"{_GS}/Consignee/Name", "consignee_name", rules.TEXT, otherwise=True),
    Row(f"{_GS}/ExportCountry/ID", "export_country", rules.COUNTRY),
    Row(f"{_GS}/Destination/CountryCode", "destination_country", rules.COUNTRY),
    Row(f"{_GS}/CustomsValuation/FreightChargeAmount", "freight_amount", rules.AMOUNT, "freight currency"),
    Row(f"{_GS}/CustomsValuation/FreightChargeAmount/@currencyID", "freight_currency", rules.CURRENCY),
    Row(f"{_GS}/TradeTerms/ConditionCode", "incoterm", rules.INCOTERM),
    Row(f"{_GS}/PreviousDocument/CategoryCode", "previous_documents[].type_code", rules.CODE),
    Row(f"{_GS}/PreviousDocument/TypeCode", "previous_documents[].type_code", rules.CODE, joins=True),
    Row(f"{_GS}/PreviousDocument/ID", "previous_documents[].reference", rules.TEXT),
    Row(f"{_CONSIGNMENT}/ContainerCode", "containerised", rules.FLAG),
    Row(f"{_CONSIGNMENT}/ArrivalTransportMeans/ID", "inland_vehicle_ids[]", rules.PLATES),
    Row(f"{_CONSIGNMENT}/ArrivalTransportMeans/ModeCode", "inland_transport_mode", rules.TRANSPORT_MODE),
    Row(f"{_CONSIGNMENT}/DepartureTransportMeans/ID", "inland_vehicle_ids[]", rules.PLATES),
    Row(f"{_CONSIGNMENT}/DepartureTransportMeans/ModeCode", "inland_transport_mode", rules.TRANSPORT_MODE),
    Row(f"{_CONSIGNMENT}/TransportEquipment/ID", "container_numbers[]", rules.CONTAINER),
    Row(f"{_CONSIGNMENT}/TransportEquipment/Seal/ID", "seal_numbers[]", rules.SEALS),
)

_ITEM = (
    Row(f"{_GI}/SequenceNumeric", "items[].number", rules.WHOLE),
    Row(f"{_GI}/StatisticalValueAmount", "items[].statistical_value", rules.AMOUNT),
    Row(f"{_GI}/AdditionalDocument/CategoryCode", "items[].documents[].type_code", rules.CODE),
    Row(f"{_GI}/AdditionalDocument/TypeCode", "items[].documents[].type_code", rules.CODE, joins=True),
    Row(f"{_GI}/AdditionalDocument/ID", "items[].documents[].reference", rules.TEXT),
    Row(f"{_GI}/AdditionalDocument/Submitter/Name", "items[].documents[].issuer", rules.TEXT),
    Row(f"{_COMMODITY}/Description", "items[].description", rules.TEXT),
    Row(f"{_COMMODITY}/Classification[IdentificationTypeCode=TSP,HS,]/ID", "items[].hs_code", rules.HS_CODE),
    Row(f"{_COMMODITY}/Classification[IdentificationTypeCode=TSP,HS,]/ID", "items[].national_code", rules.BEYOND_HS),
    Row(f"{_COMMODITY}/Classification[IdentificationTypeCode=TRC]/ID", "items[].national_code", rules.CODE, again="join"),
    Row(f"{_COMMODITY}/GoodsMeasure/GrossMassMeasure{_KGM}", "items[].gross_mass_kg", rules.MASS, "kg"),
    Row(f"{_COMMODITY}/GoodsMeasure/NetNetWeightMeasure{_KGM}", "items[].net_mass_kg", rules.MASS, "kg"),
    Row(f"{_COMMODITY}/GoodsMeasure/TariffQuantity", "items[].supplementary_quantity", rules.QUANTITY, "supplementary unit"),
    Row(f"{_COMMODITY}/GoodsMeasure/TariffQuantity/@unitCode", "items[].supplementary_unit", rules.CODE),
    Row(f"{_COMMODITY}/InvoiceLine/ItemChargeAmount", "items[].item_price", rules.AMOUNT, "invoice currency"),
    Row(f"{_COMMODITY}/TransportEquipment/ID", "items[].container_numbers[]", rules.CONTAINER),
    Row(f"{_GI}/GovernmentProcedure[PreviousCode]/CurrentCode", "items[].procedure_code", rules.CODE),
    Row(f"{_GI}/GovernmentProcedure[PreviousCode]/PreviousCode", "items[].procedure_code", rules.CODE, joins=True),
    Row(f"{_GI}/GovernmentProcedure[PreviousCode=]/CurrentCode", "items[].national_procedure", rules.CODE),
    Row(f"{_GI}/Origin/CountryCode", "items[].origin_country", rules.COUNTRY),
    Row(f"{_GI}/Packaging/QuantityQuantity", "items[].package_count", rules.QUANTITY, "packages", again="sum"),
    Row(f"{_GI}/Packaging/TypeCode", "items[].package_kind", rules.PACKAGE_KIND, again="agree"),
    Row(f"{_GI}/PreviousDocument/CategoryCode", "items[].previous_documents[].type_code", rules.CODE),
    Row(f"{_GI}/PreviousDocument/TypeCode", "items[].previous_documents[].type_code", rules.CODE, joins=True),
    Row(f"{_GI}/PreviousDocument/ID", "items[].previous_documents[].reference", rules.TEXT),
)

# What an amendment or a cancellation says beside: its reason, a free text of type AES. Pointers name what it changes: kept beside.
_REASON = (Row("AdditionalInformation[StatementTypeCode=AES]/StatementDescription", "correction_reason", rules.TEXT),)

DECLARATION = Mapping(_HEADER + _SHIPMENT + _ITEM, _GROUPS, tolerant=True)
CORRECTION = Mapping(_HEADER + _REASON + _SHIPMENT + _ITEM, _GROUPS, tolerant=True)

# A notification that goods named by an earlier declaration are there (type GPR): something that happened, and no declaration.
PRESENTATION = Mapping(
    (
        Row("FunctionCode", ".function", rules.CODE),
        Row("TypeCode", ".type", rules.CODE),
        Row("FunctionalReferenceID", "event_number", REGISTRATION),
        Row("ID", "declaration_number", REGISTRATION),
        Row("ID", "declaration_year", MRN_YEAR),
        Row("ID", "declaration_administration", MRN_COUNTRY),
        Row("IssueDateTime/DateTimeString | IssueDateTime", "occurred_at", rules.INSTANT),
        Row("IssueDateTime/DateTimeString/@formatCode", ".issued_format", rules.CODE),
        Row("BorderTransportMeans/RegistrationNationalityCode", "vehicle.nationality", rules.COUNTRY),
        Row("BorderTransportMeans/ModeCode", "vehicle.transport_mode", rules.TRANSPORT_MODE),
        Row("BorderTransportMeans/ID", "vehicle.plates[]", rules.PLATES),
        Row(f"{_CONSIGNMENT}/TransportEquipment/ID", "vehicle.container_numbers[]", rules.CONTAINER),
        Row(f"{_CONSIGNMENT}/TransportEquipment/Seal/ID", "vehicle.seal_numbers[]", rules.SEALS),
    ),
    tolerant=True,
)
