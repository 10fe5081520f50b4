"""Fates told back as files, call-backs and rows: to real directories, a real HTTP receiver and a real database."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from broker.operations.contributions import Attention
from broker.outbox.stages import Stage
from broker.outbox.store import Outbox
from broker.outbox.telling import Telling
from broker.settings.sources import FatesBack
from producers.fates import callbacks
from producers.fates.callbacks import read_secrets
from producers.fates.files import FilesReceiver, name_of
from producers.fates.receivers import receiver_of
from producers.fates.receiving import Receiver
from producers.fates.standing import of_fates
from producers.fates.teller import LONGEST_PAUSE_SECONDS, Teller, pause
from schemas.errors import SettingsError
from schemas.fates import Fate
from tests.unit.outbox.drafts import POST, HandClock, digests_of, drafts, relay_all, settle
from tests.unit.producers.national import DDL, KEY, Called, listening

OLD_KEY = b"fedcba9876543210fedcba9876543210"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def outbox(tmp_path: Path, clock: HandClock) -> Iterator[Outbox]:
    opened = Outbox.open(f"sqlite:///{tmp_path}/outbox.sqlite", POST, "test", clock)
    yield opened
    opened.close()


def teller_of(outbox: Outbox, receiver: Receiver, clock: HandClock) -> Teller:
    teller = Teller(outbox.tellings, receiver, clock, lambda: True)
    teller.turn()
    return teller


def tell_all(teller: Teller) -> None:
    while teller.turn():
        pass


def lives(said: list[dict[str, Any]]) -> dict[str, list[str]]:
    """What was said of each declaration, in the order in which it was said."""
    found: dict[str, list[str]] = {}
    for one in said:
        found.setdefault(one["data"]["reference"].rpartition("/")[2], []).append(one["data"]["fate"])
    return found


def live(outbox: Outbox, clock: HandClock, count: int = 3) -> None:
    """Let declarations live: all but the first, which is refused, are loaded."""
    accepted = outbox.accept(drafts(count))
    digests = digests_of(outbox)
    relay_all(outbox, clock)
    clock.turn(1)
    settle(outbox, accepted[:1], digests, Fate.HELD)
    clock.turn(1)
    settle(outbox, accepted[:1], digests, Fate.REFUSED)
    settle(outbox, accepted[1:], digests)


@pytest.fixture
def called() -> Iterator[Called]:
    with listening() as found:
        yield found


@contextmanager
def calling(tmp_path: Path, url: str, clock: HandClock) -> Iterator[Receiver]:
    secret = tmp_path / "secret"
    secret.write_text("\n".join(f"whsec_{base64.b64encode(key).decode()}" for key in (KEY, OLD_KEY)))
    secret.chmod(0o600)
    receiver = receiver_of(FatesBack(url=url, secret=secret), POST.urn, clock)
    try:
        yield receiver
    finally:
        receiver.close()


def test_what_settles_before_the_first_turn_is_told_all_the_same(outbox: Outbox, clock: HandClock, tmp_path: Path) -> None:
    outbox.tellings.watch()  # as a post does before it takes anything in; its turns begin once it relays
    live(outbox, clock)
    tell_all(Teller(outbox.tellings, FilesReceiver(tmp_path / "fates", POST.urn), clock, lambda: True))
    said = [json.loads(path.read_bytes()) for path in sorted((tmp_path / "fates").iterdir(), key=lambda path: path.name.split(".")[1])]
    assert {number: fates[-1] for number, fates in lives(said).items()} == {"1": "refused", "2": "loaded", "3": "loaded"}


def test_files_tell_each_life_in_the_order_of_their_names(tmp_path: Path, outbox: Outbox, clock: HandClock) -> None:
    directory = tmp_path / "fates"
    teller = teller_of(outbox, FilesReceiver(directory, POST.urn), clock)
    live(outbox, clock)
    tell_all(teller)
    files = sorted(directory.iterdir())
    assert [file.name.startswith(f"TJ-TJPNJ-2026-{number}.") for number, file in zip([1] * 4 + [2] * 3 + [3] * 3, files, strict=True)]
    assert lives([json.loads(file.read_bytes()) for file in files]) == {
        "1": ["accepted", "relayed", "held", "refused"],
        "2": ["accepted", "relayed", "loaded"],
        "3": ["accepted", "relayed", "loaded"],
    }
    refused = json.loads(files[3].read_bytes())
    assert refused["type"] == "declaration.refused"
    assert refused["data"]["post"] == POST.urn
    problem = refused["data"]["problems"][0]
    assert (problem["code"], problem["field"]) == ("field-missing", "items.0.hs_code")
    assert problem["what_to_do"]


def test_a_file_is_never_seen_half_and_one_that_is_there_is_not_overwritten_by_another(tmp_path: Path, clock: HandClock) -> None:
    receiver = FilesReceiver(tmp_path, POST.urn)
    first = Telling(7, "a", "TJ/../x\n/1", 1, "t", "urn:customs:af:customs", Stage.LOADED, (), clock(), 0)
    other = Telling(7, "b", "TJ/../x\n/1", 1, "t", "urn:customs:af:customs", Stage.LOADED, (), clock(), 0)
    for telling in (first, first, other):
        receiver.tell([telling])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["TJ-..-x_-1.000000007.b.json", "TJ-..-x_-1.000000007.json"]
    assert json.loads((tmp_path / name_of(first)).read_bytes())["data"]["event_id"] == "a"


def test_a_directory_that_is_away_is_waited_for_and_then_gets_all(tmp_path: Path, outbox: Outbox, clock: HandClock) -> None:
    directory = tmp_path / "share"
    teller = teller_of(outbox, FilesReceiver(directory, POST.urn), clock)
    directory.rmdir()
    live(outbox, clock)
    tell_all(teller)
    state = outbox.tellings.state()
    assert state is not None
    assert state.on_the_way == 10
    assert state.trouble is not None
    directory.mkdir()
    tell_all(teller)
    assert list(directory.iterdir()) == []  # it is not tried again before its time
    clock.turn(61)
    teller.turn()
    tell_all(teller)
    assert len(list(directory.iterdir())) == 10


def test_call_backs_are_signed_as_standard_webhooks_says(tmp_path: Path, outbox: Outbox, clock: HandClock, called: Called) -> None:
    with calling(tmp_path, called.url, clock) as receiver:
        teller = teller_of(outbox, receiver, clock)
        live(outbox, clock)
        tell_all(teller)
    assert lives(called.said)["1"] == ["accepted", "relayed", "held", "refused"]
    for headers, body in called.requests:
        name, at = headers["webhook-id"], headers["webhook-timestamp"]
        content = f"{name}.{at}.".encode() + body
        expected = [base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in (KEY, OLD_KEY)]
        assert headers["webhook-signature"] == f"v1,{expected[0]} v1,{expected[1]}"
        assert name == json.loads(body)["id"]
        assert int(at) == int(clock().timestamp())
    assert len({headers["webhook-id"] for headers, _ in called.requests}) == len(called.requests) == 10


def test_the_signature_is_that_of_the_scheme_s_own_example() -> None:
    """The vector of the reference libraries (standard-webhooks, Python tests): secret, id, timestamp and body give this signature."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    now = datetime.fromtimestamp(1614265330, UTC)
    found = callbacks.signed((secret,), "msg_p5jXN8AQM9LWM0D4loKWxJek", now, b'{"test": 2432232314}')
    assert found["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_one_that_is_refused_holds_up_its_own_declaration_only(tmp_path: Path, outbox: Outbox, clock: HandClock, called: Called) -> None:
    called.says = lambda told, times: 500 if told["data"]["reference"].endswith("/1") and times < 4 else 200
    with calling(tmp_path, called.url, clock) as receiver:
        teller = teller_of(outbox, receiver, clock)
        live(outbox, clock)
        tell_all(teller)
        assert set(lives(called.said)) == {"2", "3"}
        for seconds in (1, 2, 4):
            clock.turn(seconds)
            tell_all(teller)
    assert lives(called.said)["1"] == ["accepted"]  # its next stage is refused in its turn
    again = [headers["webhook-id"] for headers, body in called.requests if json.loads(body)["data"]["fate"] == "accepted"]
    assert max(Counter(again).values()) == 4  # the same name at each try


def test_one_that_never_answers_does_not_keep_the_others(
    tmp_path: Path, outbox: Outbox, clock: HandClock, called: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "TIMEOUT_SECONDS", 0.3)
    called.says = lambda told, times: 0 if told["data"]["reference"].endswith("/1") else 200
    with calling(tmp_path, called.url, clock) as receiver:
        teller = teller_of(outbox, receiver, clock)
        live(outbox, clock)
        tell_all(teller)
    assert lives(called.said) == {"2": ["accepted", "relayed", "loaded"], "3": ["accepted", "relayed", "loaded"]}


def test_a_receiver_that_is_away_is_probed_with_one_call_and_gets_all_afterwards(
    tmp_path: Path, outbox: Outbox, clock: HandClock, called: Called
) -> None:
    called.says = lambda _told, _times: 503
    called.headers = {"Retry-After": "120"}
    with calling(tmp_path, called.url, clock) as receiver:
        teller = teller_of(outbox, receiver, clock)
        live(outbox, clock)
        tell_all(teller)
        first = len(called.requests)
        clock.turn(60)
        assert teller.turn() is False
        assert len(called.requests) == first  # it asked for two minutes
        clock.turn(61)
        teller.turn()
        assert len(called.requests) == first + 1
        called.says = lambda _told, _times: 200
        clock.turn(121)
        tell_all(teller)
    assert {number: said[-1] for number, said in lives(called.said).items()} == {"1": "refused", "2": "loaded", "3": "loaded"}


def test_410_stops_with_an_alarm_until_the_post_is_started_again(tmp_path: Path, outbox: Outbox, clock: HandClock, called: Called) -> None:
    called.says = lambda _told, _times: 410
    with calling(tmp_path, called.url, clock) as receiver:
        teller = teller_of(outbox, receiver, clock)
        live(outbox, clock)
        tell_all(teller)
        first = len(called.requests)
        clock.turn(10_000)
        tell_all(teller)
        assert len(called.requests) == first
        alarm = next(reading for reading in of_fates(POST, outbox.tellings.state(), clock()) if reading.name == "fates told back")
        assert (alarm.value, alarm.attention) == ("stopped", Attention.ACT)
        called.says = lambda _told, _times: 200
        tell_all(teller_of(outbox, receiver, clock))
    assert {number: said[-1] for number, said in lives(called.said).items()} == {"1": "refused", "2": "loaded", "3": "loaded"}


def test_a_secret_that_others_may_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"whsec_{base64.b64encode(KEY).decode()}\n")
    secret.chmod(0o640)
    with pytest.raises(SettingsError, match="secret-mode"):
        read_secrets(secret)
    secret.chmod(0o600)
    assert read_secrets(secret) == (KEY,)
    for wrong in ("", "whsec_", "whsec_AAAA", "secret!", f"whsec_{base64.b64encode(KEY * 3).decode()}"):
        secret.write_text(wrong)
        with pytest.raises(SettingsError, match="fates-secret"):
            read_secrets(secret)


