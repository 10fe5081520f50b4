"""What stands where in messages of the EU's transit system. Names are those of the technical specification DDNTA; paths begin beneath the
message's own element. Where a consignment and its house consignments both say something, the consignment goes before.
"""

from __future__ import annotations

import re

from producers.formats import rules
from producers.formats.mapping import Group, Mapping, Row
from producers.formats.mrn import MRN_COUNTRY, MRN_YEAR, REGISTRATION
from producers.formats.rules import Ground, NotTaken, Rule

_C = "Consignment"
_HOUSE = f"{_C}/HouseConsignment"
_ITEM = f"{_HOUSE}/ConsignmentItem"
_COMMODITY = f"{_ITEM}/Commodity"
_DOCUMENTS = ("SupportingDocument", "TransportDocument", "AdditionalReference")
_RELEASED = frozenset("12")  # indicators of a release, whole and in part (code list 164); what others mean is not taken for granted


def _released(text: str, ground: Ground) -> str:
    if text not in _RELEASED:
        raise NotTaken("code-local", "an indicator that names no release for certain: what happened is left open")
    return "released"


def _national(text: str, ground: Ground) -> str:
    if not re.fullmatch(r"[0-9A-Z]{1,8}", text):
        raise NotTaken("code-odd", "not digits and capitals")
    return text


OFFICE_COUNTRY = Rule("the first two letters of an office's number, in lower case", lambda text, ground: text[:2].lower())
RELEASED = Rule("1 and 2 (whole and in part): released", _released)
CONFORM = Rule("1: conform, 0: not-conform", lambda text, ground: "conform" if text == "1" else "not-conform")
_NATIONAL = Rule("digits and capitals", _national)

_MESSAGE = (Row("messageType", ".message", rules.CODE), Row("@PhaseID", ".phase", rules.CODE))

_IDENTITY = (
    Row("TransitOperation/LRN", "local_reference", rules.TEXT),
    Row("TransitOperation/MRN", "registration_number", REGISTRATION),
    Row("TransitOperation/MRN", "registration_year", MRN_YEAR),
    Row("TransitOperation/MRN", "administration", MRN_COUNTRY),
    Row("CustomsOfficeOfDeparture/referenceNumber", "office_code", rules.OFFICE),
    Row("CustomsOfficeOfDeparture/referenceNumber", "departure_office", rules.OFFICE),
    Row("HolderOfTheTransitProcedure/identificationNumber", "principal_id", rules.CODE),
    Row("HolderOfTheTransitProcedure/TIRHolderIdentificationNumber", "principal_id", rules.CODE, otherwise=True),
    Row("HolderOfTheTransitProcedure/name", "principal_name", rules.TEXT),
)

_HEADER = (
    Row("TransitOperation/declarationType", "declaration_type", rules.CODE),
    Row("TransitOperation/declarationAcceptanceDate", "registered_on", rules.DAY),
    Row("TransitOperation/limitDate", "time_limit_on", rules.DAY),
    Row("CustomsOfficeOfDestinationDeclared/referenceNumber", "destination_office", rules.OFFICE),
    Row("CustomsOfficeOfTransitDeclared/referenceNumber", "transit_offices[]", rules.OFFICE),
    Row("Guarantee/guaranteeType", ".guarantees[].type_code", rules.CODE),
    Row("Guarantee/GuaranteeReference[1]/GRN", ".guarantees[].reference", rules.TEXT),
    Row("Guarantee/otherGuaranteeReference", ".guarantees[].reference", rules.TEXT, otherwise=True),
    Row("Guarantee/GuaranteeReference[1]/amountToBeCovered", ".guarantees[].amount", rules.AMOUNT, "guarantee currency"),
    Row("Guarantee/GuaranteeReference[1]/currency", ".guarantees[].currency", rules.CURRENCY),
)

