"""One declaration or crossing event from its rows: each cell to its field, what the rows share said once, what no field says kept. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from producers.formats import rules
from producers.formats.cells import Path, Taking
from producers.formats.columns import Columns, TypeColumn
from producers.formats.fields import INSTANT
from producers.formats.filling import Filled, Leaf, Target, gather
from producers.formats.mapping import Mapping as Table
from producers.formats.mapping import Said, Slot
from producers.formats.reading import Conventions, LocatedProblem, Part, Place, ReadDeclaration, Unread
from producers.formats.rows import Record
from schemas.declarations import MessageFunction
from schemas.drafts import NEXT
from schemas.errors import ContentError

_NAME_CHARACTERS = 200  # of a name in `extensions`
_TABLE = Table(())  # its table is the mapping file's own


def declare(records: Sequence[Record], columns: Columns, conventions: Conventions, kept_under: str) -> Part:
    """Make a declaration of its rows (at least one), `kept_under` being the name within `extensions` of what no field says.

    `conventions` are the source's own, or `Columns.under` of them. What is wrong comes as one `Unread` with all of its problems.
    """
    first = records[0]
    try:
        event_type = _type_of(first, columns)
    except ContentError as error:
        return Unread.of(error.problems, first.line, first.path_of(columns.type.column) if isinstance(columns.type, TypeColumn) else None)
    gathered = _Gathered(columns, columns.takings[event_type], Target({}, Place(None, first.line)), len(records))
    for number, record in enumerate(records, 1):
        gathered.take(record, number)
    filled = _TABLE.fill(gathered.said, gathered.root, conventions)
    _finish(filled, columns, event_type, conventions)
    problems = (*gathered.problems, *filled.problems)
    if problems:
        return Unread(problems, first.line)
    data = filled.root.data
    if kept := gathered.extensions(filled):
        data["extensions"] = {kept_under: kept}
    return ReadDeclaration(event_type, data, first.line, filled.root.places().of, tuple(filled.warnings))


def _type_of(record: Record, columns: Columns) -> str:
    if not isinstance(columns.type, TypeColumn):
        return columns.type
    said = record.said(columns.type.column, columns)
    if said not in columns.type.values:
        known = ", ".join(repr(each) for each in columns.type.values)
        raise ContentError("type-unknown", f"the mapping file knows these types by this column: {known}", value=said)
    return columns.type.values[said]


@dataclass(slots=True)
class _Gathered:
    """The cells of one declaration, each with the part of the data that it goes into."""

    columns: Columns
    takings: Mapping[str, tuple[Taking, ...]]
    root: Target
    rows: int
    said: list[Said] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)  # of leaves, under which they are kept where no field takes them
    problems: list[LocatedProblem] = field(default_factory=list)
    shared: dict[str, dict[str, Record]] = field(default_factory=dict)  # by column, each text and the first row that says it
    kept: dict[str, list[tuple[int, Leaf]]] = field(default_factory=dict)  # by column, with the number of the row

    def take(self, record: Record, number: int) -> None:
        """Take the cells of one more row, the `number`th of its declaration."""
        self.problems += record.problems
        opened: dict[tuple[tuple[str, str], ...], Target] = {(): self.root}
        for column in record.cells:
            text = record.said(column, self.columns)
            if not text:
                continue
            takings = self.takings.get(column, ())
            if not takings and not self._is_type(column):
                self._keep(column, Leaf(*record.place(column), text), number)
            elif (usable := self._usable(column, takings, text, record)) and self._may_be_read(column, usable, text, record):
                self._add(column, text, usable, record, number, opened)

    def _is_type(self, column: str) -> bool:
        return isinstance(self.columns.type, TypeColumn) and column == self.columns.type.column

    def _usable(self, column: str, takings: Sequence[Taking], text: str, record: Record) -> list[Taking]:
        """What this row has to say: of the whole declaration what no row has said before, which may only add to lists."""
        whole = [taking for taking in takings if not taking.path.of_item]
        if not whole and not self._is_type(column):
            return list(takings)
        said = self.shared.setdefault(column, {})
        before = said.setdefault(text, record)
        other, where = next(iter(said.items()))
        if other != text and before is record and not (whole and all(taking.path.adds for taking in whole)):
            why = f"it tells of the whole declaration, and the rows of one disagree (line {where.line} says {other[:60]!r})"
            self._refuse("rows-disagree", why, text, record, column)
            return []
        return [taking for taking in takings if taking.path.of_item or before is record]

    def _may_be_read(self, column: str, takings: Sequence[Taking], text: str, record: Record) -> bool:
        if column not in record.numbers or all(taking.numeric for taking in takings):
            return True
        if any(taking.digits is not None for taking in takings):
            return True
        if any(taking.slot.row.rule in (rules.DAY, INSTANT) for taking in takings):
            why = "a bare number where a date belongs: have the program keep it as a date"
        else:
            why = (
                "a number where a code or text belongs, so that its leading zeros may be lost: keep it as text, or name the column's digits"
            )
        self._refuse("cell-number", why, text, record, column)
        return False

    def _add(self, column: str, text: str, takings: Sequence[Taking], record: Record, number: int, opened: dict[Any, Target]) -> None:
        into: dict[int, tuple[Target, list[Slot]]] = {}
        for taking in takings:
            target = self._target(taking.path.opens, record, opened)
            for name, value in taking.beside.items():
                target.data.setdefault(name, value)
            into.setdefault(id(target), (target, []))[1].append(taking.slot)
        for target, slots in into.values():
            leaf = Leaf(*record.place(column), text)
            self.said.append((leaf, slots, target))
            self.names[id(leaf)] = f"items[{number}]/{column}" if self.rows > 1 else column

    def _target(self, opens: tuple[tuple[str, str], ...], record: Record, opened: dict[Any, Target]) -> Target:
        if opens not in opened:
            parent = self._target(opens[:-1], record, opened)
            opened[opens] = parent.opened(opens[-1][0], Place(None, record.line))
        return opened[opens]

    def _keep(self, column: str, leaf: Leaf, number: int) -> None:
        if column not in self.columns.not_taken:
            self.kept.setdefault(column, []).append((number, leaf))

    def _refuse(self, code: str, why: str, text: str, record: Record, column: str) -> None:
        self.problems.append(LocatedProblem(ContentError(code, why, value=text).problems[0], record.place(column)))

    def extensions(self, filled: Filled) -> dict[str, str]:
        """What no field says: once where all rows say the same, else by its row."""
        kept = {self.names[id(leaf)]: leaf for _, leaf in filled.root.texts_kept()}
        for column, leaves in self.kept.items():
            if len(leaves) == self.rows and len({leaf.text for _, leaf in leaves}) == 1:
                kept[column] = leaves[0][1]
            else:
                kept |= {f"items[{number}]/{column}": leaf for number, leaf in leaves}
        cleaned = {rules.safe(name)[-_NAME_CHARACTERS:]: filled.text_kept(leaf) for name, leaf in kept.items()}
        return {name: text for name, text in cleaned.items() if name.strip() and text.strip()}


def _finish(filled: Filled, columns: Columns, event_type: str, conventions: Conventions) -> None:
    """Set what no cell says: constants, the source's administration and office, the numbers of items, the year of registration.

    A correction that tells neither its version nor what it corrects is the next one.
    """
    items = filled.root.of("items")
    for path, value in columns.constant_values[event_type]:
        for data in [item.data for item in items] if path.of_item else [filled.root.data]:
            _set(data, path, value)
    data = filled.root.data
    if conventions.administration:
        data.setdefault("administration", conventions.administration)
    if conventions.office:
        data.setdefault("office_code", conventions.office)
    if isinstance(day := data.get("registered_on"), str):
        data.setdefault("registration_year", int(day[:4]))
    if data.get("message_function", MessageFunction.ORIGINAL) != MessageFunction.ORIGINAL and not {"version", "corrects"} & data.keys():
        data["version"] = NEXT
    if _counts_items(columns, event_type):
        for number, item in enumerate(items, 1):
            item.data["number"] = number
    gather(filled.root)


def _counts_items(columns: Columns, event_type: str) -> bool:
    """Whether items are numbered in the order in which they stand: no column and no constant does it."""
    told = (taking.path.canonical for takings in columns.takings[event_type].values() for taking in takings)
    return "items[].number" not in told


def _set(data: dict[str, Any], path: Path, value: Any) -> None:
    """Set a constant where nothing is said; within a part (`guarantee.type_code`) only where something is said of that part."""
    *above, last = path.steps
    for step in above:
        if step not in data:
            return
        data = data[step]
    data.setdefault(last, value)
