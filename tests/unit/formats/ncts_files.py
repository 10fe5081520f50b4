"""Self-made messages of the EU's transit system, as small as each may be and still say something of each kind."""

from __future__ import annotations

MRN = "26TJ105000ABCDEFJ7"

_HOUSE = """
    <HouseConsignment>
      <sequenceNumber>{house}</sequenceNumber>
      <countryOfDestination>AF</countryOfDestination>
      <grossMass>1000.5</grossMass>
      <Consignee><name>{consignee}</name></Consignee>
      <ConsignmentItem>
        <goodsItemNumber>1</goodsItemNumber>
        <declarationGoodsItemNumber>{number}</declarationGoodsItemNumber>
        <Commodity>
          <descriptionOfGoods>Apples, fresh</descriptionOfGoods>
          <CommodityCode>
            <harmonizedSystemSubHeadingCode>080810</harmonizedSystemSubHeadingCode>
            <combinedNomenclatureCode>80</combinedNomenclatureCode>
          </CommodityCode>
          <GoodsMeasure><grossMass>1000.5</grossMass><netMass>900</netMass></GoodsMeasure>
        </Commodity>
        <Packaging>
          <sequenceNumber>1</sequenceNumber><typeOfPackages>BX</typeOfPackages><numberOfPackages>40</numberOfPackages>
        </Packaging>
        <Packaging>
          <sequenceNumber>2</sequenceNumber><typeOfPackages>BX</typeOfPackages><numberOfPackages>2</numberOfPackages>
        </Packaging>
        <SupportingDocument>
          <sequenceNumber>1</sequenceNumber><type>N380</type><referenceNumber>INV-7</referenceNumber>
        </SupportingDocument>
      </ConsignmentItem>
    </HouseConsignment>"""


def house(number: int = 1, consignee: str = "Kabul Fruit") -> str:
    """A house consignment of one item."""
    return _HOUSE.format(house=number, number=number, consignee=consignee)


OPERATION = "<LRN>PP-77</LRN>"
BODY = f"""
  <TransitOperation>
    {OPERATION}
    <declarationType>T1</declarationType>
    <additionalDeclarationType>A</additionalDeclarationType>
    <security>0</security>
    <reducedDatasetIndicator>0</reducedDatasetIndicator>
    <bindingItinerary>0</bindingItinerary>
    <limitDate>2026-12-01</limitDate>
  </TransitOperation>
  <CustomsOfficeOfDeparture><referenceNumber>TJ105000</referenceNumber></CustomsOfficeOfDeparture>
  <CustomsOfficeOfDestinationDeclared><referenceNumber>AF000010</referenceNumber></CustomsOfficeOfDestinationDeclared>
  <CustomsOfficeOfTransitDeclared>
    <sequenceNumber>1</sequenceNumber><referenceNumber>AF000020</referenceNumber>
  </CustomsOfficeOfTransitDeclared>
  <HolderOfTheTransitProcedure><identificationNumber>TJ-P-1</identificationNumber></HolderOfTheTransitProcedure>
  <Guarantee>
    <sequenceNumber>1</sequenceNumber><guaranteeType>1</guaranteeType>
    <GuaranteeReference>
      <sequenceNumber>1</sequenceNumber><GRN>26TJ0000010000070</GRN>
      <amountToBeCovered>5000.5</amountToBeCovered><currency>USD</currency>
    </GuaranteeReference>
  </Guarantee>
  <Consignment>
    <countryOfDispatch>TJ</countryOfDispatch>
    <containerIndicator>1</containerIndicator>
    <modeOfTransportAtTheBorder>3</modeOfTransportAtTheBorder>
    <grossMass>1000.5</grossMass>
    <Consignor><name>Meva</name></Consignor>
    <TransportEquipment>
      <sequenceNumber>1</sequenceNumber>
      <containerIdentificationNumber>CSQU3054383</containerIdentificationNumber>
      <numberOfSeals>1</numberOfSeals>
      <Seal><sequenceNumber>1</sequenceNumber><identifier>S-1</identifier></Seal>
    </TransportEquipment>
    <ActiveBorderTransportMeans>
      <sequenceNumber>1</sequenceNumber>
      <customsOfficeAtBorderReferenceNumber>TJ105000</customsOfficeAtBorderReferenceNumber>
      <typeOfIdentification>30</typeOfIdentification>
      <identificationNumber>7788AB01</identificationNumber>
      <nationality>TJ</nationality>
    </ActiveBorderTransportMeans>{house()}
  </Consignment>"""

