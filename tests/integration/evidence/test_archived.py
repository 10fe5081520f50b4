"""Evidence of what retention has archived and pruned: the same file as before, on both banks and both databases, or precisely why not."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from broker.archive import Block
from broker.archive_reading import read_blocks
from broker.trust.signing import unb64url
from consumers.retention import Retention
from consumers.tables import inbox
from deploy.lab.administrations import Administration
from schemas.closing import Line, block_digest, digest_text
from schemas.errors import PanjError
from schemas.event import digest_of, new_id
from schemas.limits import ARCHIVE_LINE_BYTES, EVIDENCE_EVENTS
from schemas.names import EventType
from tests.integration.consumers.frontier import declaration
from tests.integration.evidence.river import HOUSE, POST, River
from tests.integration.evidence.test_export import document

YEARS = timedelta(days=6 * 365)
SAID = {"LOADED": "1", "REFUSED": "2", "withdrawn": "3", "withdrawn too late": "4", "in two versions": "5"}

Lines = list[dict[str, Any]]


@dataclass
class Bank:
    """One side, and the file of its archived block."""

    river: River
    side: Administration
    file: Path

    @property
    def checksum(self) -> Path:
        """The file beside it."""
        return self.file.with_name(self.file.name + ".sha256")

    def seal(self) -> None:
        """Make the checksum fit."""
        self.checksum.write_text(f"{hashlib.sha256(self.file.read_bytes()).hexdigest()}  {self.file.name}\n")

    def rewrite(self, edit: Callable[[Lines], object]) -> bool:
        """Alter the file's lines, and its checksum with them; False where nothing came of it."""
        before = [json.loads(line) for line in gzip.decompress(self.file.read_bytes()).splitlines()]
        lines = [dict(line) for line in before]
        edit(lines)
        self.file.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode(), compresslevel=1))
        self.seal()
        return lines != before

    def refused(self) -> tuple[str, int, str]:
        """With which code and exit code the export ends, and which file or setting is named; nothing is written."""
        ended = self.river.export(self.side, "1", "refused.json")
        assert isinstance(ended.exception, PanjError), ended.output
        assert not (self.river.directory / "refused.json").exists()
        return ended.exception.code, ended.exception.exit_code, str(ended.exception.problems[0].field).rpartition("/")[2]

    def altered(self) -> str:
        """What is told of a file that is not as it was written."""
        ended = self.river.export(self.side, "1", "refused.json")
        assert isinstance(ended.exception, PanjError), ended.output
        assert ended.exception.code == "archive-file-altered"
        return str(ended.exception)


def restate(lines: Lines, without: int | None = None) -> None:
    """Make the first line state the events as they are now, perhaps `without` a line."""
    if without is not None:
        del lines[without]
    events = [Line(line["sequence"], line["id"], unb64url(line["digest"]) or b"") for line in lines if "event" in line]
    lines[0]["digest"] = digest_text(block_digest(events))


def crossed(river: River) -> None:
    """Everything that may become of an event, then as many more as make a block of 1,000 and a part of the next one, closed."""
    river.cross(declaration(1), declaration(2, invoice_currency="XXZ"))
    river.accept(declaration(3))
    river.withdraw("TJ/TJPNJ/2026/3")
    river.carry(river.accept(declaration(4)))  # its receipt is lost
    river.withdraw("TJ/TJPNJ/2026/4")
    river.cross(declaration(5))
    for first in range(1_001, 2_041, 260):
        river.cross(*(declaration(number, items=1) for number in range(first, first + 260)))
    river.cross(declaration(5, 2))
    river.close_account()


def pruned(river: River) -> None:
    """Both banks archive what may go, years later."""
    for side in (river.tj, river.af):
        side.config.write_text(side.config.read_text() + '\n[retention]\narchive = "archive"\n')
    river.ahead = YEARS
    retention = Retention(river.engine, HOUSE, river.clock)
    (block,) = retention.blocks(365)
    assert retention.archive(block, river.af.directory / "archive") is not None
    retention.sweep(365)
    (block,) = river.outbox.pruning.blocks(365)
    assert river.outbox.pruning.archive(block, river.tj.directory / "archive") is not None
    river.ahead = timedelta()


def banks(river: River) -> list[tuple[str, Administration]]:
    return [("post", river.tj), ("house", river.af)]