@pytest.fixture
def national(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/national.sqlite")
    with engine.begin() as connection:
        connection.execute(text(DDL))
    yield engine
    engine.dispose()


def rows_of(national: Engine) -> list[tuple[str, str]]:
    with national.connect() as connection:
        return [
            (reference.rpartition("/")[2], fate)
            for reference, fate in connection.execute(text("SELECT reference, fate FROM panj_fate ORDER BY number"))
        ]


def test_rows_are_added_in_the_order_of_each_life_and_each_once(tmp_path: Path, outbox: Outbox, clock: HandClock, national: Engine) -> None:
    receiver = receiver_of(FatesBack(database=f"sqlite:///{tmp_path}/national.sqlite"), POST.urn, clock)
    teller = teller_of(outbox, receiver, clock)
    live(outbox, clock)
    outbox.tellings.look()
    receiver.tell(outbox.tellings.due(10))  # and the post dies before it notes that
    tell_all(teller)
    found = rows_of(national)
    assert len(found) == 10
    assert [fate for number, fate in found if number == "1"] == ["accepted", "relayed", "held", "refused"]
    with national.connect() as connection:
        problems = connection.execute(text("SELECT problems FROM panj_fate WHERE fate = 'refused'")).scalar_one()
    assert json.loads(problems)[0]["code"] == "field-missing"
    receiver.close()


def test_a_row_that_the_table_refuses_costs_no_other(tmp_path: Path, outbox: Outbox, clock: HandClock, national: Engine) -> None:
    with national.begin() as connection:
        connection.execute(
            text("CREATE TRIGGER no BEFORE INSERT ON panj_fate WHEN NEW.reference LIKE '%/1' BEGIN SELECT RAISE(ABORT, 'no'); END")
        )
    receiver = receiver_of(FatesBack(database=f"sqlite:///{tmp_path}/national.sqlite"), POST.urn, clock)
    teller = teller_of(outbox, receiver, clock)
    live(outbox, clock)
    tell_all(teller)
    assert {number for number, _ in rows_of(national)} == {"2", "3"}
    with national.begin() as connection:
        connection.execute(text("DROP TRIGGER no"))
    clock.turn(2)
    tell_all(teller)
    assert [fate for number, fate in rows_of(national) if number == "1"] == ["accepted", "relayed", "held", "refused"]
    receiver.close()


def test_pauses_grow_to_a_quarter_of_an_hour_and_never_beyond_unless_asked() -> None:
    assert [pause(tries).total_seconds() for tries in (0, 1, 2, 9, 10, 10_000)] == [
        1,
        2,
        4,
        512,
        LONGEST_PAUSE_SECONDS,
        LONGEST_PAUSE_SECONDS,
    ]
    assert pause(0, 3_000).total_seconds() == 3_000


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "in one way"),
        ({"directory": "a", "database": "sqlite:///b"}, "in one way"),
        ({"url": "https://customs.example/fates"}, "belong together"),
        ({"url": "http://customs.example/fates", "secret": "s"}, "https"),
        ({"url": "ftp://customs.example", "secret": "s"}, "match"),
        ({"database": "sqlite:///b", "table": "fates; DROP TABLE x"}, "match"),
    ],
)
def test_settings_that_do_not_hang_together_are_refused(keys: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FatesBack.model_validate(keys)
