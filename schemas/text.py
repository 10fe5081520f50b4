"""Free text as it may travel: composed Unicode without control characters, so that it cannot harm a terminal, a log or a page."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

# C0 and C1 controls, line and paragraph separators, and the characters that turn the direction of text (Unicode 15, section 23.2),
# with which a reader can be shown something else than what is written.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")


def check_text(value: str) -> str:
    """Give `value` as it is; pydantic error `text_harmful` for control or direction characters, `text_decomposed` where it is not NFC.

    ASCII needs neither check beyond the controls. Nothing is changed: what is signed is what was said.
    """
    if value.isascii() and value.isprintable():
        return value
    found = _HARMFUL.search(value)
    if found:
        raise PydanticCustomError("text_harmful", "no control or direction characters: U+{point}", {"point": f"{ord(found.group()):04X}"})
    if not unicodedata.is_normalized("NFC", value):
        raise PydanticCustomError("text_decomposed", "text is in Unicode's composed form (NFC)")
    return value


Text = Annotated[str, AfterValidator(check_text)]
