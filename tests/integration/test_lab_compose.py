"""deploy/compose as far as it can be tried without containers: its YAML, and what its first step writes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from broker.settings.load import load_settings
from broker.topology.derive import derive

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("exchange")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for _ in range(2):  # again changes nothing
        subprocess.run([COMPOSE / "prepare.sh", place], check=True, env=environment, capture_output=True, timeout=120)
    return place


@pytest.mark.parametrize("country", ["tj", "af"])
def test_the_first_step_writes_settings_that_load_with_every_file_they_name(exchange: Path, country: str) -> None:
    settings = load_settings(exchange / country / "exchange.toml")
    link = next(iter(settings.partners.values())).link
    pairs = [settings.house, *settings.posts.values(), link]
    for pair in pairs:
        assert pair is not None
        assert pair.certificate.exists()
        assert stat.S_IMODE(pair.key.stat().st_mode) == 0o600
    assert link.ca.exists()
    assert settings.broker.management.password_file.read_text() in (exchange / country / "rabbitmq.conf").read_text()
    assert "@" not in (exchange / country / "rabbitmq.conf").read_text()
    derive(settings)


def test_every_name_in_the_settings_is_a_service_of_the_composition(exchange: Path, compose: dict[str, Any]) -> None:
    services = set(compose["services"])
    for country in ("tj", "af"):
        settings = load_settings(exchange / country / "exchange.toml")
        assert settings.broker.host in services
        assert {partner.link.host for partner in settings.partners.values()} <= services
        assert {f"post-{name}" for name in settings.posts} <= services


def test_only_brokers_stand_on_the_frontier(compose: dict[str, Any]) -> None:
    there = {name for name, service in compose["services"].items() if "frontier" in service.get("networks", [])}
    assert there == {"broker-tj", "broker-af"}


def test_every_service_waits_only_for_services_that_exist(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert set(service.get("depends_on", {})) <= set(compose["services"])
