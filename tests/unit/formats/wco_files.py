"""Self-made declarations of the WCO Data Model, as small as they can be and still say something of each kind."""

from __future__ import annotations

DMS = "urn:wco:datamodel:WCO:DEC-DMS:2"
MRN = "26TJ105000ABCDEFA7"

ITEM = """
      <GovernmentAgencyGoodsItem>
        <SequenceNumeric>1</SequenceNumeric>
        <StatisticalValueAmount currencyID="TJS">9000</StatisticalValueAmount>
        <AdditionalDocument><CategoryCode>N</CategoryCode><ID>INV-7</ID><TypeCode>935</TypeCode></AdditionalDocument>
        <Commodity>
          <Description>Apples, fresh</Description>
          <Classification><ID>08081080</ID><IdentificationTypeCode>TSP</IdentificationTypeCode></Classification>
          <Classification><ID>90</ID><IdentificationTypeCode>TRC</IdentificationTypeCode></Classification>
          <Classification><ID>X9</ID><IdentificationTypeCode>GN</IdentificationTypeCode></Classification>
          <GoodsMeasure>
            <GrossMassMeasure unitCode="KGM">20000.5</GrossMassMeasure>
            <NetNetWeightMeasure>19000</NetNetWeightMeasure>
          </GoodsMeasure>
          <InvoiceLine><ItemChargeAmount currencyID="USD">12000</ItemChargeAmount></InvoiceLine>
        </Commodity>
        <GovernmentProcedure><CurrentCode>10</CurrentCode><PreviousCode>00</PreviousCode></GovernmentProcedure>
        <GovernmentProcedure><CurrentCode>1CS</CurrentCode></GovernmentProcedure>
        <Origin><CountryCode>TJ</CountryCode></Origin>
        <Packaging><SequenceNumeric>1</SequenceNumeric><QuantityQuantity>900</QuantityQuantity><TypeCode>BX</TypeCode></Packaging>
        <Packaging><SequenceNumeric>2</SequenceNumeric><QuantityQuantity>100</QuantityQuantity><TypeCode>BX</TypeCode></Packaging>
        <PreviousDocument><CategoryCode>Z</CategoryCode><ID>P-1</ID><TypeCode>355</TypeCode></PreviousDocument>
      </GovernmentAgencyGoodsItem>"""

ORIGINAL = f"""
    <AcceptanceDateTime><ds:DateTimeString formatCode="304">20261120101500+05</ds:DateTimeString></AcceptanceDateTime>
    <FunctionCode>9</FunctionCode>
    <FunctionalReferenceID>PP-77</FunctionalReferenceID>
    <ID>{MRN}</ID>
    <TypeCode>EXA</TypeCode>
    <GoodsItemQuantity>1</GoodsItemQuantity>
    <InvoiceAmount currencyID="USD">12000</InvoiceAmount>
    <TotalPackageQuantity>1000</TotalPackageQuantity>
    <!-- a person's remark -->
    <BorderTransportMeans>
      <ID>7788AB01</ID><RegistrationNationalityCode>TJ</RegistrationNationalityCode><ModeCode>3</ModeCode>
    </BorderTransportMeans>
    <Declarant><ID>TJ-D-9</ID></Declarant>
    <ExitOffice><ID>TJ105000</ID></ExitOffice>
    <Exporter><Name>Meva</Name></Exporter>
    <GoodsShipment>
      <Consignee><Name>Kabul Fruit</Name></Consignee>
      <Consignment>
        <ContainerCode>1</ContainerCode>
        <TransportEquipment>
          <SequenceNumeric>1</SequenceNumeric><ID>CSQU3054383</ID>
          <Seal><SequenceNumeric>1</SequenceNumeric><ID>S-1</ID></Seal>
        </TransportEquipment>
      </Consignment>
      <Destination><CountryCode>AF</CountryCode></Destination>{ITEM}
      <TradeTerms><ConditionCode>CIF</ConditionCode></TradeTerms>
    </GoodsShipment>"""

CANCELLATION = f"""
    <FunctionCode>13</FunctionCode><FunctionalReferenceID>PP-78</FunctionalReferenceID><ID>{MRN}</ID><TypeCode>INV</TypeCode>
    <AdditionalInformation>
      <StatementDescription>written twice</StatementDescription><StatementTypeCode>AES</StatementTypeCode>
      <Pointer><SequenceNumeric>1</SequenceNumeric><DocumentSectionCode>42A</DocumentSectionCode></Pointer>
    </AdditionalInformation>
    <Amendment><ChangeReasonCode>1</ChangeReasonCode></Amendment>"""

AMENDMENT = CANCELLATION.replace("INV", "COR")

PRESENTATION = f"""
    <FunctionCode>9</FunctionCode><FunctionalReferenceID>PP-79</FunctionalReferenceID><ID>{MRN}</ID>
    <IssueDateTime><ds:DateTimeString formatCode="304">20261121070000Z</ds:DateTimeString></IssueDateTime>
    <TypeCode>GPR</TypeCode>
    <BorderTransportMeans><ID>7788AB01</ID></BorderTransportMeans>"""


def declaration(content: str = ORIGINAL, namespace: str = DMS) -> str:
    """One `Declaration` element."""
    of_dates = "urn:wco:datamodel:WCO:Declaration_DS:DMS:2"
    return f'<Declaration xmlns="{namespace}" xmlns:ds="{of_dates}">{content}\n  </Declaration>'


def metadata(*declarations: str, kind: str = "DEC", namespace: str = "urn:wco:datamodel:WCO:DocumentMetaData-DMS:2") -> str:
    """A `MetaData` document around declarations."""
    opened = f'<md:MetaData xmlns:md="{namespace}">' if namespace else "<MetaData>"
    ends, name = ("</md:MetaData>", "md:WCOTypeName") if namespace else ("</MetaData>", "WCOTypeName")
    return f'<?xml version="1.0"?>\n{opened}\n  <{name}>{kind}</{name}>\n  ' + "\n  ".join(declarations) + ends
