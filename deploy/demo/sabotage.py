"""What a corrupt broker operator can do in the demo: change a bundle on its way, through the management API, as no one should.

RabbitMQ's management HTTP API: `/api/queues/<vhost>/<queue>/get` and `/api/exchanges/<vhost>/<exchange>/publish`.
"""

from __future__ import annotations

import base64
import gzip
import time
from typing import Any
from urllib.parse import quote

import httpx

from broker.settings.model import Settings


def tamper_with_waiting_bundle(settings: Settings, lane: str, queue: str, before: bytes, after: bytes, wait_seconds: float = 30.0) -> bool:
    """Change `before` to `after` in the first bundle in `queue` that contains it, and put it back; whether one came in time.

    Nobody else may be taking from the queue. The API hands bundles out one by one; the others go back as they were.
    """
    management = settings.broker.management
    auth = (management.user, management.password_file.read_text().strip())
    end = time.monotonic() + wait_seconds
    with httpx.Client(base_url=management.url, auth=auth, timeout=10) as client:
        while time.monotonic() < end:
            for message in _take_all(client, lane, queue):
                forged = _forged(message, before, after)
                _put_back(client, lane, message, forged)
                if forged is not None:
                    return True
            time.sleep(0.1)
    return False


def _take_all(client: httpx.Client, lane: str, queue: str) -> list[dict[str, Any]]:
    wanted = {"count": 100, "ackmode": "ack_requeue_false", "encoding": "base64"}
    taken: list[dict[str, Any]] = client.post(f"/api/queues/{quote(lane)}/{quote(queue)}/get", json=wanted).raise_for_status().json()
    return taken


def _forged(message: dict[str, Any], before: bytes, after: bytes) -> bytes | None:
    zipped = message["properties"].get("content_encoding") == "gzip"
    body = base64.b64decode(message["payload"])
    plain = gzip.decompress(body) if zipped else body
    if before not in plain:
        return None
    changed = plain.replace(before, after)
    return gzip.compress(changed) if zipped else changed


def _put_back(client: httpx.Client, lane: str, message: dict[str, Any], forged: bytes | None) -> None:
    payload = message["payload"] if forged is None else base64.b64encode(forged).decode()
    body = {
        "routing_key": message["routing_key"],
        "properties": message["properties"],
        "payload": payload,
        "payload_encoding": "base64",
    }
    client.post(f"/api/exchanges/{quote(lane)}/inbound/publish", json=body).raise_for_status()
