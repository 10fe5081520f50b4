"""Free text as it may travel: composed Unicode without control characters, so that it cannot harm a terminal, a log or a page."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

# C0 and C1 controls, line and paragraph separators, and the characters that turn the direction of text (Unicode 15, section 23.2),
# with which a reader can be shown something else than what is written; lone surrogates, which are no characters.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def check_text(value: str) -> str:
    """Give `value` as it is; pydantic error `text_harmful` for control or direction characters, `text_decomposed` where it is not NFC.

    Nothing is changed: what is signed is what was said. Joiners (U+200C, U+200D) and marks (U+200E, U+200F) are part of written
    Persian and Pashto and pass.
    """
    if value.isprintable():  # nothing harmful is; the search is for the few that are not, such as a joiner or a no-break space
        if value.isascii():
            return value
    elif found := _HARMFUL.search(value):
        raise PydanticCustomError("text_harmful", "no control or direction characters: U+{point}", {"point": f"{ord(found.group()):04X}"})
    if not unicodedata.is_normalized("NFC", value):
        raise PydanticCustomError("text_decomposed", "text is in Unicode's composed form (NFC)")
    return value


Text = Annotated[str, AfterValidator(check_text)]
