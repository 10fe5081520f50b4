"""ASYCUDA World's Single Administrative Document (SAD) as XML: its elements, and one declared table between them and the data model.

`TABLE` (schemas.sad.table) says what stands where, and by which rule it is written; `write` gives a declaration as such a file,
`prefilled_import` makes the partner's export into an import declaration for the own system. Reading files is the formats' business
(`producers.formats.asycuda`): it goes by the same table.
"""

from schemas.sad.prefill import Prefill, prefilled_import
from schemas.sad.rules import Rule, Spelling
from schemas.sad.table import CONTAINER_ITEM, CONTAINER_NUMBER, TABLE, Kind, Row
from schemas.sad.writing import container_blocks, layout, write, write_draft

__all__ = [
    "CONTAINER_ITEM",
    "CONTAINER_NUMBER",
    "TABLE",
    "Kind",
    "Prefill",
    "Row",
    "Rule",
    "Spelling",
    "container_blocks",
    "layout",
    "prefilled_import",
    "write",
    "write_draft",
]
