"""What was kept of a SAD beside its data (`extensions.asycuda`), brought back into the form of a tree, to be written where it stood."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_STEP = re.compile(r"([A-Za-z_][A-Za-z0-9._]*)(?:\[([1-9][0-9]{0,3})\])?")
_ATTRIBUTE = re.compile(r"@([A-Za-z_][A-Za-z0-9._-]*)")
_PADDING = 20  # blank blocks that may stand before or between those that say something; farther away nothing is written


@dataclass(slots=True)
class Kept:
    """What is known of one element: its text, its attributes, and its parts by name and place (from 1)."""

    text: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    parts: dict[str, dict[int, Kept]] = field(default_factory=dict)

    def last(self, name: str, others: int = 0) -> int:
        """The last place of an element of this name that is written, where the data itself has `others`."""
        places = self.parts.get(name, {})
        farthest = others + len(places) + _PADDING
        return max((place for place in places if place <= farthest), default=0)


NOTHING = Kept()


def kept_of(said: Any) -> Kept:
    """Make the tree of texts by path (`Item[2]/Taxation/Taxation_line[1]/Duty_tax_code`); what has another form is left out."""
    root = Kept()
    for path, text in said.items() if isinstance(said, dict) else ():
        if isinstance(path, str) and isinstance(text, str) and text:
            _put(root, path, text)
    return root


def _put(root: Kept, path: str, text: str) -> None:
    element = root
    *above, last = path.split("/")
    attribute = _ATTRIBUTE.fullmatch(last)
    for step in above if attribute else [*above, last]:
        found = _STEP.fullmatch(step)
        if found is None:
            return
        element = element.parts.setdefault(found[1], {}).setdefault(int(found[2] or 1), Kept())
    if attribute:
        element.attributes[attribute[1]] = text
    else:
        element.text = text
