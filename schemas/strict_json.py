"""Strict JSON: one object, read in one way only by everyone. What readers disagree about is refused (RFC 8259, sections 4, 6 and 8)."""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Any, NoReturn

import orjson

from schemas.errors import ContentError, shown
from schemas.limits import INTEGER, JSON_DEPTH

STRING_CHARACTERS = 1024 * 1024  # of any one string or name; the models bound each field further


def parse(raw: bytes, string_characters: int = STRING_CHARACTERS) -> dict[str, Any]:
    """Read exactly one JSON object from UTF-8 bytes; `string_characters` bounds each string in it.

    Raises ContentError: `json-encoding` (not UTF-8, or a byte order mark), `json-depth` (nested deeper than `JSON_DEPTH`),
    `json-syntax`, `json-duplicate-key`, `json-number` (a fraction, an exponent, NaN, an infinity, or beyond ±(2**53 - 1): a number
    that carries a value travels as a string), `json-text` (U+0000, a lone surrogate, or too long), `json-not-object`.
    """
    if raw.startswith(b"\xef\xbb\xbf"):
        raise ContentError("json-encoding", "a byte order mark stands before the JSON")
    _check_depth(raw)
    value = _as_written(raw)
    if value is None:
        value = _decode(raw)
    # Only these characters and escapes can make a string unfit: the search in the bytes spares a walk through the value.
    if (b"\\" in raw and (b"\\u0000" in raw or b"\\ud" in raw or b"\\uD" in raw)) or len(raw) > string_characters:
        _check_strings(value, string_characters)
    return value


def write(value: Any, *, sorted_names: bool = False) -> bytes:
    """Write a value in UTF-8 without spaces, its names in their order or sorted by code point; numbers are integers within 64 bits.

    TypeError where it is no JSON, or a string has a lone surrogate.
    """
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sorted_names else None)


def _as_written(raw: bytes) -> dict[str, Any] | None:
    """Read an object that is written as `write` writes it; None for any other, whatever is the matter with it.

    What comes out the same byte for byte was read in the one way that there is: a name that stands twice or a number in another spelling
    would not. Only fractions and great integers would, and are looked for. A third of what `_decode` costs.
    """
    try:
        value = orjson.loads(raw)
        return value if type(value) is dict and orjson.dumps(value) == raw and _has_plain_numbers(value) else None
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None


def _has_plain_numbers(value: dict[str, Any] | list[Any]) -> bool:
    for each in value.values() if isinstance(value, dict) else value:
        kind = type(each)
        if kind is dict or kind is list:
            if not _has_plain_numbers(each):
                return False
        elif kind is float or (kind is int and not -INTEGER <= each <= INTEGER):
            return False
    return True


def _decode(raw: bytes) -> dict[str, Any]:
    """Read an object in any spelling; raises as `parse`, but for what its strings hold."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise ContentError("json-encoding", f"not UTF-8 at byte {error.start}") from None
    try:
        value = _DECODER.decode(text)
    except ContentError:
        raise
    except (ValueError, RecursionError) as error:  # a syntax error, or an integer beyond Python's own limit of digits
        raise ContentError("json-syntax", f"not JSON: {error}"[:500]) from None
    if type(value) is not dict:
        raise ContentError("json-not-object", "not a JSON object", value=type(value).__name__)
    return value


def _check_depth(raw: bytes) -> None:
    """Refuse depth before parsing. Counting opening brackets suffices for nearly all; of a text with many, the strings are taken out."""
    if raw.count(b"{") + raw.count(b"[") <= JSON_DEPTH:
        return
    bare = b"".join(raw.split(b'"')[::2]) if b"\\" not in raw else _STRING.sub(b"", raw)
    brackets = bare.translate(_SQUARE, _NO_BRACKETS)
    left = brackets
    for _ in range(JSON_DEPTH):
        left = left.replace(b"[]", b"")  # one level a time, the innermost: what is left is deeper, or does not close
    if left and max(accumulate(1 if bracket == _OPENING else -1 for bracket in brackets)) > JSON_DEPTH:
        raise ContentError("json-depth", f"nested deeper than {JSON_DEPTH}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ContentError("json-duplicate-key", "a name stands twice in one object", field=shown(twice))
    return value


def _integer(digits: str) -> int:
    value = int(digits)
    if digits == "-0":
        raise ContentError("json-number", "minus zero, which readers take for another number than 0", value=digits)
    if not -INTEGER <= value <= INTEGER:
        raise ContentError("json-number", f"an integer beyond ±{INTEGER}", value=digits)
    return value


def _no_number(digits: str) -> NoReturn:
    raise ContentError("json-number", "no fractions or exponents: such a number travels as a string", value=digits)


def _check_strings(value: Any, limit: int) -> None:
    if type(value) is str:
        if "\0" in value or len(value) > limit or any("\ud800" <= character <= "\udfff" for character in value):
            raise ContentError("json-text", "a string with U+0000, a lone surrogate, or too long", value=value.encode(errors="replace"))
    elif type(value) is dict:
        for name, each in value.items():
            _check_strings(name, limit)
            _check_strings(each, limit)
    elif type(value) is list:
        for each in value:
            _check_strings(each, limit)


# A string, or the beginning of one that does not end. Possessive: each byte is looked at once, whatever the text.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_OPENING = ord("[")
_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_no_number, parse_constant=_no_number)
