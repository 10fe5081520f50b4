"""What is said: events, declarations, receipts, code lists and error codes. Pure: no I/O, no transport, no database."""

from schemas.control import Receipt
from schemas.crossing import CrossingEvent
from schemas.declarations import ExportDeclaration, ImportDeclaration, TransitDeclaration
from schemas.errors import Problem
from schemas.event import Event
from schemas.fates import Fate
from schemas.names import EventType, Party

__all__ = [
    "CrossingEvent",
    "Event",
    "EventType",
    "ExportDeclaration",
    "Fate",
    "ImportDeclaration",
    "Party",
    "Problem",
    "Receipt",
    "TransitDeclaration",
]
