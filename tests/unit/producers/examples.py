"""Declarations made by hand for the tests of the post, and settings that release them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from broker.settings.model import Settings

EXPORT = "customs.export-declaration.v1"
IMPORT = "customs.import-declaration.v1"
TRANSIT = "customs.transit-declaration.v1"
CROSSING = "customs.crossing-event.v1"


def export(number: str = "1001", **changes: Any) -> dict[str, Any]:
    """A good export declaration of Panji Poyon with two items."""
    return {
        "administration": "tj",
        "office_code": "TJ105000",
        "registration_year": 2026,
        "registration_number": number,
        "registered_on": "2026-11-20",
        "accepted_at": "2026-11-20T10:15:00+05:00",
        "exporter_name": "ҶДММ Меваи Вахш",
        "consignee_name": "شرکت تجارتی قندوز",
        "export_country": "TJ",
        "destination_country": "AF",
        "gross_mass_kg": "21500.5",
        "items": [
            {"number": 1, "hs_code": "080810", "description": "Apples, fresh", "gross_mass_kg": "20000"},
            {"number": 2, "hs_code": "081310", "description": "Apricots, dried", "gross_mass_kg": "1500.5"},
        ],
        **changes,
    }


def crossing(number: str = "X1", **changes: Any) -> dict[str, Any]:
    """A truck that arrives."""
    return {
        "administration": "tj",
        "office_code": "TJ105000",
        "event_number": number,
        "kind": "arrived",
        "occurred_at": "2026-11-20T11:15:00+05:00",
        "declaration_administration": "tj",
        "declaration_office_code": "TJ105000",
        "declaration_year": 2026,
        "declaration_number": "1001",
        "vehicle": {"plates": ["1234AB01"], "seal_numbers": ["S-1"]},
        **changes,
    }


def release(event_type: str = EXPORT, *fields: str) -> dict[str, Any]:
    """A release of these fields, or of everything."""
    return {
        "type": event_type,
        "fields": fields or ("*",),
        "purpose": "customs-control",
        "legal_basis": "bilateral protocol; WTO TFA Article 12",
    }


def settings_of(directory: Path, *af_releases: dict[str, Any], home_releases: tuple[dict[str, Any], ...] = ()) -> Settings:
    """Tajik settings with one post and the Afghan partner, all files in `directory`."""
    pair = {"certificate": directory / "post.pem", "key": directory / "post.key"}
    return Settings.model_validate(
        {
            "country": "tj",
            "environment": "test",
            "time_zone": "Asia/Dushanbe",
            "broker": {
                "ca": directory / "ca.pem",
                "cluster_name": "tj",
                "management": {"url": "http://127.0.0.1:15672", "password_file": directory / "password"},
            },
            "posts": {
                "panji-poyon": {**pair, "outbox": f"sqlite:///{directory}/outbox.sqlite", "watch": directory / "watched"},
            },
            "home": {"anchor": directory / "ca.pem", "crls": directory / "crls", "releases": home_releases} if home_releases else None,
            "partners": {
                "af": {
                    "anchor": directory / "af.pem",
                    "crls": directory / "af-crls",
                    "loads": [EXPORT, TRANSIT, CROSSING],
                    "link": {**pair, "host": "127.0.0.1", "ca": directory / "af.pem"},
                    "releases": af_releases,
                }
            },
        }
    )
