"""The post's daemon killed while it is handed declarations by HTTP: whatever was answered 202 is in the outbox, once."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from broker.trust.authority import create_authority
from producers.sources.http.tokens import add_token
from schemas.names import Party
from tests.integration.producers.test_post_daemon import SETTINGS, PostProcess
from tests.integration.sources.door import PLACE, body


class Killed(PostProcess):
    """A post that listens, and clients that hand in through every death of it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        http = f'[posts.panji-poyon.http]\nlisten = "127.0.0.1:{self.port}"\ntokens = "tokens"\n\n[partners.af]'
        self.config.write_text(SETTINGS.replace("[partners.af]", http, 1))
        self.token = add_token(directory / "tokens", "asycuda")
        self.answered: list[str] = []
        self.unanswered: list[str] = []

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=20, trust_env=False)

    def hand_in(self, number: str) -> None:
        try:
            with self.client() as client:
                answer = client.post(PLACE, content=body(number), headers={"Idempotency-Key": number})
        except httpx.TransportError:
            self.unanswered.append(number)
            return
        (self.answered if answer.status_code == 202 else self.unanswered).append(number)

    def hand_in_all(self, numbers: list[str]) -> None:
        for number in numbers:
            self.hand_in(number)

    def listening(self) -> bool:
        try:
            with self.client() as client:
                return client.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Killed]:
    create_authority(tmp_path / "pki", "tj").create_unit(Party("tj", "panji-poyon"))
    create_authority(tmp_path / "af", "af")
    process = Killed(tmp_path)
    yield process
    if process._process is not None:
        process.end(signal.SIGKILL)


def test_what_was_answered_202_survives_kill_9_and_what_was_not_is_handed_in_again_to_no_harm(post: Killed) -> None:
    for life in range(2):
        post.start()
        post.wait_until(post.listening)
        numbers = [f"{life}-{number}" for number in range(60)]
        threads = [threading.Thread(target=post.hand_in_all, args=(part,)) for part in (numbers[::2], numbers[1::2])]
        for thread in threads:
            thread.start()
        post.wait_until(lambda life=life: len(post.answered) > 40 * life + 20)  # type: ignore[misc]
        post.end(signal.SIGKILL)
        for thread in threads:
            thread.join()
        assert set(post.answered) <= {reference.rpartition("/")[2] for reference in post.accepted()}
    assert post.unanswered, "the post died too late for this test to say anything"
    post.start()
    post.wait_until(post.listening)
    again, post.unanswered = post.unanswered, []
    post.hand_in_all(again)
    with post.client() as client:  # an answered key gets its answer of then, from another life of the daemon
        key = post.answered[0]
        answer = client.post(PLACE, content=body(key), headers={"Idempotency-Key": key})
        assert json.loads(answer.content)["declarations"][0]["duplicate"] is False
    assert post.end(signal.SIGTERM) == 0
    assert len(post.accepted()) == len(set(post.accepted())) == 120
