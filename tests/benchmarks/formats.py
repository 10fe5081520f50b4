"""`make bench-formats`: how many SAD files a second one core reads, checks and takes into a real outbox, and whether memory stays flat.

    python -m tests.benchmarks.formats [--files 600] [--items 10] [--memory-files 6000]

The files are made by the writer and padded as ASYCUDA World pads its exports (about 230 elements and 8 kB an item): blank documents, tax
lines, supplementary units and sums, and boxes that no field takes. They lie on disk, each with a number of its own; the outbox is SQLite
with its fsync on. The bare parse of the same bytes by lxml stands beside it, so that figures of two machines can be compared. Prints a
table; the last line is JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from lxml import etree
from rich.console import Console
from rich.table import Table

from broker.outbox.store import Outbox
from producers.formats.asycuda import FORMAT
from producers.formats.reading import Conventions, ReadDeclaration
from producers.formats.registry import Reader
from producers.intake import Accepted, Intake
from producers.sending import parts_of_files
from schemas.names import Party
from tests.unit.producers.examples import EXPORT, release, settings_of

BATCH = 100
NUMBER = 100_000  # the first registration number: they all have the same length
RELEASED = (
    "administration", "office_code", "registration_year", "registration_number", "registered_on", "version", "message_function",
    "corrects", "correction_reason",
    "exporter_name", "consignee_name", "export_country", "destination_country", "border_transport_mode", "vehicle_ids",
    "container_numbers", "gross_mass_kg", "package_count", "item_count", "items",
)  # fmt: skip
CONVENTIONS = Conventions("tj", date_order="mdy")


@dataclass(frozen=True, slots=True)
class Result:
    """The last line. Milliseconds are of CPU, a file; `parses` is how many bare parses of the same bytes the whole costs.

    Of the rates and times the best round stands here, and the median beside it: other programs on the machine only ever slow one down.
    """

    files: int
    kilobytes: float
    elements: int
    texts: int
    files_per_second: float
    files_per_second_median: float
    cpu_ms: float
    read_ms: float
    bare_parse_ms: float
    parses: float
    memory_files: int
    memory_mb: float
    memory_mb_per_10000_files: float


def declaration(items: int) -> dict[str, object]:
    """An export with so many items, and beside its data what a national system leaves in the boxes that no field takes."""
    kept: dict[str, str] = {
        "Identification/Office_segment/Customs_Clearance_office_name": "Panji Poyon",
        "Identification/Assessment/Serial_number": "L",
        "Identification/Assessment/Number": "417",
        "Identification/Assessment/Date": "10/13/26",
        "Transport/Border_office/Name": "Panji Poyon",
        "Valuation/Total_CIF": "18370.00",
    }
    for cost in ("Gs_Invoice", "Gs_external_freight", "Gs_internal_freight", "Gs_insurance", "Gs_other_cost", "Gs_deduction"):
        kept |= {f"Valuation/{cost}/{name}": text for name, text in _COST.items()}
    for place in range(1, items + 1):
        kept |= {f"Item[{place}]/{path}": text for path, text in _OF_ITEM.items()}
    return {
        "administration": "tj",
        "office_code": "PNJ01",
        "registration_year": 2026,
        "registration_number": f"E{NUMBER}",
        "registered_on": "2026-10-12",
        "declaration_type": "EX1",
        "exporter_name": "ҶДММ Вахш Агро, кӯчаи Рӯдакӣ 12, Бохтар",
        "consignee_name": "Kunduz Brothers Trading Ltd, Sher Khan Bandar",
        "export_country": "TJ",
        "destination_country": "AF",
        "border_transport_mode": "3",
        "vehicle_ids": ["1234AB01", "5678TJ"],
        "containerised": False,
        "incoterm": "DAP",
        "exit_office": "PNJ01",
        "invoice_amount": "18370.00",
        "invoice_currency": "USD",
        "gross_mass_kg": "20100.5",
        "package_count": "404",
        "item_count": items,
        "items": [_item(place) for place in range(1, items + 1)],
        "extensions": {"asycuda": kept},
    }


_COST = {"Amount_national_currency": "0.0", "Currency_name": "No foreign currency", "Currency_rate": "10.9431"}
_OF_ITEM = {
    "Packages/Kind_of_packages_name": "Box",
    "IncoTerms/Code": "DAP",
    "Tarification/Supplementary_unit[1]/Suppplementary_unit_name": "Kilogram",
    "Tarification/Supplementary_unit[3]/Suppplementary_unit_code": "",
    "Tarification/Value_item": "402.30+0.00+4.04+0.00-0.00",
    "Goods_description/Description_of_goods": "- - Other",
    "Taxation/Item_taxes_amount": "8.29",
    "Taxation/Item_taxes_mode_of_payment": "1",
    **{f"Taxation/Taxation_line[{line}]/{name}": text for line in (1, 2) for name, text in (
        ("Duty_tax_code", "VAT"), ("Duty_tax_Base", "5560.57"), ("Duty_tax_rate", "20"), ("Duty_tax_amount", "8.29"), ("Duty_tax_MP", "1")
    )},
    "Valuation_item/Total_cost_itm": "406.34",
    "Valuation_item/Total_CIF_itm": "646.53",
    "Valuation_item/Rate_of_adjustement": "1",
    "Valuation_item/Alpha_coeficient_of_apportionment": "0.0042581642475425",
    **{f"Valuation_item/item_{cost}/Amount_national_currency": "0.0" for cost in (
        "external_freight", "internal_freight", "insurance", "other_cost", "deduction"
    )},
    "Valuation_item/Market_valuer/Currency_amount": "0.0",
}  # fmt: skip
_BLANK_LINE = (
    "<Taxation_line><Duty_tax_code><null/></Duty_tax_code><Duty_tax_Base/><Duty_tax_rate/><Duty_tax_amount/>"
    "<Duty_tax_MP><null/></Duty_tax_MP><Duty_tax_Type_of_calculation><null/></Duty_tax_Type_of_calculation></Taxation_line>\n"
)
_BLANK_DOCUMENT = (
    "<Attached_documents><Attached_document_code><null/></Attached_document_code><Attached_document_name><null/></Attached_document_name>"
    "<Attached_document_reference><null/></Attached_document_reference><Attached_document_from_rule><null/></Attached_document_from_rule>"
    "<Attached_document_date/></Attached_documents>\n"
)
_BLANK_UNIT = (
    "<Supplementary_unit><Suppplementary_unit_code><null/></Suppplementary_unit_code><Suppplementary_unit_name><null/>"
    "</Suppplementary_unit_name><Suppplementary_unit_quantity/></Supplementary_unit>\n"
)


def _item(place: int) -> dict[str, object]:
    return {
        "number": place,
        "hs_code": "080810",
        "national_code": "00000",
        "description": f"Apples, fresh, in boxes of 12 kg, row {place}",
        "origin_country": "TJ",
        "gross_mass_kg": "2010.05",
        "net_mass_kg": "1990.5",
        "package_count": "40",
        "package_kind": "BX",
        "supplementary_quantity": "1990.5",
        "supplementary_unit": "KGM",
        "procedure_code": "1000",
        "national_procedure": "000",
        "item_price": "1837.00",
        "statistical_value": "1837.00",
        "documents": [{"type_code": "380", "reference": f"INV {place}/26", "issued_on": "2026-10-10"}],
    }


def padded(items: int) -> bytes:
    """A SAD file as a national system exports it."""
    text = FORMAT.write(EXPORT, declaration(items), CONVENTIONS).decode()
    text = text.replace("</Taxation>", _BLANK_LINE * 4 + "</Taxation>")
    text = text.replace("    <Packages>", _BLANK_DOCUMENT + "    <Packages>")
    text = text.replace("      <Item_price", _BLANK_UNIT * 2 + "      <Item_price")
    text = text.replace("<Assessment_notice/>", "<Assessment_notice>" + "<Item_tax_total/>\n" * 14 + "</Assessment_notice>")
    return text.replace("<Global_taxes/>", "<Global_taxes>" + "<Global_tax_item/>\n" * 8 + "</Global_taxes>").encode()


def numbered(raw: bytes, number: int) -> bytes:
    """The same file under another registration number."""
    return raw.replace(b">%d<" % NUMBER, b">%d<" % (NUMBER + number))


def timed(work: Callable[[], object], times: int) -> float:
    """Milliseconds of CPU that a piece of work takes: the best of five rounds."""

    def once() -> float:
        start = time.process_time()
        for _ in range(times):
            work()
        return (time.process_time() - start) / times

    return min(once() for _ in range(5)) * 1_000


def take(paths: Sequence[Path], intake: Intake, reader: Reader) -> None:
    """Read files and accept what is in them, in batches."""
    batch: list[ReadDeclaration] = []
    for _, part in parts_of_files(paths, reader):
        assert isinstance(part, ReadDeclaration), part
        batch.append(part)
        if len(batch) == BATCH:
            _accept(batch, intake)
    _accept(batch, intake)


def _accept(batch: list[ReadDeclaration], intake: Intake) -> None:
    outcomes = intake.accept(batch) if batch else []
    assert all(isinstance(outcome, Accepted) for outcome in outcomes), outcomes
    batch.clear()


def rounds(raw: bytes, files: int, directory: Path, intake: Intake, reader: Reader) -> list[tuple[float, float]]:
    """Files a second on the clock, and milliseconds of CPU a file, of each round of a hundred."""
    paths = []
    for number in range(files):
        path = directory / f"{number}.xml"
        path.write_bytes(numbered(raw, number))
        paths.append(path)
    measured = []
    for first in range(0, files, BATCH):
        part = paths[first : first + BATCH]
        start, cpu = time.perf_counter(), time.process_time()
        take(part, intake, reader)
        measured.append((len(part) / (time.perf_counter() - start), (time.process_time() - cpu) / len(part) * 1_000))
    return measured


def memory(raw: bytes, files: int, path: Path, intake: Intake, reader: Reader) -> tuple[float, float]:
    """Resident memory at the end in MB, and by how much it grew over 10,000 files.

    Measured over the second half: SQLite's cache of 16 MB fills in the first.
    """
    process = psutil.Process()
    points = [(number, process.memory_info().rss / 1e6) for number in _taken(raw, files, path, intake, reader)]
    late = points[len(points) // 2 :]
    mean_x, mean_y = (sum(values) / len(late) for values in zip(*late, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in late)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in late) / spread if spread else 0.0
    return points[-1][1], slope * 10_000


def _taken(raw: bytes, files: int, path: Path, intake: Intake, reader: Reader) -> Iterator[int]:
    for first in range(0, files, BATCH):
        for number in range(first, min(first + BATCH, files)):
            path.write_bytes(numbered(raw, 100_000 + number))
            take([path], intake, reader)
        yield first


def measure(files: int, items: int, memory_files: int) -> Result:
    """Measure it all in a directory of its own."""
    raw = padded(items)
    root = etree.fromstring(raw)
    texts = sum(bool((each.text or "").strip()) and not len(each) for each in root.iter())
    with tempfile.TemporaryDirectory(prefix="panj-formats-") as name:
        directory = Path(name)
        post = Party("tj", "panji-poyon")
        settings = settings_of(directory, release(EXPORT, *RELEASED))
        outbox = Outbox.open(settings.posts["panji-poyon"].outbox, post, settings.environment)
        try:
            intake, reader = Intake(settings, post, outbox), Reader((FORMAT,), CONVENTIONS)
            measured = rounds(raw, files, directory, intake, reader)
            megabytes, slope = memory(raw, memory_files, directory / "one.xml", intake, reader)
        finally:
            outbox.close()
    bare = timed(lambda: etree.parse(io.BytesIO(raw)), 50)
    per_second, cpu_ms = max(rate for rate, _ in measured), min(cpu for _, cpu in measured)
    read = timed(lambda: [*FORMAT.read(io.BytesIO(raw), CONVENTIONS).parts], 20)
    return Result(
        files,
        round(len(raw) / 1_000, 1),
        sum(1 for _ in root.iter()),
        texts,
        round(per_second, 1),
        round(statistics.median(rate for rate, _ in measured), 1),
        round(cpu_ms, 2),
        round(read, 2),
        round(bare, 3),
        round(cpu_ms / bare, 1),
        memory_files,
        round(megabytes, 1),
        round(slope, 2),
    )


def main() -> None:
    """Measure, print the table and the line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=600)
    parser.add_argument("--items", type=int, default=10)
    parser.add_argument("--memory-files", type=int, default=6_000, help="100000 is the long form")
    options = parser.parse_args()
    result = measure(options.files, options.items, options.memory_files)
    table = Table(title=f"SAD files of {options.items} items", title_justify="left")
    table.add_column("what")
    table.add_column("figure", justify="right")
    for what, figure in asdict(result).items():
        table.add_row(what.replace("_", " "), f"{figure:,}")
    Console(stderr=True).print(table)
    sys.stdout.write(json.dumps(asdict(result)) + "\n")


if __name__ == "__main__":
    main()
