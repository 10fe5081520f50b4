"""What a corrupt broker operator can do in the demo: change a bundle on its way, through the management API, as no one should.

https://www.rabbitmq.com/docs/3.13/management#http-api: /api/queues/…/get and /api/exchanges/…/publish.
"""

from __future__ import annotations

import base64
import gzip
import time
from urllib.parse import quote

import httpx

from broker.settings.model import Settings


def tamper_with_waiting_bundle(settings: Settings, lane: str, queue: str, before: bytes, after: bytes) -> bool:
    """Take bundles that wait in `queue`, change `before` to `after` in those that contain it, and put all back; whether one was changed."""
    management = settings.broker.management
    auth = (management.user, management.password_file.read_text().strip())
    changed = False
    with httpx.Client(base_url=management.url, auth=auth, timeout=10) as client:
        wanted = {"count": 100, "ackmode": "ack_requeue_false", "encoding": "base64"}
        taken = client.post(f"/api/queues/{quote(lane)}/{quote(queue)}/get", json=wanted).raise_for_status().json()
        for message in taken:
            properties = message["properties"]
            body = base64.b64decode(message["payload"]) if message["payload_encoding"] == "base64" else message["payload"].encode()
            zipped = properties.get("content_encoding") == "gzip"
            plain = gzip.decompress(body) if zipped else body
            if before in plain and not changed:
                changed = True
                plain = plain.replace(before, after)
            forged = gzip.compress(plain) if zipped else plain
            client.post(
                f"/api/exchanges/{quote(lane)}/inbound/publish",
                json={
                    "routing_key": message["routing_key"],
                    "properties": properties,
                    "payload": base64.b64encode(forged).decode(),
                    "payload_encoding": "base64",
                },
            ).raise_for_status()
    return changed


def wait_until_queued(settings: Settings, lane: str, queue: str, messages: int, *, tries: int = 100) -> bool:
    """Wait until so many messages are ready in `queue`, asked of the broker itself by a passive look that takes nothing."""
    management = settings.broker.management
    auth = (management.user, management.password_file.read_text().strip())
    with httpx.Client(base_url=management.url, auth=auth, timeout=10) as client:
        for _ in range(tries):
            found = client.get(f"/api/queues/{quote(lane)}/{quote(queue)}").json()
            if found.get("messages_ready", 0) >= messages:
                return True
            time.sleep(0.2)
    return False
