"""For which purposes a consumer reads: what was released for another one never reaches its handler. Reading the record: `reading`.

Such an event is HELD, not REFUSED: its content is sound, and nobody need send anything again once the two administrations agree. The
sender learns at once that and why it waits; a person's release does not lift it, only the settings of one of the two sides do.
"""

from __future__ import annotations

from collections.abc import Collection

from broker.settings.model import House
from schemas.errors import Problem


def unread(purposes: Collection[str] | None, purpose: str) -> Problem | None:
    """Why an event released for `purpose` is not given to a consumer that reads for these (None: for any); None where it is."""
    if purposes is None or purpose in purposes:
        return None
    text = f"it was released for another purpose than this house reads it for ({', '.join(sorted(purposes))}): agree on one"
    return Problem(code="purpose-unread", text=text, field="purpose", value=purpose)


def stated_purposes(house: House) -> frozenset[str] | None:
    """All purposes that the consumers of this house state; None where one of them states none, and so reads for any."""
    stated = [consumer.purposes for consumer in house.consumers]
    return None if None in stated else frozenset().union(*(purposes for purposes in stated if purposes is not None)) or None
