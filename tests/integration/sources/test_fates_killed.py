"""The post's daemon killed while it tells fates back: every declaration is told all the same, and in whole files only."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.trust.authority import create_authority
from schemas.names import Party
from tests.integration.producers.test_post_daemon import SETTINGS, PostProcess


@pytest.fixture
def post(tmp_path: Path) -> Iterator[PostProcess]:
    create_authority(tmp_path / "pki", "tj").create_unit(Party("tj", "panji-poyon"))
    create_authority(tmp_path / "af", "af")
    fates = '[posts.panji-poyon.fates]\ndirectory = "fates"\n\n[partners.af]'
    (tmp_path / "exchange.toml").write_text(SETTINGS.replace("[partners.af]", fates, 1))
    process = PostProcess(tmp_path)
    yield process
    if process._process is not None:
        process.end(signal.SIGKILL)


def told(directory: Path) -> set[str]:
    """The declarations of whose acceptance a file tells."""
    found = [json.loads(file.read_bytes()) for file in (directory / "fates").glob("[!.]*.json")]
    assert all(one["type"] == "declaration.accepted" for one in found)  # the broker is away: nothing else happens
    return {one["data"]["reference"] for one in found}


def test_killed_in_the_middle_the_post_tells_the_rest(post: PostProcess) -> None:
    post.put(range(2_000))
    for share in (0.2, 0.6):
        post.start()
        post.wait_until(lambda share=share: len(list((post.directory / "fates").glob("*.json"))) > 2_000 * share)  # type: ignore[misc]
        post.end(signal.SIGKILL)
        assert len(told(post.directory)) < 2_000, "it was killed too late for this test to say anything"
    post.start()
    post.wait_until(lambda: post.waiting_files() == 0)
    post.wait_until(lambda: len(list((post.directory / "fates").glob("*.json"))) >= 2_000)
    assert post.end(signal.SIGTERM) == 0
    assert told(post.directory) == set(post.accepted())
    assert len(told(post.directory)) == 2_000
