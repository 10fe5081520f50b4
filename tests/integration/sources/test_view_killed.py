"""The post's daemon killed while it reads a view: it goes on where it was, and no row is taken twice or left out."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from broker.trust.authority import create_authority
from schemas.names import Party
from tests.integration.producers.test_post_daemon import SETTINGS, PostProcess
from tests.integration.sources.ledger import DDL, INSERT, document

ROWS = 4_000


@pytest.fixture
def post(tmp_path: Path, postgres_url: str) -> Iterator[PostProcess]:
    create_authority(tmp_path / "pki", "tj").create_unit(Party("tj", "panji-poyon"))
    create_authority(tmp_path / "af", "af")
    user, _, rest = postgres_url.partition("@")
    name, _, password = user.rpartition("/")[2].partition(":")
    (tmp_path / "password").write_text(password)
    (tmp_path / "password").chmod(0o600)
    view = f"""
[[posts.panji-poyon.views]]
name = "sad"
database = "postgresql+psycopg://{name}@{rest}"
password_file = "password"
view = "exchange_declaration"
key = ["office", "year", "serial"]
changed = "txid"
order = "transaction"
document = "document"
poll_seconds = 0.1

[partners.af]"""
    (tmp_path / "exchange.toml").write_text(SETTINGS.replace("\n[partners.af]", view, 1))
    with psycopg.connect(postgres_url.replace("+psycopg", "", 1)) as connection:
        connection.execute(DDL)
        with connection.cursor() as cursor:
            cursor.executemany(INSERT, [(number, document(number)) for number in range(ROWS)])
    process = PostProcess(tmp_path)
    yield process
    if process._process is not None:
        process.end(signal.SIGKILL)


def test_killed_in_the_middle_the_post_reads_the_rest(post: PostProcess) -> None:
    for share in (0.1, 0.5):
        post.start()
        post.wait_until(lambda share=share: len(post.accepted()) > ROWS * share)  # type: ignore[misc]
        post.end(signal.SIGKILL)
    assert len(post.accepted()) < ROWS, "it was killed too late for this test to say anything"
    post.start()
    post.wait_until(lambda: len(post.accepted()) == ROWS)
    assert post.end(signal.SIGTERM) == 0
    assert len(set(post.accepted())) == ROWS
