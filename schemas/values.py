"""Numbers, dates and instants as they are written in events: each in one way only, so that every reader of any language reads the same.

Pydantic alone would also take floats, exponents, digits of other scripts, timestamps as numbers, and instants with seconds left out.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, GetPydanticSchema
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


def plain_decimal(integer_digits: int, places: int) -> GetPydanticSchema:
    """Describe a decimal from 0, with up to so many digits before and behind the point, for `Annotated[Decimal, …]`.

    JSON carries it as a string (`"1234.50"`) or a whole number, never as a fraction: floats do not keep money. No sign, no exponent, no
    leading zeros: so `str` gives it as it came. The pattern is checked before Python sees the text.
    """
    pattern = rf"^(0|[1-9][0-9]{{0,{integer_digits - 1}}})(\.[0-9]{{1,{places}}})?$"
    limit = 10**integer_digits
    described = f"up to {integer_digits} digits before and {places} behind the point"
    readings: list[CoreSchema | tuple[CoreSchema, str]] = [
        core_schema.chain_schema(
            [core_schema.str_schema(strict=True, pattern=pattern), core_schema.no_info_plain_validator_function(Decimal)]
        ),
        core_schema.chain_schema(
            [core_schema.int_schema(strict=True, ge=0, lt=limit), core_schema.no_info_plain_validator_function(Decimal)]
        ),
        core_schema.chain_schema(
            [
                core_schema.decimal_schema(strict=True, ge=Decimal(0), max_digits=integer_digits + places, decimal_places=places),
                core_schema.no_info_plain_validator_function(_without_exponent),
            ]
        ),
    ]
    schema = core_schema.custom_error_schema(
        core_schema.union_schema(
            readings,
            mode="left_to_right",
            serialization=core_schema.to_string_ser_schema(when_used="json-unless-none"),
        ),
        custom_error_type="decimal_plain",
        custom_error_message="a plain decimal written as a string such as '1234.50', {described}, without sign or exponent",
        custom_error_context={"described": described},
    )
    shape = {"type": ["string", "integer"], "pattern": pattern, "minimum": 0, "exclusiveMaximum": limit, "description": described}
    return _as(schema, shape)


def _without_exponent(value: Decimal) -> Decimal:
    return Decimal(format(value, "f"))


def _as(schema: CoreSchema, shape: dict[str, Any]) -> GetPydanticSchema:
    return GetPydanticSchema(lambda _source, _handler: schema, lambda _schema, _handler: dict(shape))


def _in_one_spelling(pattern: str, read: CoreSchema, strict: CoreSchema, error: str, message: str) -> CoreSchema:
    spelled = core_schema.chain_schema([core_schema.str_schema(strict=True, pattern=pattern), read])
    return core_schema.custom_error_schema(
        core_schema.union_schema([spelled, strict], mode="left_to_right"), custom_error_type=error, custom_error_message=message
    )


_DAY = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_INSTANT = rf"^{_DAY}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{{1,6}})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"


def _within_calendar(instant: datetime) -> datetime:
    # In the first and the last year the same instant may lie outside the calendar in UTC, and no program can bring it there.
    if not date.min.year < instant.year < date.max.year:
        raise PydanticCustomError("instant_calendar", "an instant of the years 2 to 9998")
    return instant


# RFC 3339 with its offset: the place's own, so that its wall clock can be told again (+05:00 Dushanbe, +04:30 Kabul).
Instant = Annotated[
    datetime,
    _as(
        core_schema.no_info_after_validator_function(
            _within_calendar,
            _in_one_spelling(
                _INSTANT,
                core_schema.datetime_schema(tz_constraint="aware", microseconds_precision="error"),
                core_schema.datetime_schema(strict=True, tz_constraint="aware"),
                "instant_form",
                "an instant with seconds and offset (RFC 3339), such as 2026-11-24T08:15:00+05:00",
            ),
        ),
        {"type": "string", "format": "date-time", "pattern": _INSTANT},
    ),
]

Day = Annotated[
    date,
    _as(
        _in_one_spelling(
            rf"^{_DAY}$",
            core_schema.date_schema(),
            core_schema.date_schema(strict=True),
            "day_form",
            "a day of the Gregorian calendar (RFC 3339), such as 2026-11-24",
        ),
        {"type": "string", "format": "date", "pattern": rf"^{_DAY}$"},
    ),
]


def whole(first: int, last: int) -> Any:
    """Describe an integer within these bounds, both included: a JSON integer, neither text nor true."""
    return Field(ge=first, le=last, strict=True)


# In which order a system writes day, month and year.
DateOrder = Literal["dmy", "mdy", "ymd"]

# Whose versions a source's declarations have: those that they state (1 where they state none), or the next one, which intake gives.
Versions = Literal["stated", "next"]
