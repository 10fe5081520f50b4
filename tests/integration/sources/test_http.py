"""Declarations by HTTP, against the server really listening: accepted durably before 202, refused for what it is, and never a 500."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from broker.outbox.room import Room
from broker.outbox.values import Occurrences, Relayed, Settlement
from broker.trust.authority import create_authority
from producers.sources.http import application, connections
from producers.sources.http.tokens import add_token, remove_token
from schemas.errors import Problem, UnavailableError
from schemas.fates import Fate
from schemas.names import Party
from tests.integration.sources.door import PLACE, Door, body, door_of, settings_with
from tests.unit.producers.examples import EXPORT, TRANSIT, export

AF = "urn:customs:af:customs"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """One server for all tests that share nothing but it: each hands in declarations of its own."""
    with door_of(settings_with(tmp_path_factory.mktemp("door"), max_body_mb=1)) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(door: Door) -> Iterator[httpx.Client]:
    with door.client() as found:
        yield found


def codes(answer: httpx.Response) -> list[str]:
    return [problem["code"] for problem in answer.json()["problems"]]


def test_a_declaration_is_in_the_outbox_when_the_answer_comes(door: Door, client: httpx.Client) -> None:
    woken = door.woken
    answer = client.post(PLACE, content=body("one"))
    assert answer.status_code == 202
    assert "one" in door.references()
    said = answer.json()["declarations"]
    assert [each["reference"] for each in said] == ["TJ/TJ105000/2026/one"]
    assert sorted(event["destination"] for event in said[0]["events"]) == [AF, "urn:customs:tj:customs"]
    assert all(event["event_id"] and event["copies"] == 1 and not event["duplicate"] for event in said[0]["events"])
    assert door.woken == woken + 1


def test_the_fates_stand_where_the_answer_leads(door: Door, client: httpx.Client) -> None:
    answer = client.post(PLACE, content=body("fated"))
    events = {event["destination"]: event["event_id"] for event in answer.json()["declarations"][0]["events"]}
    place = answer.headers["Location"]

    def fate() -> tuple[str, str | None, list[str]]:
        found = client.get(place)
        assert found.status_code == 200
        one = next(each for each in found.json()["events"] if each["destination"] == AF)
        return one["fate"], one["relayed_at"], [problem["code"] for problem in one["problems"]]

    assert fate() == ("accepted", None, [])
    row = next(row for row in door.outbox.waiting(AF, 100_000, 10**9) if json.loads(row.raw)["id"] == events[AF])
    door.outbox.record(Occurrences(relayed=[Relayed((row.position,), 1, row.accepted_at_utc)]))
    assert fate()[0] == "relayed"
    assert fate()[1] is not None
    problem = Problem(code="rule-broken", text="it breaks a rule", field="items.0")
    door.outbox.record(Occurrences(settlements=[Settlement(events[AF], row.digest, AF, Fate.HELD, (problem,))]))
    assert fate()[0] == "held"
    door.outbox.record(Occurrences(settlements=[Settlement(events[AF], row.digest, AF, Fate.REFUSED, (problem,))]))
    assert fate()[0] == "refused"
    assert fate()[2] == ["rule-broken"]
    other = client.get(f"{PLACE}/{events['urn:customs:tj:customs']}").json()
    assert len(other["events"]) == 2  # whichever event is asked for, the whole declaration answers


def test_an_unknown_event_is_told_as_such(client: httpx.Client) -> None:
    for name in ("01890a5d-ac96-774b-bcce-b302099a8057", "x", "%00", "'; DROP TABLE outbox"):
        answer = client.get(f"{PLACE}/{name}")
        assert (answer.status_code, codes(answer)) == (404, ["event-unknown"])


def test_the_same_again_is_no_second_event(door: Door, client: httpx.Client) -> None:
    first, second = (client.post(PLACE, content=body("twice")) for _ in range(2))
    events = [[event["event_id"] for event in answer.json()["declarations"][0]["events"]] for answer in (first, second)]
    assert events[0] == events[1]
    assert second.json()["declarations"][0]["duplicate"] is True
    assert door.references().count("twice") == 1


def test_the_same_key_gets_the_same_answer(door: Door, client: httpx.Client) -> None:
    key = {"Idempotency-Key": "5f2c-1"}
    first = client.post(PLACE, content=body("keyed"), headers=key)
    again = client.post(PLACE, content=body("keyed"), headers=key)
    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    assert first.headers["Location"] == again.headers["Location"]
    other = client.post(PLACE, content=body("keyed-2"), headers=key)
    assert (other.status_code, codes(other)) == (422, ["idempotency-key-reused"])
    assert "keyed-2" not in door.references()


def test_keys_are_their_client_s_own(door: Door, client: httpx.Client) -> None:
    assert door.tokens is not None
    other = add_token(door.tokens, "another")
    key = {"Idempotency-Key": "shared"}
    assert client.post(PLACE, content=body("mine"), headers=key).status_code == 202
    with door.client(other) as theirs:
        assert theirs.post(PLACE, content=body("theirs"), headers=key).status_code == 202


def test_what_was_refused_under_a_key_may_come_again_once_its_cause_is_gone(door: Door, client: httpx.Client) -> None:
    key = {"Idempotency-Key": "released-later"}
    refused = client.post(PLACE, content=body("later", administration="af"), headers=key)
    assert (refused.status_code, codes(refused)) == (422, ["administration-foreign"])
    assert client.post(PLACE, content=body("later", administration="af"), headers=key).json() == refused.json()


def test_keys_survive_a_restart(tmp_path: Path) -> None:
    found = settings_with(tmp_path)
    key = {"Idempotency-Key": "durable"}
    with door_of(found) as first, first.client() as client:
        answer = client.post(PLACE, content=body(), headers=key)
        token = first.token
    with door_of(found) as second, second.client(token) as client:
        assert client.post(PLACE, content=body(), headers=key).json() == answer.json()
        assert client.post(PLACE, content=body("other"), headers=key).status_code == 422


def test_a_claim_that_a_crash_left_without_an_answer_is_taken_again(door: Door, client: httpx.Client) -> None:
    digest = hashlib.sha256(b"asycuda\ncrashed").digest()
    door.outbox.requests.claim(digest, hashlib.sha256(body("crashed")).digest())  # and then the power went
    answer = client.post(PLACE, content=body("crashed"), headers={"Idempotency-Key": "crashed"})
    assert answer.status_code == 202
    assert door.references().count("crashed") == 1
    other = client.post(PLACE, content=body("crashed-2"), headers={"Idempotency-Key": "crashed"})
    assert other.status_code == 422


def test_many_at_once_with_one_key_make_one_event(door: Door) -> None:
    answers: list[int] = []

    def knock() -> None:
        with door.client() as own:
            answers.append(own.post(PLACE, content=body("raced"), headers={"Idempotency-Key": "raced"}).status_code)

    threads = [threading.Thread(target=knock) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {202, 409}
    assert 202 in answers
    assert door.references().count("raced") == 1


def test_what_is_wrong_is_told_with_its_place_and_the_good_in_the_middle_is_taken(door: Door, client: httpx.Client) -> None:
    lines = [body("good-1"), b'{"type": "customs.unknown.v1", "declaration": {}}', body("bad", gross_mass_kg="much"), body("good-2")]
    answer = client.post(PLACE, content=b"\n".join(lines))
    assert answer.status_code == 422
    said = answer.json()
    assert [(problem["code"], problem["line"]) for problem in said["problems"]] == [("type-unknown", 2), ("field-invalid", 3)]
    assert said["problems"][1]["field"] == "gross_mass_kg"
    assert said["problems"][1]["value"] == "much"
    assert all(problem["what_to_do"] for problem in said["problems"])
    assert [each["reference"].rpartition("/")[2] for each in said["declarations"]] == ["good-1", "good-2"]


def test_another_content_under_the_same_version_is_a_conflict(client: httpx.Client) -> None:
    client.post(PLACE, content=body("changed"))
    answer = client.post(PLACE, content=body("changed", gross_mass_kg="1"))
    assert (answer.status_code, codes(answer)) == (409, ["version-conflict"])


def test_a_version_may_be_left_to_intake_and_an_old_content_is_no_new_one(client: httpx.Client) -> None:
    reason = {"message_function": "amendment", "correction_reason": "weighed again"}
    answers = [client.post(PLACE, content=body("left", version="next", **more)) for more in ({}, {"gross_mass_kg": "1", **reason}, {})]
    assert [answer.status_code for answer in answers] == [202, 202, 409]
    assert [answer.json()["declarations"][0]["version"] for answer in answers[:2]] == [1, 2]
    assert codes(answers[2]) == ["version-older"]


def test_a_type_that_is_released_to_nobody_is_told(client: httpx.Client) -> None:
    answer = client.post(PLACE, content=json.dumps({"type": TRANSIT, "declaration": export("t")}).encode())
    assert (answer.status_code, codes(answer)) == (422, ["release-none"])


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"", {}, 422, "file-empty"),
        (b"   \n", {}, 422, "file-empty"),
        (b"\x89PNG\r\n", {}, 415, "format-unknown"),
        (b"hello", {"Content-Type": "text/plain"}, 415, "format-unknown"),
        (b"{}", {"Content-Type": "application/vnd.panj.cobol"}, 415, "format-unknown"),
        (b"\x1f\x8b", {"Content-Encoding": "gzip"}, 415, "http-content-encoding"),
        (b"{}", {"Idempotency-Key": "a b"}, 400, "idempotency-key-form"),
        (b"{}", {"Idempotency-Key": "x" * 201}, 400, "idempotency-key-form"),
        (b"{", {}, 422, "json-syntax"),
        (b"[]", {}, 422, "json-not-object"),
    ],
)
def test_each_wrong_request_is_refused_for_what_it_is(
    client: httpx.Client, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = client.post(PLACE, content=content, headers=headers)
    assert (answer.status_code, codes(answer)) == (status, [code])


def test_a_format_may_be_named(client: httpx.Client) -> None:
    answer = client.post(PLACE, content=body("named"), headers={"Content-Type": "application/vnd.panj.canonical-json; charset=utf-8"})
    assert answer.status_code == 202


def test_a_body_that_says_to_be_too_large_is_refused_before_it_is_read(door: Door) -> None:
    with socket.create_connection(door.address.split(":"), 10) as connection:  # type: ignore[arg-type]  # the port is text
        head = f"POST {PLACE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.token}\r\nContent-Length: 900000000\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_a_body_that_does_not_say_how_long_it_is_is_bounded_as_well(client: httpx.Client) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 100_000

    try:
        answer = client.post(PLACE, content=parts())
    except httpx.TransportError:  # the answer came, and the connection went, while we were still writing
        return
    assert (answer.status_code, codes(answer)) == (413, ["http-body-too-large"])


def test_a_body_that_never_comes_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "BODY_SECONDS", 0.3)
    with door_of(settings_with(tmp_path)) as door, socket.create_connection(("127.0.0.1", door.service.port or 0), 10) as connection:
        head = f"POST {PLACE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.token}\r\nContent-Length: 10\r\n\r\nab"
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_who_connects_and_says_nothing_or_half_is_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.4)
    with door_of(settings_with(tmp_path)) as door:
        whole = f"GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.token}\r\n\r\n".encode()
        for said, answers in ((b"", 0), (b"GET /healthz HT", 0), (whole + b"GET /hea", 1)):
            with socket.create_connection(("127.0.0.1", door.service.port or 0), 10) as quiet:
                quiet.sendall(said)
                heard = b""
                while part := quiet.recv(1_000):  # until it is closed over there
                    heard += part
                assert heard.count(b"HTTP/1.1 200") == answers


def test_connections_beyond_their_number_are_closed_and_the_others_go_on(tmp_path: Path) -> None:
    with door_of(settings_with(tmp_path, max_in_flight=1)) as door, door.client() as client:
        assert client.post(PLACE, content=body()).status_code == 202
        quiet = [socket.create_connection(("127.0.0.1", door.service.port or 0), 10) for _ in range(20)]
        closed = [each for each in quiet[8:] if each.recv(1) == b""]
        assert len(closed) == 12
        for each in quiet:
            each.close()
        until = time.monotonic() + 10
        while True:
            try:
                assert client.post(PLACE, content=body()).status_code == 202
                break
            except httpx.TransportError:
                assert time.monotonic() < until


def test_more_requests_than_are_taken_at_once_are_asked_to_come_again(tmp_path: Path) -> None:
    with door_of(settings_with(tmp_path, max_in_flight=1)) as door:
        with socket.create_connection(("127.0.0.1", door.service.port or 0), 10) as slow:
            head = f"POST {PLACE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.token}\r\nContent-Length: 10\r\n\r\nab"
            slow.sendall(head.encode())
            with door.client() as client:
                until = time.monotonic() + 10
                while (answer := client.post(PLACE, content=body())).status_code != 429:  # until the slow one is seen to be in hand
                    assert time.monotonic() < until
                assert codes(answer) == ["http-busy"]
                assert int(answer.headers["Retry-After"]) >= 1
        with door.client() as client:
            until = time.monotonic() + 10
            while client.post(PLACE, content=body()).status_code == 429:  # the slow one has gone away: its place is free again
                assert time.monotonic() < until


def test_an_outbox_without_room_asks_to_wait_and_one_that_is_away_is_unavailable(tmp_path: Path) -> None:
    found = settings_with(tmp_path)
    with door_of(found, Room(max_unsettled=1)) as door, door.client() as client:  # one declaration makes two events
        answer = client.post(PLACE, content=body())
        assert (answer.status_code, codes(answer)) == (429, ["outbox-unsettled"])
        assert int(answer.headers["Retry-After"]) > 0
        door.outbox.suspect("a test says so")
        answer = client.post(PLACE, content=body())
        assert (answer.status_code, codes(answer)) == (503, ["outbox-restored"])
        assert int(answer.headers["Retry-After"]) > 0
        assert client.get("/healthz").json() == {"status": "ok"}
        door.outbox._engine.dispose()
        for beside in ("-wal", "-shm"):
            (tmp_path / f"outbox.sqlite{beside}").unlink(missing_ok=True)
        (tmp_path / "outbox.sqlite").write_bytes(b"not a database at all" * 400)
        answer = client.post(PLACE, content=body())
        assert (answer.status_code, codes(answer)) == (503, ["outbox-away"])
        assert client.get("/healthz").status_code == 503


def test_nobody_comes_in_without_a_token_and_a_reader_only_reads(door: Door) -> None:
    assert door.tokens is not None
    for wrong in ("", "panj_wrong", door.token[:-1], f"{door.token}x"):
        with door.client(wrong) as stranger:
            answer = stranger.post(PLACE, content=body())
            assert (answer.status_code, codes(answer)) == (401, ["http-unauthorized"])
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert stranger.get(f"{PLACE}/x").status_code == 401
            assert stranger.get("/healthz").status_code == 200
    reader = add_token(door.tokens, "reader", read_only=True)
    with door.client(reader) as reading:
        assert (reading.post(PLACE, content=body()).status_code, reading.get(f"{PLACE}/x").status_code) == (403, 404)
    remove_token(door.tokens, "reader")
    with door.client(reader) as removed:
        assert removed.get(f"{PLACE}/x").status_code == 401


def test_a_token_file_that_others_may_read_lets_nobody_in(tmp_path: Path) -> None:
    with door_of(settings_with(tmp_path)) as door, door.client() as client:
        assert door.tokens is not None
        door.tokens.chmod(0o644)
        answer = client.post(PLACE, content=body())
        assert (answer.status_code, codes(answer)) == (503, ["http-tokens-away"])
        door.tokens.chmod(0o600)
        assert client.post(PLACE, content=body()).status_code == 202


def test_tls_and_client_certificates(tmp_path: Path) -> None:
    authority = create_authority(tmp_path / "pki", "tj")
    server = authority.create_server("intake", ["127.0.0.1"])
    clients = create_authority(tmp_path / "clients", "tj")
    known, unknown = clients.create_unit(Party("tj", "asycuda")), authority.create_unit(Party("tj", "somebody"))
    pair = {"certificate": server.certificate, "key": server.key}
    found = settings_with(tmp_path, **pair, client_ca=clients.anchor, tokens=None)
    believing = ssl.create_default_context(cafile=str(authority.anchor))
    believing.load_cert_chain(known.certificate, known.key)
    with door_of(found) as door:
        with door.client("", verify=believing) as client:
            assert client.post(PLACE, content=body()).status_code == 202
            assert "mutualTLS" in client.get("/openapi.json").text
        for pair_of in (None, unknown):
            stranger = ssl.create_default_context(cafile=str(authority.anchor))
            if pair_of is not None:
                stranger.load_cert_chain(pair_of.certificate, pair_of.key)
            with door.client("", verify=stranger) as client, pytest.raises(httpx.TransportError):
                client.post(PLACE, content=body())
        before = ssl.get_server_certificate(("127.0.0.1", door.service.port or 0))
        authority.renew_server("intake")
        until = time.monotonic() + 10
        while ssl.get_server_certificate(("127.0.0.1", door.service.port or 0)) == before:
            assert time.monotonic() < until
            time.sleep(0.05)


def test_a_port_that_is_taken_is_told_and_not_died_of(door: Door, tmp_path: Path) -> None:
    other = Door(settings_with(tmp_path, listen=door.address))
    with pytest.raises(UnavailableError, match="http-listen"):
        other.service.run(threading.Event())
    other.outbox.close()


def test_a_small_answer_does_not_wait_for_more(tmp_path: Path) -> None:
    """With Nagle's algorithm on, each answer would wait 40 ms for the client's delayed acknowledgement."""
    door = Door(settings_with(tmp_path))
    with door.service._listening() as listener, socket.create_connection(listener.getsockname(), 10):
        accepted, _ = listener.accept()
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        accepted.close()
    door.outbox.close()


def _validators(client: httpx.Client) -> dict[tuple[str, str, str], Draft202012Validator]:
    document = client.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    found = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                schema = answer["content"]["application/json"]["schema"] | {"components": document["components"]}
                schema = json.loads(json.dumps(schema))
                Draft202012Validator.check_schema(schema)
                found[method.upper(), path, status] = Draft202012Validator(_closed(schema))
    return found


def _closed(node: Any) -> Any:
    """The same schema, with no property allowed that it does not tell of: what is answered and not described is found out."""
    if isinstance(node, list):
        return [_closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    closed = {name: _closed(each) for name, each in node.items()}
    return closed | {"additionalProperties": False} if "properties" in node else closed


def test_the_openapi_document_says_what_the_service_answers(door: Door, client: httpx.Client) -> None:
    validators = _validators(client)
    assert door.tokens is not None
    reader = add_token(door.tokens, "describing", read_only=True)
    taken = client.post(PLACE, content=body("described"))
    client.post(PLACE, content=body("described"), headers={"Idempotency-Key": "described"})
    stranger, reading = door.client(""), door.client(reader)
    place = f"{PLACE}/{{event_id}}"
    answers = [
        ("POST", PLACE, taken),
        ("POST", PLACE, client.post(PLACE, content=body("described", gross_mass_kg="2"))),
        ("POST", PLACE, client.post(PLACE, content=body("described-2") + b"\n" + body("x", office_code="?" * 500))),
        ("POST", PLACE, client.post(PLACE, content=b"")),
        ("POST", PLACE, client.post(PLACE, content=b"?")),
        ("POST", PLACE, client.post(PLACE, content=b"{}", headers={"Idempotency-Key": "two words"})),
        ("POST", PLACE, client.post(PLACE, content=b"{}", headers={"Idempotency-Key": "described"})),
        ("POST", PLACE, client.post(PLACE, content=b"{}", headers={"Content-Encoding": "br"})),
        ("POST", PLACE, stranger.post(PLACE)),
        ("POST", PLACE, reading.post(PLACE)),
        ("GET", place, client.get(taken.headers["Location"])),
        ("GET", place, client.get(f"{PLACE}/none")),
        ("GET", place, stranger.get(f"{PLACE}/none")),
        ("GET", "/healthz", client.get("/healthz")),
        ("GET", "/openapi.json", client.get("/openapi.json")),
    ]
    for method, path, answer in answers:
        validators[method, path, str(answer.status_code)].validate(answer.json())
    assert {answer.status_code for _, _, answer in answers} >= {200, 202, 400, 401, 403, 404, 409, 415, 422}
    stranger.close()
    reading.close()


def test_other_paths_and_methods_are_told_as_such(client: httpx.Client) -> None:
    for method, path, status in (("GET", PLACE, 405), ("DELETE", f"{PLACE}/x", 405), ("GET", "/", 404), ("GET", "/v1/../etc", 404)):
        answer = client.request(method, path)
        assert (answer.status_code, codes(answer)) == (status, ["http-elsewhere"])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def _one_field_wrong(name: str, value: Any) -> bytes:
    return json.dumps({"type": EXPORT, "declaration": export() | {name: value}}).encode()


def _damaged(at: int, by: bytes) -> bytes:
    return body()[:at] + by + body()[at:]


_RUBBISH = st.one_of(
    st.binary(max_size=2_000),
    st.text(max_size=500).map(lambda text: text.encode("utf-8", "surrogatepass")),
    _JSON.map(lambda value: json.dumps(value).encode()),
    st.builds(_one_field_wrong, st.sampled_from(sorted(export())), _JSON),
    st.builds(_damaged, st.integers(0, 600), st.binary(max_size=4)),
)
_HEADERS = st.dictionaries(
    st.sampled_from(["Content-Type", "Idempotency-Key", "Content-Encoding", "Accept", "Expect", "Transfer-Coding"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30).map(str.strip),
    max_size=3,
)


@given(content=_RUBBISH, headers=_HEADERS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_rubbish_of_every_kind_is_never_a_500(client: httpx.Client, content: bytes, headers: dict[str, str]) -> None:
    answer = client.post(PLACE, content=content, headers=headers)
    assert answer.status_code in {202, 400, 409, 413, 415, 422}, answer.text
    assert answer.status_code == 202 or answer.json()["problems"]


@given(name=st.text(min_size=1, max_size=60))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_asked_for_is_never_a_500(client: httpx.Client, name: str) -> None:
    quoted = quote(name.encode("utf-8", "surrogatepass"), safe="")
    assert client.get(f"{PLACE}/{quoted}").status_code == 404