_CONSIGNMENT = (
    Row(f"{_C}/countryOfDispatch", "export_country", rules.COUNTRY),
    Row(f"{_HOUSE}/countryOfDispatch", "export_country", rules.COUNTRY, again="agree", otherwise=True),
    Row(f"{_C}/countryOfDestination", "destination_country", rules.COUNTRY),
    Row(f"{_HOUSE}/countryOfDestination", "destination_country", rules.COUNTRY, again="agree", otherwise=True),
    Row(f"{_C}/containerIndicator", "containerised", rules.FLAG),
    Row(f"{_C}/inlandModeOfTransport", "inland_transport_mode", rules.TRANSPORT_MODE),
    Row(f"{_C}/modeOfTransportAtTheBorder", "border_transport_mode", rules.TRANSPORT_MODE),
    Row(f"{_C}/grossMass", "gross_mass_kg", rules.MASS, "kg"),
    Row(f"{_C}/Consignor/identificationNumber", "exporter_id", rules.CODE),
    Row(f"{_C}/Consignor/name", "exporter_name", rules.TEXT),
    Row(f"{_HOUSE}/Consignor/identificationNumber", "exporter_id", rules.CODE, again="agree", otherwise=True),
    Row(f"{_HOUSE}/Consignor/name", "exporter_name", rules.TEXT, again="agree", otherwise=True),
    Row(f"{_C}/Consignee/identificationNumber", "consignee_id", rules.CODE),
    Row(f"{_C}/Consignee/name", "consignee_name", rules.TEXT),
    Row(f"{_HOUSE}/Consignee/identificationNumber", "consignee_id", rules.CODE, again="agree", otherwise=True),
    Row(f"{_HOUSE}/Consignee/name", "consignee_name", rules.TEXT, again="agree", otherwise=True),
    Row(f"{_C}/TransportEquipment/containerIdentificationNumber", "container_numbers[]", rules.CONTAINER),
    Row(f"{_C}/TransportEquipment/Seal/identifier", "seal_numbers[]", rules.SEALS),
    Row(f"{_C}/DepartureTransportMeans/identificationNumber", "inland_vehicle_ids[]", rules.PLATES),
    Row(f"{_HOUSE}/DepartureTransportMeans/identificationNumber", "inland_vehicle_ids[]", rules.PLATES, otherwise=True),
    Row(f"{_C}/ActiveBorderTransportMeans/identificationNumber", "vehicle_ids[]", rules.PLATES),
    Row(f"{_C}/ActiveBorderTransportMeans/nationality", "vehicle_nationality", rules.COUNTRY, again="agree"),
)

_GOODS = (
    Row(f"{_ITEM}/declarationGoodsItemNumber", "items[].number", rules.WHOLE),
    Row(f"{_COMMODITY}/descriptionOfGoods", "items[].description", rules.TEXT),
    Row(f"{_COMMODITY}/CommodityCode/harmonizedSystemSubHeadingCode", "items[].hs_code", rules.HS_CODE),
    Row(f"{_COMMODITY}/CommodityCode/combinedNomenclatureCode", "items[].national_code", _NATIONAL),
    Row(f"{_COMMODITY}/GoodsMeasure/grossMass", "items[].gross_mass_kg", rules.MASS, "kg"),
    Row(f"{_COMMODITY}/GoodsMeasure/netMass", "items[].net_mass_kg", rules.MASS, "kg"),
    Row(f"{_COMMODITY}/GoodsMeasure/supplementaryUnits", "items[].supplementary_quantity", rules.QUANTITY, "supplementary unit"),
    Row(f"{_ITEM}/Packaging/numberOfPackages", "items[].package_count", rules.QUANTITY, "packages", again="sum"),
    Row(f"{_ITEM}/Packaging/typeOfPackages", "items[].package_kind", rules.PACKAGE_KIND, again="agree"),
)


def _documents(path: str, element: str, field: str) -> tuple[Row, ...]:
    source = f"{path}/{element}"
    return (Row(f"{source}/type", f"{field}.type_code", rules.CODE), Row(f"{source}/referenceNumber", f"{field}.reference", rules.TEXT))


_LISTS = (
    *((path, name, "documents[]") for path in (_C, _HOUSE) for name in _DOCUMENTS),
    *((path, "PreviousDocument", "previous_documents[]") for path in (_C, _HOUSE)),
    *((_ITEM, name, "items[].documents[]") for name in _DOCUMENTS),
    (_ITEM, "PreviousDocument", "items[].previous_documents[]"),
)
_GROUPS = (
    Group("Guarantee", ".guarantees[]"),
    Group(_ITEM, "items[]"),
    *(Group(f"{path}/{name}", field) for path, name, field in _LISTS),
)
_OF_LISTS = tuple(row for path, name, field in _LISTS for row in _documents(path, name, field))

