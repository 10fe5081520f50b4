"""What a mapping file says of one column's use, and of how cells are written: the words of `columns`, which `cells` puts to work."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas.values import DateOrder

Encoding = Literal["utf-8", "utf-16", "utf-16-le", "utf-16-be", "cp1251", "cp1256", "cp866"]
Delimiter = Literal[",", ";", "\t", "|"]
RuleName = Literal["text", "code", "hs-code", "beyond-hs"]
Constant = str | int | bool


class Words(BaseModel):
    """A part of a mapping file: unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def compared(text: str) -> str:
    """Give a column's name as it is compared: blanks around it and doubled ones within do not count, and neither do capitals."""
    return " ".join(text.split()).casefold()


def _named(name: str) -> str:
    if not name.strip():
        raise ValueError("a column's name is not blank")
    return name.strip()


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("no such time zone: an IANA name such as Asia/Dushanbe or Asia/Kabul")
    return name


ColumnName = Annotated[str, AfterValidator(_named)]


class Use(Words):
    """What a column is used for: the field that it fills, and how its text becomes the value."""

    field: str = Field(max_length=120, description="a path such as office_code, items[].hs_code or documents[2].reference")
    rule: RuleName | None = Field(default=None, description="another way to read it than the field's own")
    values: dict[str, str] = Field(default_factory=dict, description="texts of this column translated, before the rule")
    digits: Annotated[int, Field(ge=1, le=40, strict=True)] | Literal["any"] | None = Field(
        default=None, description='how many characters each code has; "any": numbers without leading zeros'
    )
    constants: dict[str, Constant] = Field(
        default_factory=dict, alias="with", description="what else is told of the document that this column opens"
    )
    optional: bool = Field(default=False, strict=True, description="whether a file may lack the column")


class Cells(Words):
    """How the table is written: what no file says of itself."""

    encoding: Encoding | None = Field(default=None, description="utf-8, or utf-16 where a byte order mark says so, without it")
    delimiter: Delimiter | None = Field(default=None, description="recognised by the names of the columns without it")
    sheet: str | None = Field(default=None, min_length=1, max_length=31, description="of a workbook; its only one without it")
    above_header: int = Field(default=0, ge=0, le=40, strict=True, description="lines above the header, such as a title")
    decimal: Literal[".", ","] | None = Field(default=None, description="what parts a fraction; without it a doubtful comma is refused")
    thousands: Literal[".", ",", " ", "'"] | None = Field(default=None, description="what parts thousands")
    nothing: tuple[str, ...] = Field(default=(), max_length=20, description="texts that mean an empty cell, such as NULL")
    date_order: DateOrder | None = Field(default=None, description="goes before the source's own date_order")
    time_zone: Annotated[str, AfterValidator(_zone)] | None = Field(default=None, description="goes before the source's own")