# A release repeats the declaration, with its MRN and days before `security` and without a limit.
RELEASED = (
    BODY.replace(OPERATION, f"{OPERATION}<MRN>{MRN}</MRN>")
    .replace(
        "    <security>",
        "    <declarationAcceptanceDate>2026-11-20</declarationAcceptanceDate><releaseDate>2026-11-20</releaseDate>\n    <security>",
    )
    .replace("    <limitDate>2026-12-01</limitDate>\n", "")
    .replace("    <HouseConsignment>", "    <PlaceOfLoading><country>TJ</country></PlaceOfLoading>\n    <HouseConsignment>", 1)
)
AMENDED = BODY.replace(OPERATION, f"<MRN>{MRN}</MRN>").replace(
    "    <limitDate>", "    <amendmentTypeFlag>0</amendmentTypeFlag>\n    <limitDate>"
)
CANCELLED = f"""
  <TransitOperation><MRN>{MRN}</MRN></TransitOperation>
  <Invalidation><initiatedByCustoms>0</initiatedByCustoms><justification>written twice</justification></Invalidation>
  <CustomsOfficeOfDeparture><referenceNumber>TJ105000</referenceNumber></CustomsOfficeOfDeparture>
  <HolderOfTheTransitProcedure><identificationNumber>TJ-P-1</identificationNumber></HolderOfTheTransitProcedure>"""

_AT = """
  <CustomsOfficeOfDestinationActual><referenceNumber>AF000010</referenceNumber></CustomsOfficeOfDestinationActual>
  <TraderAtDestination><identificationNumber>AF-T-1</identificationNumber></TraderAtDestination>"""
ARRIVED = f"""
  <TransitOperation>
    <MRN>{MRN}</MRN>
    <arrivalNotificationDateAndTime>2026-11-22T03:11:04</arrivalNotificationDateAndTime>
    <simplifiedProcedure>0</simplifiedProcedure>
  </TransitOperation>{_AT}
  <Consignment>
    <LocationOfGoods><typeOfLocation>A</typeOfLocation><qualifierOfIdentification>U</qualifierOfIdentification></LocationOfGoods>
  </Consignment>"""
UNLOADED = f"""
  <TransitOperation><MRN>{MRN}</MRN></TransitOperation>{_AT}
  <UnloadingRemark>
    <conform>0</conform><unloadingCompletion>1</unloadingCompletion><unloadingDate>2026-11-21</unloadingDate>
    <stateOfSeals>0</stateOfSeals><unloadingRemark>two boxes are missing</unloadingRemark>
  </UnloadingRemark>
  <Consignment>
    <TransportEquipment>
      <sequenceNumber>1</sequenceNumber>
      <Seal><sequenceNumber>1</sequenceNumber><identifier>S-2</identifier></Seal>
    </TransportEquipment>
    <DepartureTransportMeans>
      <sequenceNumber>1</sequenceNumber><identificationNumber>7788AB01</identificationNumber><nationality>TJ</nationality>
    </DepartureTransportMeans>
  </Consignment>"""
LET_GO = f"""
  <TransitOperation>
    <MRN>{MRN}</MRN><releaseDate>2026-11-21</releaseDate><releaseIndicator>1</releaseIndicator>
  </TransitOperation>{_AT}"""
PRESENTED = """
  <TransitOperation><LRN>PP-77</LRN></TransitOperation>
  <CustomsOfficeOfDeparture><referenceNumber>TJ105000</referenceNumber></CustomsOfficeOfDeparture>
  <HolderOfTheTransitProcedure><identificationNumber>TJ-P-1</identificationNumber></HolderOfTheTransitProcedure>
  <Consignment>
    <LocationOfGoods><typeOfLocation>A</typeOfLocation><qualifierOfIdentification>U</qualifierOfIdentification></LocationOfGoods>
    <HouseConsignment><sequenceNumber>1</sequenceNumber></HouseConsignment>
  </Consignment>"""


def message(name: str, body: str, namespace: str = "http://ncts.dgtaxud.ec") -> str:
    """A message of this name around a body."""
    return f"""<n:{name} PhaseID="NCTS5.1" xmlns:n="{namespace}">
  <messageSender>TJ.POST</messageSender>
  <messageRecipient>NTA.TJ</messageRecipient>
  <preparationDateAndTime>2026-11-21T08:15:00</preparationDateAndTime>
  <messageIdentification>M-9104</messageIdentification>
  <messageType>{name}</messageType>{body}
</n:{name}>
"""
