"""A published file of synthetic import declarations, read by a mapping file of ours: every row is taken. Skipped where it is missing."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from producers.formats.columns_files import read_columns
from producers.formats.csv_files import FORMAT
from producers.formats.reading import Conventions, ReadDeclaration
from schemas.content import validate

ROOT = Path(__file__).parents[3]
FILE = Path(os.environ.get("PANJ_SAMPLES", ROOT.parent / "shared/samples")) / "csv/df_syn_train_eng_first1500.csv"
MAPPING = """
type = "customs.import-declaration.v1"
not_taken = ["Fraud", "Critical Fraud"]
kept = ["Process Type", "Import Type", "Import Use", "Payment Type", "Seller ID", "Courier ID", "Tax Rate", "Tax Type",
    "Country of Origin Indicator"]

[table]
decimal = "."

[rows]
key = ["Declaration ID"]

[constants]
administration = "KR"

[columns]
"Declaration ID" = "registration_number"
"Date" = "registered_on"
"Office ID" = "office_code"
"Mode of Transport" = { field = "border_transport_mode", values = { "10" = "1", "40" = "4", "43" = "4" } }
"Declarant ID" = "declarant_id"
"Importer ID" = "consignee_id"
"HS6 Code" = { field = "items[].hs_code", digits = 6 }
"Country of Departure" = "export_country"
"Country of Origin" = "items[].origin_country"
"Net Mass" = "items[].net_mass_kg"
"Item Price" = "items[].item_price"
"""


@pytest.mark.skipif(not FILE.is_file(), reason="the published samples do not lie beside this project")
def test_each_row_of_the_published_sample_is_taken_and_what_it_cannot_say_is_told() -> None:
    with FILE.open("rb") as stream:
        assert FORMAT.recognises(stream.read(4096))
        stream.seek(0)
        parts = list(FORMAT.read(stream, Conventions(columns=read_columns(MAPPING))).parts)
    taken = [part for part in parts if isinstance(part, ReadDeclaration)]
    assert len(taken) == len(parts) == 1500
    for part in taken:
        validate(part.type, part.data)
    warned = Counter(warning.code for part in taken for warning in part.warnings)
    assert set(warned) <= {"decimal-long", "values-kept", "code-local"}, "fractions that a float spoiled are kept as they are, not rounded"
    assert all(len(part.data["extensions"]["csv"]) >= 7 for part in taken)
