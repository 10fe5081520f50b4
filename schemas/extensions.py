"""`extensions`: what a source carries and the models do not know. Any JSON within bounds, in the same safe text as everything else."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from schemas.limits import EXTENSION_DEPTH, EXTENSION_NAMES, EXTENSION_VALUES, INTEGER, TEXT_CHARACTERS
from schemas.text import check_text

_NAME_CHARACTERS = 200


def check_extensions(value: dict[str, Any]) -> dict[str, Any]:
    """Give `value` as it is; pydantic errors `extensions_deep`, `extensions_large`, `extensions_value`, and those of `check_text`.

    Depth counts objects and lists, `extensions` itself being 1; every name's value counts once, lists and objects among them.
    """
    left = EXTENSION_VALUES
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        each, depth = waiting.pop()
        if depth > EXTENSION_DEPTH:
            raise PydanticCustomError("extensions_deep", "nested deeper than {limit}", {"limit": EXTENSION_DEPTH})
        left -= len(each)
        if left < 0:
            raise PydanticCustomError("extensions_large", "more than {limit} values", {"limit": EXTENSION_VALUES})
        if isinstance(each, dict):
            for name in each:
                if not (type(name) is str and 0 < len(name) <= _NAME_CHARACTERS and name.isascii() and name.isprintable()):
                    _check_name(name)
            each = each.values()
        for inner in each:
            if type(inner) is str and len(inner) <= TEXT_CHARACTERS and inner.isascii() and inner.isprintable():
                continue  # nearly all are such, and a declaration may have tens of thousands
            if isinstance(inner, dict | list):
                waiting.append((inner, depth + 1))
            else:
                _check_value(inner)
    return value


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= _NAME_CHARACTERS:
        raise PydanticCustomError("extensions_value", "a name has 1 to {limit} characters", {"limit": _NAME_CHARACTERS})
    check_text(name)


def _check_value(value: object) -> None:
    if isinstance(value, str):
        if len(value) > TEXT_CHARACTERS:
            raise PydanticCustomError("extensions_value", "text longer than {limit} characters", {"limit": TEXT_CHARACTERS})
        check_text(value)
    elif value is None or isinstance(value, bool):
        return
    elif not isinstance(value, int) or not -INTEGER <= value <= INTEGER:
        raise PydanticCustomError("extensions_value", "text, integers, true, false, null, lists and objects; a fraction travels as text")


Extensions = Annotated[
    dict[str, Any],
    Field(max_length=EXTENSION_NAMES, description="what a source carries and this model does not; bounded in depth and number"),
    AfterValidator(check_extensions),
]