def account(river: River, name: str) -> Any:
    """An evidence file's account without what its exporter says anew each time: its own signatures, and the house's receipt."""
    said = json.loads((river.directory / name).read_text())["account"]
    for entry in said["events"]:
        if said["exporter"] == POST.urn:
            entry["event"].pop("jws")
            entry.get("withdrawal", {}).pop("jws", None)
        else:
            entry.pop("receipt")
    return said


def states(river: River, name: str) -> list[tuple[str, str, str]]:
    """What a file proves, without the instants."""
    verified = river.verify(name)
    assert verified.exit_code == 0, verified.stdout
    return [(finding["event_id"], finding["what"], finding["state"]) for finding in document(verified)["findings"]]


def show_equal_files(river: River) -> None:
    """Export each event on both banks, prune, export it again: the files are equal but for what is signed anew, and prove the same."""
    crossed(river)
    ids = {what: river.outbox.kept(f"TJ/TJPNJ/2026/{number}")[0].event_id for what, number in SAID.items()}
    for bank, side in banks(river):
        for what, event_id in ids.items():
            assert river.export(side, event_id, f"{bank} {what} before.json").exit_code == 0
    pruned(river)
    for bank, side in banks(river):
        for what, event_id in ids.items():
            before, after = f"{bank} {what} before.json", f"{bank} {what} after.json"
            assert river.export(side, event_id, after).exit_code == 0, (bank, what)
            assert account(river, after) == account(river, before), (bank, what)
            assert states(river, after) == states(river, before), (bank, what)
            (entry,) = account(river, after)["events"]
            assert len(entry["closing"]["lines"]) == 1_000
            assert ("withdrawal" in entry) == (what == "withdrawn" or (what == "withdrawn too late" and bank == "house"))


def test_after_pruning_each_bank_gives_the_same_file_as_before(river: River) -> None:
    show_equal_files(river)
    with river.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(inbox)).scalar_one() == 46
    for bank, side in banks(river):
        for number, versions in (("TJ/TJPNJ/2026/5", [1, 2]), ("5", [1, 2]), ("1003", [1])):
            name = f"{bank} {number.replace('/', '-')}.json"
            assert river.export(side, number, name).exit_code == 0
            assert [event["version"] for event in document(river.verify(name))["events"]] == versions
        assert river.export(side, "77", "none.json").exit_code == 1


def test_after_pruning_what_was_encrypted_is_the_same_too(tmp_path: Path) -> None:
    river = River(tmp_path, f"sqlite:///{tmp_path}/outbox.sqlite", f"sqlite:///{tmp_path}/house.sqlite", encrypted=True)
    show_equal_files(river)
    assert "plaintext" in account(river, "house LOADED after.json")["events"][0]
    (refusal,) = [each for each in document(river.verify("house REFUSED after.json"))["findings"] if each["what"] == "receipt"]
    assert "invoice_currency" in refusal["text"]
    river.close()


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[River]:
    """A river whose first block is in the archive on both banks."""
    place = tmp_path_factory.mktemp("archived")
    river = River(place, f"sqlite:///{place}/outbox.sqlite", f"sqlite:///{place}/house.sqlite")
    crossed(river)
    pruned(river)
    yield river
    river.close()


@pytest.fixture(params=["post", "house"])
def bank(request: pytest.FixtureRequest, archived: River) -> Iterator[Bank]:
    """One bank's archived block, put back as it was after the test."""
    side = archived.tj if request.param == "post" else archived.af
    (file,) = (side.directory / "archive").rglob("*.jsonl.gz")
    made = Bank(archived, side, file)
    before = {path: path.read_bytes() for path in (file, made.checksum)}
    yield made
    for path, content in before.items():
        path.write_bytes(content)


def test_a_file_of_the_archive_that_is_missing_is_told_as_such(bank: Bank) -> None:
    for path in (bank.checksum, bank.file):
        path.unlink()
        assert bank.refused() == ("archive-file-missing", 3, path.name)
    text = bank.side.config.read_text()
    bank.side.config.write_text(text.replace('archive = "archive"', ""))
    assert bank.refused() == ("archive-missing", 2, "retention.archive")
    bank.side.config.write_text(text)


