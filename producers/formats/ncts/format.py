"""EU NCTS phase 5 messages: transit declarations, and what happens to them, of those kinds that say something for the neighbour."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from lxml import etree

from producers.formats import xml
from producers.formats.agreeing import agree_on_party, make_agree
from producers.formats.filling import Filled
from producers.formats.mapping import Mapping
from producers.formats.message import Message, name_source, read_message
from producers.formats.ncts.table import ARRIVAL, CANCELLATION, DECLARATION, PRESENTATION, RELEASE, UNLOADING
from producers.formats.reading import Conventions, Described, Part, Reading, Unread
from producers.formats.structure import outline
from schemas.crossing import CrossingKind
from schemas.declarations import MessageFunction
from schemas.drafts import NEXT
from schemas.errors import ContentError
from schemas.names import EventType

NAMESPACE = "http://ncts.dgtaxud.ec"
_NAME = re.compile(r"C[CD][0-9]{3}[A-Z]")
_NAMES = frozenset(f"C{domain}{number:03}{phase}" for domain in "CD" for number in range(1000) for phase in "ABCD")

# Messages with which customs answers, and what they say.
_ANSWERS = {
    "CC004C": "an amendment was accepted",
    "CC009C": "an invalidation was decided",
    "CC019C": "discrepancies were found",
    "CC022C": "an amendment is asked for",
    "CC023C": "a guarantor is told",
    "CC028C": "an MRN was allocated",
    "CC035C": "a debt is recovered",
    "CC037C": "a guarantee's state is told",
    "CC043C": "unloading is permitted",
    "CC045C": "a movement is written off",
    "CC051C": "a release is refused",
    "CC055C": "a guarantee is not valid",
    "CC056C": "the office of departure rejects a message",
    "CC057C": "the office of destination rejects a message",
    "CC060C": "a control is decided",
    "CC140C": "a movement that has not arrived is asked for",
    "CC182C": "an incident is forwarded",
    "CC906C": "a message has errors",
    "CC917C": "a message is no valid XML",
    "CC928C": "a message has come",
}


@dataclass(frozen=True, slots=True)
class _Taken:
    mapping: Mapping
    finish: Callable[[Filled, Conventions], str]


class Ncts:
    """Messages of the EU's transit system."""

    name = "ncts"
    title = "EU NCTS phase 5 messages (CC015C, CC013C, CC014C, CC029C, CC007C, CC044C, CC025C, CC170C)"

    def recognises(self, head: bytes) -> bool:
        """Whether a message of this system begins here, on its own or within another document."""
        return any(_NAME.fullmatch(name) for name in xml.elements_in(head))

    def read(self, stream: BinaryIO, conventions: Conventions) -> Reading:
        """Read each message in it."""
        return Reading(_parts(stream, conventions), tells_its_end=True)

    def describe(self) -> tuple[Described, ...]:
        """The tables of the messages, one after another."""
        lines: list[Described] = []
        for mapping in dict.fromkeys(taken.mapping for taken in _TAKEN.values()):
            names = ", ".join(name for name, taken in _TAKEN.items() if taken.mapping is mapping)
            lines += [Described(names, "(message)", "", "each of these is read so:"), *mapping.describe()]
        return tuple(lines)


def _parts(stream: BinaryIO, conventions: Conventions) -> Iterator[Part]:
    for element in xml.documents(stream, _NAMES):
        yield element if isinstance(element, Unread) else _message(element, conventions)


def _message(element: etree._Element, conventions: Conventions) -> Part:
    name = xml.local(element.tag)
    taken = _TAKEN.get(name)
    if taken is None:
        return _unread(element, *_other(name))
    namespace = str(element.tag).rpartition("}")[0].lstrip("{")
    if namespace != NAMESPACE:
        return _unread(element, "namespace-wrong", f"a message of NCTS stands in the namespace {NAMESPACE}", namespace or "none")
    structure = outline("producers.formats.ncts", "messages.outline")[name]
    return read_message(element, Message(taken.mapping, taken.finish, structure), conventions, "ncts")


def _other(name: str) -> tuple[str, str]:
    if name in _ANSWERS:
        return "message-response", f"{name} is an answer of customs: {_ANSWERS[name]}"
    if not name.endswith("C"):
        return "message-unsupported", f"{name} is no message of phase 5, whose names end in C"
    return "message-unsupported", f"{name} is no declaration and no event of a crossing: {', '.join(_TAKEN)} are read"


def _unread(element: etree._Element, code: str, text: str, value: str | None = None) -> Unread:
    return Unread.of(ContentError(code, text, value=value).problems, element.sourceline, xml.local(element.tag))


def _finish_declaration(filled: Filled, conventions: Conventions, function: MessageFunction) -> str:
    if function is not MessageFunction.ORIGINAL:
        filled.root.data |= {"message_function": function.value, "version": NEXT}
    _first_guarantee(filled)
    for party in ("exporter", "consignee", "principal"):
        agree_on_party(filled, f"{party}_id", f"{party}_name")
    name_source(filled, conventions)
    make_agree(filled)
    return EventType.TRANSIT_DECLARATION


def _first_guarantee(filled: Filled) -> None:
    """One guarantee is exchanged: the first that says its type; others are kept beside."""
    root = filled.root
    for guarantee in root.of(".guarantees"):
        if "type_code" in guarantee.data and "guarantee" not in root.data:
            root.data["guarantee"] = guarantee.data
            root.leaves |= {f"guarantee.{name}": leaves for name, leaves in guarantee.leaves.items()}
        else:
            filled.warn("values-beyond", "one guarantee is exchanged, the first", place=guarantee.place)
            guarantee.drop_all()


def _finish_event(filled: Filled, conventions: Conventions, kind: CrossingKind | None) -> str:
    data = filled.root.data
    if kind is not None:
        data["kind"] = kind.value
    day = filled.root.notes.get(".day")
    if day is not None:
        filled.root.drop(".day")  # no field says it
        if "occurred_at" in data and not data["occurred_at"].startswith(day):
            filled.set_aside(filled.root, "occurred_at", "values-differ", f"the message is of another day than what it tells of, {day}")
    data.setdefault("vehicle", {})
    name_source(filled, conventions)
    make_agree(filled)
    return EventType.CROSSING_EVENT


_TAKEN = {
    "CC015C": _Taken(DECLARATION, partial(_finish_declaration, function=MessageFunction.ORIGINAL)),
    "CC013C": _Taken(DECLARATION, partial(_finish_declaration, function=MessageFunction.AMENDMENT)),
    "CC029C": _Taken(DECLARATION, partial(_finish_declaration, function=MessageFunction.ORIGINAL)),
    "CC014C": _Taken(CANCELLATION, partial(_finish_declaration, function=MessageFunction.CANCELLATION)),
    "CC007C": _Taken(ARRIVAL, partial(_finish_event, kind=CrossingKind.ARRIVED)),
    "CC044C": _Taken(UNLOADING, partial(_finish_event, kind=CrossingKind.EXAMINED)),
    "CC025C": _Taken(RELEASE, partial(_finish_event, kind=None)),
    "CC170C": _Taken(PRESENTATION, partial(_finish_event, kind=CrossingKind.PRESENTED)),
}

FORMAT = Ncts()
