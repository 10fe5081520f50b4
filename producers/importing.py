"""The partner's export as a pre-filled import declaration for the own national system: when it is made, and of what. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from producers.conversion import Document
from schemas.drafts import validate_draft
from schemas.errors import ContentError
from schemas.names import EventType
from schemas.sad import Prefill, prefilled_import


@dataclass(frozen=True, slots=True)
class Importing:
    """Who imports: the own administration and the office that will register it, as far as they are told.

    `always`: every export becomes an import, whosever it is.
    """

    administration: str | None
    office: str | None
    always: bool = False

    def taken(self, document: Document) -> Document:
        """Give what is to be written of a document: an export of another administration as an import, anything else as it is.

        ContentError where it must be an import and cannot: a draft, a cancellation, or no office to import it at.
        """
        theirs = document.data.get("administration")
        foreign = self.administration is not None and theirs is not None and theirs != self.administration
        if document.type != EventType.EXPORT_DECLARATION or not (foreign or self.always):
            return document
        if document.missing:
            text = f"an import refers to a registered export, and this one lacks {', '.join(document.missing)}"
            raise ContentError("declaration-draft", text, field=document.missing[0])
        if self.office is None:
            text = "an import needs the office that will register it: name it with --office, or as posts.NAME.reading.office"
            raise ContentError("field-missing", text, field="office_code")
        export = validate_draft(document.type, {name: value for name, value in document.data.items() if name != "version"})
        if not export.items:
            raise ContentError("format-cannot-say", "a cancellation has no goods to import", field="message_function", value="cancellation")
        return Document.of(EventType.IMPORT_DECLARATION, prefilled_import(export, Prefill(self.office)), document.number)
