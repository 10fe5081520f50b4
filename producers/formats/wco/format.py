"""WCO Data Model declaration XML (DEC, DMS): declarations, amendments, cancellations and presentations, bare or within other documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import BinaryIO

from lxml import etree

from producers.formats import xml
from producers.formats.agreeing import agree_on_party, make_agree
from producers.formats.filling import Filled
from producers.formats.message import Message, name_source, read_message
from producers.formats.mrn import flow_of
from producers.formats.reading import Conventions, Described, Part, ReadDeclaration, Reading, Unread
from producers.formats.structure import outline
from producers.formats.wco.table import CORRECTION, DECLARATION, PRESENTATION
from schemas.crossing import CrossingKind
from schemas.declarations import MessageFunction
from schemas.drafts import NEXT
from schemas.errors import ContentError
from schemas.names import EventType

_DMS = "urn:wco:datamodel:WCO:DEC-DMS:2"
NAMESPACES = {"": _DMS, "ds": "urn:wco:datamodel:WCO:Declaration_DS:DMS:2"}
_NAMED = "urn:wco:datamodel:"  # how the namespaces of all its documents begin, national ones too
_ROOTS = {"MetaData", "Declaration", "Response", "WCOTypeName"}

# Message function, coded (WCO 017, UN/EDIFACT 1225), and what the type says where the function leaves it open.
_FUNCTIONS = {
    "9": MessageFunction.ORIGINAL,
    "1": MessageFunction.CANCELLATION,
    "4": MessageFunction.AMENDMENT,
    "5": MessageFunction.AMENDMENT,
}
_TYPES = {"COR": MessageFunction.AMENDMENT, "INV": MessageFunction.CANCELLATION}
_PRESENTATION_TYPE = "GPR"
_CHANGES = "Amendment"  # the class whose pointers name what changes: the rest of such a document is not the declaration
_FLOW_UNKNOWN = "flow-unknown"
# What a declaration is for: the first two letters of its type (SAD box 1); where they do not tell it, the first digit of the procedure
# (box 37); then the letter of its MRN; then the classes of the model that stand in one kind of declaration only.
_FLOW_OF_TYPE = {"EX": "export", "IM": "import", "T1": "transit", "T2": "transit", "TI": "transit", "TR": "transit"}
_NAMED_IN_FLOW = {"export": {"ExitOffice", "DepartureTransportMeans", "LoadingLocation"}, "import": {"Importer", "ArrivalTransportMeans"}}
_FLOW_OF_PROCEDURE = dict.fromkeys("123", "export") | dict.fromkeys("4567", "import")
_TYPE_OF_FLOW = {
    "export": EventType.EXPORT_DECLARATION,
    "import": EventType.IMPORT_DECLARATION,
    "transit": EventType.TRANSIT_DECLARATION,
}


class Wco:
    """Declarations of the WCO Data Model."""

    name = "wco"
    title = "WCO Data Model declaration XML (DEC, DMS)"

    def recognises(self, head: bytes) -> bool:
        """Whether a declaration, its metadata or an answer of that model begins here, on its own or within another document."""
        names = [*xml.elements_in(head)]
        return any(name == "Declaration" or name.endswith("MetaData") for name in names) or _answers(names[0] if names else "")

    def read(self, stream: BinaryIO, conventions: Conventions) -> Reading:
        """Read each declaration in it; an answer of customs ends the reading."""
        return Reading(_parts(stream, conventions), tells_its_end=True)

    def describe(self) -> tuple[Described, ...]:
        """The table of declarations, then that of presentations."""
        presentation = Described(f"Declaration with TypeCode {_PRESENTATION_TYPE}", "(message)", "", "is read so:")
        return (Described("Declaration", "(message)", "", "is read so:"), *CORRECTION.describe(), presentation, *PRESENTATION.describe())


def _parts(stream: BinaryIO, conventions: Conventions) -> Iterator[Part]:
    for element in xml.documents(stream, _ROOTS - {"MetaData"}):
        if isinstance(element, Unread):
            yield element
            continue
        name = xml.local(element.tag)
        root = xml.local(element.getroottree().getroot().tag)
        if name == "Response" or _answers(root) or (name == "WCOTypeName" and "RES" in (element.text or "").upper()):
            text = "an answer of customs to a declaration, and no declaration"
            yield Unread.of(ContentError("message-response", text).problems, element.sourceline, name)
            return
        if name == "Declaration":
            yield _declaration(element, conventions)


def _answers(root: str) -> bool:
    """Whether documents of this name are answers: `Response`, `DeclarationStatusResponse`, `NotificationResponse`."""
    return root.endswith("Response")


def _declaration(element: etree._Element, conventions: Conventions) -> Part:
    namespace = str(element.tag).rpartition("}")[0].lstrip("{")
    if not namespace.startswith(_NAMED):
        text = f"a declaration stands in a namespace of the WCO Data Model, such as {_DMS}"
        problems = ContentError("namespace-wrong", text, value=namespace or "none").problems
        return Unread.of(problems, element.sourceline, "Declaration")
    said = {xml.local(child.tag): (child.text or "").strip() for child in element if isinstance(child.tag, str)}
    kind = said.get("TypeCode", "")
    function = _TYPES.get(kind) or _FUNCTIONS.get(said.get("FunctionCode", ""))
    mapping = DECLARATION if function in (None, MessageFunction.ORIGINAL) else CORRECTION
    finish: Callable[[Filled, Conventions], str] = partial(_finish, named=_classes(element))
    if kind == _PRESENTATION_TYPE:
        mapping, finish = PRESENTATION, _finish_presentation
    structure = outline("producers.formats.wco", "declaration.outline")["Declaration"] if namespace == _DMS else None
    part = read_message(element, Message(mapping, finish, structure, NAMESPACES), conventions, "wco")
    if isinstance(part, ReadDeclaration) and any(warning.code == _FLOW_UNKNOWN for warning in part.warnings):
        return replace(part, type_told=False)
    return part


def _classes(element: etree._Element) -> frozenset[str]:
    """The classes of the model in a declaration, its shipment and its consignment."""
    return frozenset(xml.local(each.tag) for depth in ("*", "*/*", "*/*/*") for each in element.iterfind(depth))


def _finish(filled: Filled, conventions: Conventions, named: frozenset[str]) -> str:
    data = filled.root.data
    kind = data.get("declaration_type", "")
    function = _TYPES.get(kind) or _FUNCTIONS.get(filled.root.notes.get(".function", ""))
    if function is None:
        filled.refuse("message-unsupported", "an additional message that is neither an amendment nor a cancellation", value=kind or None)
        return EventType.EXPORT_DECLARATION
    if "registration_number" not in data:
        data.pop("registration_year", None)  # of a number that is not there
    if kind in _TYPES:
        data.pop("declaration_type")  # message_function says it
    if function is not MessageFunction.ORIGINAL:
        data["message_function"] = function.value
    if function is MessageFunction.CANCELLATION or (function is MessageFunction.AMENDMENT and _CHANGES not in named):
        data["version"] = NEXT
    elif function is MessageFunction.AMENDMENT:
        filled.warn("amendment-partial", "it says only what changes, by pointers: the whole corrected declaration is what can be sent")
    agree_on_party(filled, "consignee_id", "consignee_name")
    name_source(filled, conventions)
    make_agree(filled)
    flow = _flow(filled, kind, named)
    if flow is not None:
        return _TYPE_OF_FLOW[flow]
    text = "neither its type nor a procedure or its MRN tells whether it is an export, an import or a transit"
    if function is MessageFunction.ORIGINAL:
        filled.refuse("type-unknown", text, field="declaration_type", value=kind or None)
    else:
        filled.warn(_FLOW_UNKNOWN, f"{text}: it is shown as an export, and is of the type of what it corrects")
    return EventType.EXPORT_DECLARATION


def _flow(filled: Filled, kind: str, named: frozenset[str]) -> str | None:
    """What a declaration is for. `CO`, trade between parts of one union with different taxes, may go either way."""
    procedures = (str(item.data.get("procedure_code", ""))[:1] for item in filled.root.of("items"))
    of_procedures = {_FLOW_OF_PROCEDURE[first] for first in procedures if first in _FLOW_OF_PROCEDURE}
    told = of_procedures.pop() if len(of_procedures) == 1 else None
    of_classes = [flow for flow, classes in _NAMED_IN_FLOW.items() if classes & named]
    return (
        _FLOW_OF_TYPE.get(kind[:2])
        or told
        or flow_of(filled.root.data.get("registration_number", ""))
        or (of_classes[0] if len(of_classes) == 1 else None)
    )


def _finish_presentation(filled: Filled, conventions: Conventions) -> str:
    data = filled.root.data
    data["kind"] = CrossingKind.PRESENTED.value
    data.setdefault("vehicle", {})
    name_source(filled, conventions)
    make_agree(filled)
    return EventType.CROSSING_EVENT


FORMAT = Wco()
