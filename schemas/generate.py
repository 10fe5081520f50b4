"""`python -m schemas.generate [--check]`: writes what is derived from the models and the catalogue, or checks that it is current.

The one module of `schemas` that touches files; nothing else imports it. What it writes: `schemas/jsonschema/<type>.json` for every type
`event.json` for the outer event, one for data under encryption, one for the evidence file, and `docs/errors.md`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from schemas.catalogue import areas
from schemas.content import MODELS
from schemas.event import Event, schema_of
from schemas.evidence import EVIDENCE_SCHEMA, EvidenceFile
from schemas.sealed import SEALED_SCHEMA, SealedData

ROOT = Path(__file__).parents[1]
DRAFT = "https://json-schema.org/draft/2020-12/schema"
_ERRORS_HEAD = """# Error codes

Every refusal, held or parked message, rejected file and failed command carries one of these codes. A code keeps its meaning for ever.
This page is generated from `schemas/catalogue.py` by `python -m schemas.generate`.
"""


def generated() -> dict[Path, str]:
    """Give every generated file, by its path within the repository, with its content."""
    files = {Path("schemas/jsonschema") / f"{name}.json": text for name, text in json_schemas().items()}
    return files | {Path("docs/errors.md"): error_page()}


def json_schemas() -> dict[str, str]:
    """Give the JSON Schema of each type, by type, that of the outer event as `event`, of data under encryption, and of evidence."""
    sealed = SEALED_SCHEMA.removeprefix(schema_of(""))
    others: Mapping[str, type[BaseModel]] = {sealed: SealedData, EVIDENCE_SCHEMA: EvidenceFile, "event": Event}
    models: Mapping[str, type[BaseModel]] = {**{str(name): model for name, model in MODELS.items()}, **others}
    return {name: _json_schema(name, model) for name, model in models.items()}


def _json_schema(name: str, model: type[BaseModel]) -> str:
    identity = "urn:panj:schema:event.v1" if model is Event else schema_of(name)
    schema = {"$schema": DRAFT, "$id": identity} | model.model_json_schema(mode="validation")
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def error_page() -> str:
    """Give `docs/errors.md`: the catalogue as tables, one an area."""
    lines = [_ERRORS_HEAD]
    for area, entries in areas():
        name, _, about = area.partition(": ")
        lines += [f"## {name[:1].upper()}{name[1:]}", "", f"{about[:1].upper()}{about[1:]}.", ""]
        lines += ["| code | meaning | who must act |", "| --- | --- | --- |"]
        lines += [f"| `{entry.code}` | {_cell(entry.meaning)} | {entry.actor.value} |" for entry in entries]
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("**", "\\*\\*")


def outdated(root: Path = ROOT) -> list[Path]:
    """Give the generated files that are missing or differ, and JSON Schemas that no model makes any more."""
    files = generated()
    present = {path.relative_to(root) for path in (root / "schemas/jsonschema").glob("*.json")}
    differing = [path for path, text in files.items() if not (root / path).is_file() or (root / path).read_text("utf-8") != text]
    return sorted([*differing, *(present - files.keys())])


def write(root: Path = ROOT) -> list[Path]:
    """Bring the generated files up to date and give those that changed."""
    files, changed = generated(), outdated(root)
    for path in changed:
        if path not in files:
            (root / path).unlink()
            continue
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(files[path], "utf-8")
    return changed


def main(arguments: list[str]) -> int:
    """Write, or with `--check` only compare; 1 where something was not current, 2 for other arguments."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m schemas.generate [--check]\n")
        return 2
    changed = outdated() if arguments else write()
    for path in changed:
        sys.stdout.write(f"{'not current' if arguments else 'written'}: {path}\n")
    if arguments and changed:
        sys.stderr.write('run "python -m schemas.generate"\n')
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
