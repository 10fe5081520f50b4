"""Between an exchange and the queues behind it: takes every message, and passes it on twice, in another order.

It goes through the management API, whose user may do all, and knows nothing of what it carries.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx

from broker.topology.derive import INBOUND
from deploy.lab.administrations import Administration

QUEUE, EXCHANGE = "faults-shuffled-in", "faults-shuffled-out"
GATHER_SECONDS = 0.3
AT_ONCE = 200


@contextmanager
def shuffling(side: Administration, lane: str) -> Iterator[None]:
    """Have everything that comes in through one lane of a side pass the shuffler, until the end; then what is in it is passed on."""
    management = side.settings.broker.management
    auth = (management.user, management.password_file.read_text().strip())
    with httpx.Client(base_url=f"{management.url}/api", auth=auth, timeout=30, trust_env=False) as api:
        lane = quote(lane)
        bound = _bindings(api, lane)
        _put_between(api, lane, bound)
        stop = threading.Event()
        with ThreadPoolExecutor(1) as thread:
            shuffled = thread.submit(_shuffle, api, lane, stop)
            try:
                yield
            finally:
                stop.set()
                shuffled.result()  # raises what ended it
                _take_away(api, lane, bound)


def _bindings(api: httpx.Client, lane: str) -> list[tuple[str, str]]:
    """Queue and routing key of everything bound to `inbound`."""
    found = api.get(f"/exchanges/{lane}/{INBOUND}/bindings/source").raise_for_status().json()
    return [(each["destination"], each["routing_key"]) for each in found if each["destination_type"] == "queue"]


def _put_between(api: httpx.Client, lane: str, bound: list[tuple[str, str]]) -> None:
    api.put(f"/exchanges/{lane}/{EXCHANGE}", json={"type": "topic", "durable": True}).raise_for_status()
    api.put(f"/queues/{lane}/{QUEUE}", json={"durable": True}).raise_for_status()
    for queue, key in bound:
        _bind(api, lane, EXCHANGE, queue, key)
    _bind(api, lane, INBOUND, QUEUE, "#")
    for queue, key in bound:
        _unbind(api, lane, INBOUND, queue, key)


def _take_away(api: httpx.Client, lane: str, bound: list[tuple[str, str]]) -> None:
    for queue, key in bound:
        _bind(api, lane, INBOUND, queue, key)
    _unbind(api, lane, INBOUND, QUEUE, "#")
    while _pass_on(api, lane):
        pass
    api.delete(f"/queues/{lane}/{QUEUE}").raise_for_status()
    api.delete(f"/exchanges/{lane}/{EXCHANGE}").raise_for_status()


def _bind(api: httpx.Client, lane: str, exchange: str, queue: str, key: str) -> None:
    api.post(f"/bindings/{lane}/e/{exchange}/q/{quote(queue)}", json={"routing_key": key}).raise_for_status()


def _unbind(api: httpx.Client, lane: str, exchange: str, queue: str, key: str) -> None:
    for each in api.get(f"/bindings/{lane}/e/{exchange}/q/{quote(queue)}").raise_for_status().json():
        if each["routing_key"] == key:
            name = quote(each["properties_key"], safe="")
            api.delete(f"/bindings/{lane}/e/{exchange}/q/{quote(queue)}/{name}").raise_for_status()


def _shuffle(api: httpx.Client, lane: str, stop: threading.Event) -> None:
    while not stop.wait(GATHER_SECONDS):
        _pass_on(api, lane)


def _pass_on(api: httpx.Client, lane: str) -> int:
    wanted = {"count": AT_ONCE, "ackmode": "ack_requeue_false", "encoding": "base64"}
    taken: list[dict[str, Any]] = api.post(f"/queues/{lane}/{QUEUE}/get", json=wanted).raise_for_status().json()
    twice = taken * 2
    random.shuffle(twice)
    for message in twice:
        body = {
            "routing_key": message["routing_key"],
            "properties": message["properties"],
            "payload": message["payload"],
            "payload_encoding": "base64",
        }
        api.post(f"/exchanges/{lane}/{EXCHANGE}/publish", json=body).raise_for_status()
    return len(taken)