_EVENT = (
    Row("messageIdentification", "event_number", REGISTRATION),
    Row("TransitOperation/MRN", "declaration_number", REGISTRATION),
    Row("TransitOperation/MRN", "declaration_year", MRN_YEAR),
    Row("TransitOperation/MRN", "declaration_administration", MRN_COUNTRY),
)
_ARRIVED_AT = (
    *_EVENT,
    Row("CustomsOfficeOfDestinationActual/referenceNumber", "office_code", rules.OFFICE),
    Row("CustomsOfficeOfDestinationActual/referenceNumber", "administration", OFFICE_COUNTRY),
)
_VEHICLE = (
    Row(f"{_C}/TransportEquipment/containerIdentificationNumber", "vehicle.container_numbers[]", rules.CONTAINER),
    Row(f"{_C}/TransportEquipment/Seal/identifier", "vehicle.seal_numbers[]", rules.SEALS),
    Row(f"{_C}/DepartureTransportMeans/identificationNumber", "vehicle.plates[]", rules.PLATES),
    Row(f"{_C}/DepartureTransportMeans/nationality", "vehicle.nationality", rules.COUNTRY, again="agree"),
)

# CC015C, CC013C, CC029C: a transit declaration as it is lodged, amended, and released with its MRN.
DECLARATION = Mapping(_MESSAGE + _IDENTITY + _HEADER + _CONSIGNMENT + _GOODS + _OF_LISTS, _GROUPS, tolerant=True)

# CC014C: what is asked to be invalidated, and why.
CANCELLATION = Mapping((*_MESSAGE, *_IDENTITY, Row("Invalidation/justification", "correction_reason", rules.TEXT)), tolerant=True)

# CC170C: goods whose declaration was lodged before are presented at the office of departure, when the message is prepared.
PRESENTATION = Mapping(
    (
        *_MESSAGE,
        *_EVENT,
        Row("CustomsOfficeOfDeparture/referenceNumber", "office_code", rules.OFFICE),
        Row("CustomsOfficeOfDeparture/referenceNumber", "administration", OFFICE_COUNTRY),
        Row("preparationDateAndTime", "occurred_at", rules.INSTANT),
        Row(f"{_C}/inlandModeOfTransport", "vehicle.transport_mode", rules.TRANSPORT_MODE),
        *_VEHICLE,
    ),
    tolerant=True,
)

# CC007C: the goods have arrived at the office of destination.
ARRIVAL = Mapping(
    (*_MESSAGE, *_ARRIVED_AT, Row("TransitOperation/arrivalNotificationDateAndTime", "occurred_at", rules.INSTANT)), tolerant=True
)

# CC044C: what was found when they were unloaded. The day is the unloading's, its time that of the message, where both are of one day.
UNLOADING = Mapping(
    (
        *_MESSAGE,
        *_ARRIVED_AT,
        Row("preparationDateAndTime", "occurred_at", rules.INSTANT),
        Row("UnloadingRemark/unloadingDate", ".day", rules.DAY),
        Row("UnloadingRemark/conform", "control_result", CONFORM),
        Row("UnloadingRemark/unloadingRemark", "reason", rules.TEXT),
        Row("TransitOperation/otherThingsToReport", "reason", rules.TEXT, otherwise=True),
        Row(f"{_C}/grossMass", "part_quantity.gross_mass_kg", rules.MASS, "kg"),
        *_VEHICLE,
    ),
    tolerant=True,
)

# CC025C: they are released. Day and time as for unloading.
RELEASE = Mapping(
    (
        *_MESSAGE,
        *_ARRIVED_AT,
        Row("preparationDateAndTime", "occurred_at", rules.INSTANT),
        Row("TransitOperation/releaseDate", ".day", rules.DAY),
        Row("TransitOperation/releaseIndicator", "kind", RELEASED),
    ),
    tolerant=True,
)