def test_an_archive_that_was_moved_is_found_where_exchange_toml_says(bank: Bank) -> None:
    archive, text = bank.side.directory / "archive", bank.side.config.read_text()
    archive.rename(bank.side.directory / "vault")
    bank.side.config.write_text(text.replace('archive = "archive"', 'archive = "vault"'))
    assert bank.river.export(bank.side, "1", "moved.json", "--dry-run").exit_code == 0
    (bank.side.directory / "vault").rename(archive)
    bank.side.config.write_text(text)


def test_a_file_of_the_archive_that_was_altered_is_told_as_such(bank: Bank) -> None:
    packed = bank.file.read_bytes()
    for altered in (packed[:-9], packed[:100] + bytes([packed[100] ^ 1]) + packed[101:], b"", b"not packed"):
        bank.file.write_bytes(altered)
        assert "its SHA-256 is not the one in the file beside it" in bank.altered()
        bank.seal()  # whoever alters the file may alter its checksum, too
        bank.altered()


def test_an_archived_event_whose_bytes_were_altered_is_not_handed_over(bank: Bank) -> None:
    def edit(lines: Lines) -> None:
        lines[1]["event"] = lines[1]["event"].replace("Bodom Export", "Bodom Expert")

    bank.rewrite(edit)
    assert "the bytes of an event in it are not those of its digest" in bank.altered()


def test_a_block_that_was_written_anew_as_a_whole_is_not_what_both_sides_agreed_to(bank: Bank) -> None:
    def edit(lines: Lines) -> None:
        raw = lines[1]["event"].replace("Bodom Export", "Bodom Expert")
        lines[1] |= {"event": raw, "digest": digest_text(digest_of(raw.encode()))}
        restate(lines)

    bank.rewrite(edit)
    assert "its events 1 to 1000 are not those of the closing that both sides signed" in bank.altered()


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda lines: lines.pop(7), "its events are not those that its first line states"),
        (lambda lines: lines.insert(1, lines.pop(2)), "its events are not those that its first line states"),
        (lambda lines: restate(lines, without=1), "an event is not in it that should be"),
        (lambda lines: lines[0].update(first=1_001), "it is of another block than its place says: first"),
        (lambda lines: lines[0].update(source="urn:customs:tj:elsewhere"), "it is of another block than its place says: source"),
        (lambda lines: lines[0].update(panj="something"), "its first line is not that of an archived block"),
        (lambda lines: lines.clear(), "its first line is not that of an archived block"),
        (lambda lines: lines[5].update(more=1), "line 6 is none of an archived block"),
        (lambda lines: lines[5].pop("digest"), "line 6 is none of an archived block"),
        (lambda lines: [each.update(jws="e30.." + "A" * 86) for each in lines if "jws" in each and "raw" not in each], None),
        (lambda lines: [each.update(raw="e30=") for each in lines if "jws" in each and "raw" in each], None),
        (lambda lines: [lines.remove(each) for each in [*lines] if "jws" in each], "what an event in it rests on is missing"),
        (lambda lines: lines.extend(lines[1:2] * 10_000), "it is larger than a block's file can be"),
        (lambda lines: lines.append({"event": "x" * ARCHIVE_LINE_BYTES}), "it is larger than a block's file can be"),
    ],
)
def test_whatever_else_was_altered_is_told_precisely(bank: Bank, edit: Callable[[Lines], object], told: str | None) -> None:
    if bank.rewrite(edit):
        assert (told or "is not what it is named by") in bank.altered()


def test_more_than_one_evidence_file_may_hold_is_refused_before_a_file_is_read(tmp_path: Path) -> None:
    block = Block(POST.urn, HOUSE.urn, EventType.EXPORT_DECLARATION.value, "5a3f00c2d1e4b697", 1, 1_000)
    for count, code in ((EVIDENCE_EVENTS + 1, "evidence-too-large"), (EVIDENCE_EVENTS, "archive-file-missing")):
        with pytest.raises(PanjError, match=code):
            list(read_blocks(tmp_path, POST, {block: [new_id() for _ in range(count)]}))


def test_a_block_that_another_process_archived_meanwhile_is_left_alone(archived: River, bank: Bank) -> None:
    before = bank.file.read_bytes()
    head = json.loads(gzip.decompress(before).splitlines()[0])
    block = Block(*(head[name] for name in Block.__slots__))
    archive = bank.side.directory / "archive"
    retention = Retention(archived.engine, HOUSE, archived.clock)
    assert (archived.outbox.pruning if bank.side is archived.tj else retention).archive(block, archive) is None
    assert bank.file.read_bytes() == before
