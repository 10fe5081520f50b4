"""`panj release`: what may leave for a neighbour, field by field, and what may not; and the check that releases hang together."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from broker.operations.output import ConfigOption, JsonOption, print_json, print_table
from broker.settings.load import load_settings
from broker.settings.model import Release, Settings
from producers.release import Extent, check_releases, extent
from schemas.content import MODELS
from schemas.errors import SettingsError, UsageError
from schemas.meanings import fields_of
from schemas.names import STREAM_TYPES, EventType

commands = typer.Typer(no_args_is_help=True, help="What may leave for whom, field by field.")

ALWAYS = (
    "Released by definition: the identity (its reference is the envelope's subject), type, version, post, instant, purpose and legal "
    "basis, as without them nobody could answer. Encrypted, the envelope has the event's id for the reference."
)


@commands.command()
def show(
    country: Annotated[str, typer.Argument(help="The destination: a neighbour such as af; our own country for the own house.")],
    config: ConfigOption,
    event_type: Annotated[str | None, typer.Option("--type", help="One type only, such as customs.export-declaration.v1.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show every field of every type: whether it leaves for that country, for which purpose, on which legal basis."""
    settings = load_settings(config)
    if country not in settings.lanes:
        known = ", ".join(settings.lanes) or "none"
        raise UsageError("release-country-unknown", f"nothing goes there: exchange.toml has {known}", field="COUNTRY", value=country)
    shown = [_shown(settings, country, each) for each in _types(event_type)]
    if as_json:
        print_json({"country": country, "encrypted": _encrypted(settings, country), "always": ALWAYS, "types": shown})
        return
    for each in shown:
        _print(country, each)
    typer.echo(ALWAYS)


@commands.command()
def check(config: ConfigOption, as_json: JsonOption = False) -> None:
    """Check all releases as a post does when it starts. Ends with 2 where one names what is not there, or lacks what is needed."""
    settings = load_settings(config)
    problems: list[dict[str, Any]] = []
    try:
        check_releases(settings)
    except SettingsError as error:
        if not as_json:
            raise
        problems = [problem.model_dump(exclude_none=True) for problem in error.problems]
    releases = sum(len(settings.releases_to(country)) for country in settings.lanes)
    if as_json:
        print_json({"releases": releases, "problems": problems})
    else:
        typer.echo(
            f"{releases} releases to {', '.join(settings.lanes) or 'nobody'}: each names fields that are there, and all that is needed."
        )
    raise typer.Exit(2 if problems else 0)


def _types(wanted: str | None) -> list[EventType]:
    listed = [each for each in EventType if each in STREAM_TYPES]
    if wanted is None:
        return listed
    if wanted not in listed:
        raise UsageError("release-type-unknown", f"one of {', '.join(listed)}", field="--type", value=wanted)
    return [EventType(wanted)]


def _shown(settings: Settings, country: str, event_type: EventType) -> dict[str, Any]:
    release = next((each for each in settings.releases_to(country) if each.type == event_type), None)
    fields = [
        {"field": field.path, "released": _extent(release, field.path).value, "meaning": field.meaning}
        for field in fields_of(MODELS[event_type])
    ]
    return {
        "type": event_type.value,
        "released": release is not None,
        "purpose": release.purpose if release else None,
        "legal_basis": release.legal_basis if release else None,
        "fields": fields,
    }


def _extent(release: Release | None, path: str) -> Extent:
    return Extent.NO if release is None else extent(release, path)


def _encrypted(settings: Settings, country: str) -> bool:
    return country in settings.partners and settings.partners[country].encryption_certificate is not None


def _print(country: str, shown: dict[str, Any]) -> None:
    if not shown["released"]:
        typer.echo(f"{shown['type']} to {country}: NOT released. No declaration of this type leaves.\n")
        return
    kept = sum(field["released"] == Extent.NO for field in shown["fields"])
    title = (
        f"{shown['type']} to {country}, for {shown['purpose']}; {shown['legal_basis']}; {kept} of {len(shown['fields'])} fields stay here"
    )
    print_table(
        ("field", "leaves", "what it is"),
        ((field["field"], _word(field["released"]), field["meaning"]) for field in shown["fields"]),
        title=title,
    )
    typer.echo("")


def _word(released: str) -> str:
    return {Extent.YES: "leaves", Extent.PARTLY: "in part", Extent.NO: "NOT RELEASED"}[Extent(released)]
