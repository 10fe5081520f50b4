"""`panj evidence`: hand over what proves a declaration in one file, and tell offline what such a file proves.

What is in a file stands in `schemas.evidence` and docs/evidence.md, what it proves in `verify`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from broker.audit import Act, actor
from broker.evidence.export import Holding, account_of, holdings
from broker.evidence.file import read_evidence, write_evidence
from broker.evidence.findings import Finding, State, Subject, Verdict, told
from broker.evidence.verify import verify
from broker.operations.instants import parse_instant
from broker.operations.output import ConfigOption, JsonOption, print_json
from broker.settings.load import load_settings
from broker.trust.anchors import TrustStore
from broker.trust.crls import Crl
from broker.trust.keys import Identity, write_atomically
from broker.trust.testimony import PinnedAnchor, Tribunal
from schemas.errors import ConflictError, ContentError, DistrustError, SettingsError, UsageError, cleaned
from schemas.event import utc_text
from schemas.evidence import EVIDENCE_MEDIA_TYPE
from schemas.limits import CRL_BYTES, EVIDENCE_BYTES

commands = typer.Typer(
    name="evidence", help="Hand over what proves a declaration, and tell offline what such a file proves.", no_args_is_help=True
)

_MARKS = {State.PROVEN: "proven", State.UNPROVEN: "NOT PROVEN", State.BROKEN: "DOES NOT HOLD", State.ABSENT: "not claimed"}


@commands.command()
def export(
    number: Annotated[
        str, typer.Argument(help="A declaration's reference (TJ/PNJ/2026/1), its registration number alone, or an event's id.")
    ],
    *,
    config: ConfigOption,
    version: Annotated[int | None, typer.Option("--version", min=1, help="Only this version; all by default.")] = None,
    unit: Annotated[
        str | None, typer.Option("--unit", help="Which unit hands it over (tj-customs), where a post and the house both know it.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file; named after the declaration by default.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="What it is handed over for; the audit trail keeps it.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be written, and write nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write one file with a declaration's signed bytes, signatures, certificates, CRLs, receipt and closing, on either side.

    Ends with 1 where nothing is known of the declaration here.
    """
    settings = load_settings(config)
    holding = _chosen(holdings(settings, number), number, version, unit)
    identity = Identity.load(holding.pair.key, holding.pair.certificate)
    now = datetime.now(UTC)
    account = account_of(holding, identity, TrustStore.of(settings), settings.environment, now)
    raw = write_evidence(account, identity, now)
    place = out or Path(f"evidence-{_file_name(number)}.json")
    if not dry_run:
        if place.exists():
            raise ConflictError("evidence-exists", "a file is there already: name another one with --out", field=str(place))
        detail = {"events": [kept.event_id for kept in holding.events], "file": str(place)}
        holding.note(Act(actor(), "evidence.exported", number, reason, detail))
        write_atomically(place, raw, 0o600)
    _tell_export(holding, place, len(raw), dry_run, as_json)


