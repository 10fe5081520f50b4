"""The reason that lies beside a rejected file: what is wrong, where, and what to do. Pure; writing it stands in `sources`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from producers.formats.reading import LocatedProblem
from schemas.catalogue import CATALOGUE
from schemas.errors import shown
from schemas.event import utc_text

_MEND = "mend it, and hand it in again"
_WHAT_TO_DO = {
    "field-missing": "fill in the field in the system that wrote it, and hand the new one in",
    "code-unknown": "use a code of the list, or load the newer list with 'panj codelists load'",
    "version-conflict": "if the content was corrected, raise `version`, name what it `corrects` and give the `correction_reason`",
    "version-withdrawn": "if it is to go after all, raise `version`, name what it `corrects` and give the `correction_reason`",
    "version-older": "nothing, where it was handed in again by mistake; if it is to stand again, hand it in with its version stated",
    "versions-forgotten": "hand it in with its version stated, and what it corrects (canonical JSON); 'panj trace' tells what was sent",
    "correction-unknown": "hand in the declaration that it corrects first, or hand it in with its version stated",
    "correction-type": "hand it in with its own type and number",
    "correction-reason-missing": "set posts.NAME.reading.correction_reason in exchange.toml, start the post again, and hand it in again",
    "release-none": "if this type is to leave, add a release for it to exchange.toml and start the post again; then hand it in again",
    "administration-foreign": "give it to a post of the administration that registered it",
    "format-unknown": "write it in one of the formats named, or do not hand such files in",
    "declaration-draft": "register it in the national system, or name in exchange.toml what its files leave unsaid (posts.X.reading)",
    "date-ambiguous": "name the order of the dates of this source in exchange.toml: posts.X.reading.date_order",
    "form-blank": "fill the form in, or do not hand blank forms in",
    "message-response": "do not hand the answers of other systems in",
    "message-unsupported": "leave messages of other kinds out of the watched directory",
    "element-unknown": "have the system that wrote the file follow its own message's specification",
    "element-missing": "have the system that wrote the file follow its own message's specification",
    "element-misplaced": "have the system that wrote the file follow its own message's specification",
    "namespace-wrong": "have the system that wrote the file name the namespace of its message's specification",
    "xml-malformed": "have the system that wrote it mend it: no reader can tell what was meant",
    "columns-missing": "name the source's mapping file in exchange.toml: posts.X.reading.columns ('panj formats columns' proposes one)",
    "header-missing": "have the export begin with its header, or mend the mapping file, and start the post again",
    "column-missing": "have the export give the column, or mend the mapping file, and start the post again",
    "row-totals": "tell in the mapping file how rows of totals are known, and start the post again; or leave them out of the export",
    "csv-encoding": "name the encoding in the mapping file (table.encoding) and start the post again, or save the file as UTF-8",
    "key-repeated": "have the export sort its rows, so that those of one declaration stand together",
    "format-failed": "show the file to those who maintain the format",
    "file-empty": "write it again",
    "file-odd": "put regular files only into the watched directory: no links, pipes or devices",
    "file-unreadable": "give the post's user the right to read it, and put it into the watched directory again",
    "file-too-large": "split it into smaller files",
    "declaration-too-large": "split the declaration, or leave out what need not travel (extensions)",
}


def told(located: LocatedProblem) -> dict[str, str | int | None]:
    """Give a problem and its place as one JSON object: code, field, path, line, value, text, what to do, who must act."""
    code = located.problem.code
    return {
        "code": code,
        "field": located.problem.field,
        "path": located.place.path,
        "line": located.place.line,
        "value": located.problem.value,
        "text": located.problem.text,
        "what_to_do": _WHAT_TO_DO.get(code, _MEND),
        "who_must_act": CATALOGUE[code].actor.value if code in CATALOGUE else None,
    }


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a file was rejected. `problems` may be cut short, `problem_count` is how many there were.

    `accepted` counts the declarations of the same file that were good and were taken all the same; `post` is a URN.
    """

    file: str
    at_utc: datetime
    post: str
    problems: Sequence[LocatedProblem]
    problem_count: int
    accepted: int = 0

    def to_bytes(self) -> bytes:
        """Write it as it lies beside the file: indented JSON, UTF-8."""
        document = {
            "file": shown(self.file),
            "rejected_at": utc_text(self.at_utc),
            "post": self.post,
            "accepted_from_this_file": self.accepted,
            "problem_count": self.problem_count,
            "problems": [told(problem) for problem in self.problems],
        }
        return json.dumps(document, ensure_ascii=False, indent=2).encode("utf-8", "replace") + b"\n"
