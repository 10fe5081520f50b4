"""An administration on paper with as many posts and partners as wanted, for a plain broker of its own."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pycountry

from broker.settings.model import Settings
from deploy.lab.rabbitmq import ADMIN, RabbitNode
from schemas.names import STREAM_TYPES

TYPES = [each.value for each in STREAM_TYPES]


def countries(count: int) -> list[str]:
    """So many partner countries."""
    every = (country.alpha_2.lower() for country in pycountry.countries if country.alpha_2 != "TJ")
    return list(islice(every, count))


def settings_with(directory: Path, posts: int, partners: int, management_url: str = "http://127.0.0.1:1") -> Settings:
    """Tajik settings: a house, so many posts and partners; no link finds anybody."""
    pair = {"certificate": directory / "any.pem", "key": directory / "any.key"}
    released = [{"type": kind, "fields": ["*"], "purpose": "customs-control", "legal_basis": "protocol"} for kind in TYPES]
    link: dict[str, Any] = {**pair, "host": "127.0.0.1", "port": 9, "ca": directory / "ca.pem", "reconnect_delay_seconds": 60}
    partner = {"anchor": directory / "ca.pem", "crls": directory / "crls", "loads": TYPES, "link": link, "releases": released}
    management = {"url": management_url, "user": ADMIN, "password_file": directory / "password"}
    return Settings.model_validate(
        {
            "country": "tj",
            "environment": "test",
            "time_zone": "Asia/Dushanbe",
            "broker": {"ca": directory / "ca.pem", "cluster_name": "tj", "management": management},
            "house": {
                **pair,
                "database": f"sqlite:///{directory}/house.sqlite",
                "consumers": [{"queue": "record", "types": TYPES, "handler": "consumers.loaders.record"}],
            },
            "posts": {
                f"post-{number}": {
                    **pair,
                    "outbox": f"sqlite:///{directory}/{number}.sqlite",
                    "watch": directory / f"watched-{number}",
                }
                for number in range(1, posts + 1)
            },
            "home": {"anchor": directory / "ca.pem", "crls": directory / "crls", "releases": released},
            "partners": dict.fromkeys(countries(partners), partner),
        }
    )


@contextmanager
def plain_node() -> Iterator[tuple[RabbitNode, Path]]:
    """A broker without TLS, and a directory with its password; ended and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="panj-growth-", ignore_cleanup_errors=True) as folder:
        directory = Path(folder)
        password = secrets.token_urlsafe(16)
        (directory / "password").touch(mode=0o600)
        (directory / "password").write_text(password)
        node = RabbitNode(directory / "broker", "growth", None, password, plain=True)
        node.start()
        try:
            yield node, directory
        finally:
            node.stop()