@commands.command(name="verify")
def verify_file(
    file: Annotated[Path, typer.Argument(help="An evidence file.", show_default=False)],
    *,
    trust: Annotated[
        list[str],
        typer.Option(
            "--trust",
            metavar="[COUNTRY=]CA.pem",
            help="An authority that you trust to speak for a country; again for each.",
            show_default=False,
        ),
    ],
    crl: Annotated[list[Path] | None, typer.Option("--crl", help="A CRL (DER or PEM), where you have a newer one.")] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="INSTANT", help="As of when you ask, now by default: nothing in the file may be later.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell offline what an evidence file proves, by whom and when, and precisely what does not hold or is not proven.

    Ends with 0 where all that the file claims is proven, 1 where something is not, 2 where it cannot be read. Needs no exchange.toml.
    """
    trusted = Tribunal(tuple(_anchor(each) for each in trust), tuple(_crl(path) for path in crl or ()))
    at_utc = datetime.now(UTC) if at is None else parse_instant(at, "--at")
    try:
        verdict = verify(read_evidence(_read(file, EVIDENCE_BYTES)), trusted, at_utc)
    except ContentError as error:
        raise UsageError(error.code, f"not an evidence file that can be read: {error}", field=str(file)) from None
    if as_json:
        print_json(_document(file, trusted, at_utc, verdict))
    else:
        for line in _lines(file, trusted, at_utc, verdict):
            typer.echo(cleaned(line))
    raise typer.Exit(0 if verdict.holds else 1)


def _chosen(found: Sequence[Holding], number: str, version: int | None, unit: str | None) -> Holding:
    """The unit that hands over, with the events that are asked for; ends with 1 where there is none."""
    wanted = [
        replace(holding, events=tuple(kept for kept in holding.events if version in (None, kept.version)))
        for holding in found
        if unit is None or unit in (holding.party.unit, holding.party.name)
    ]
    having = [holding for holding in wanted if holding.events]
    if not having:
        which = number if version is None else f"{number} version {version}"
        typer.echo(f"Nothing is known here of {cleaned(which)}. Was it accepted on the other side of the frontier?", err=True)
        raise typer.Exit(1)
    if len(having) > 1:
        units = ", ".join(holding.party.unit for holding in having)
        raise UsageError("unit-ambiguous", f"known to {units}: say with --unit which one is to hand it over", field="--unit")
    return having[0]


def _file_name(number: str) -> str:
    return "".join(character if character.isascii() and character.isalnum() else "-" for character in number)[:100]


def _tell_export(holding: Holding, place: Path, size: int, dry_run: bool, as_json: bool) -> None:
    events = [
        {
            "event_id": kept.event_id,
            "reference": kept.reference,
            "version": kept.version,
            "type": kept.type,
            "source": kept.source,
            "destination": kept.destination,
            "receipt": kept.receipt is not None,
            "closing": kept.closing is not None,
            "plaintext": kept.plaintext is not None,
            "withdrawal": kept.withdrawal is not None,
        }
        for kept in holding.events
    ]
    if as_json:
        told_ = {"file": str(place), "written": not dry_run, "bytes": size, "media_type": EVIDENCE_MEDIA_TYPE}
        print_json({**told_, "exporter": holding.party.urn, "events": events})
        return
    verb = "would be written" if dry_run else "written"
    typer.echo(f"{place}: {size} bytes {verb}, by {holding.party.urn}")
    for kept in holding.events:
        parts = [name for name in ("receipt", "closing", "plaintext", "withdrawal") if getattr(kept, name) is not None]
        typer.echo(cleaned(f"  {_name(kept.reference, kept.version)}, event {kept.event_id}: {', '.join(parts) or 'no receipt yet'}"))


def _name(reference: str, version: int | None) -> str:
    return reference if version is None else f"{reference} version {version}"


def _anchor(given: str) -> PinnedAnchor:
    country, equals, path = given.partition("=")
    if equals and len(country) == 2:
        return PinnedAnchor.read(Path(path), country)
    return PinnedAnchor.read(Path(given))


def _crl(path: Path) -> Crl:
    try:
        return Crl.parse(_read(path, CRL_BYTES))
    except DistrustError as error:
        raise SettingsError(error.code, error.problems[0].text, field=str(path)) from None


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise SettingsError("file-unreadable", f"cannot read the file: {error.strerror}", field=str(path)) from None
    if len(content) > limit:
        raise UsageError("evidence-form", f"larger than {limit} bytes", field=str(path))
    return content


def _document(file: Path, trusted: Tribunal, at_utc: datetime, verdict: Verdict) -> dict[str, object]:
    return {
        "file": str(file),
        "holds": verdict.holds,
        "as_of": utc_text(at_utc),
        "exporter": verdict.exporter,
        "trusted": [{"country": each.country, "fingerprint": each.fingerprint, "name": each.name} for each in trusted.anchors],
        "events": [asdict(subject) for subject in verdict.subjects],
        "findings": [
            {**asdict(finding), "state": finding.state.value, "at_utc": None if finding.at_utc is None else utc_text(finding.at_utc)}
            for finding in verdict.findings
        ],
    }


def _lines(file: Path, trusted: Tribunal, at_utc: datetime, verdict: Verdict) -> Iterator[str]:
    yield f"{file}, as of {told(at_utc)}"
    for anchor in trusted.anchors:
        yield f"  trusted for {anchor.country}: {anchor.name}, SHA-256 {anchor.fingerprint}"
    yield "The file as a whole"
    yield from _marked(verdict.findings, None)
    for subject in verdict.subjects:
        yield _heading(subject)
        yield from _marked(verdict.findings, subject.event_id)
    wrong = [finding for finding in verdict.findings if finding.state in (State.UNPROVEN, State.BROKEN)]
    yield "All that the file claims is proven." if verdict.holds else f"{len(wrong)} of these are not proven or do not hold."


def _heading(subject: Subject) -> str:
    route = f"{subject.source} to {subject.destination}, {subject.environment}"
    return f"{_name(subject.reference, subject.version)}: {subject.type} {subject.event_id}, {route}, SHA-256 {subject.digest}"


def _marked(findings: Sequence[Finding], event_id: str | None) -> Iterator[str]:
    for finding in findings:
        if finding.event_id == event_id:
            code = f" [{finding.code}]" if finding.code else ""
            yield f"  {_MARKS[finding.state]:<13}  {finding.text}{code}"
