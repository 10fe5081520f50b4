"""The words that several tables of exchange.toml are made of: names, types, purposes, databases, tables of local codes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from schemas.names import STREAM_TYPES, EventType

UnitName = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=40)]
DatabaseUrl = Annotated[
    str, Field(pattern=r"^(sqlite:///.|postgresql(\+psycopg)?://)", description="sqlite:///… or postgresql+psycopg://…")
]
Purpose = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$", description="such as customs-control")]
CodeTable = Literal[
    "countries", "currencies", "documents", "incoterms", "offices", "package-kinds", "procedures", "transport-modes", "units"
]


def _in_stream(event_type: EventType) -> EventType:
    if event_type not in STREAM_TYPES:
        raise ValueError("only declarations and crossing events can be released and loaded; control events always travel")
    return event_type


StreamType = Annotated[EventType, AfterValidator(_in_stream)]
