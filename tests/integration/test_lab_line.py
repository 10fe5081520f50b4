"""The laboratory's line: what goes in comes out, until it is cut; and again once it is mended."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from deploy.lab.proxy import LineProxy, Rate


@pytest.fixture
def line() -> Iterator[LineProxy]:
    """A line to a server that says everything back."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=echo_all, args=(listener,), daemon=True).start()
        line = LineProxy("127.0.0.1", listener.getsockname()[1])
        yield line
        line.close()
        listener.shutdown(socket.SHUT_RDWR)


def echo_all(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=echo, args=(connection,), daemon=True).start()


def echo(connection: socket.socket) -> None:
    with connection:
        try:
            while piece := connection.recv(65536):
                connection.sendall(piece)
        except OSError:
            return


def call(line: LineProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", line.port), timeout=10)


def say(connection: socket.socket, words: bytes) -> bytes:
    connection.sendall(words)
    heard = b""
    while len(heard) < len(words) and (piece := connection.recv(65536)):
        heard += piece
    return heard


def talk_until_broken(connection: socket.socket) -> None:
    while True:
        connection.recv(1)
        connection.sendall(b"?")


def test_what_goes_in_comes_out_and_is_counted_both_ways(line: LineProxy) -> None:
    with call(line) as connection:
        assert say(connection, b"declaration") == b"declaration"
    line.close()  # the answer may be here before its line has counted it
    assert (line.bytes_there, line.bytes_back, line.connections) == (11, 11, 1)


def test_megabytes_pass_in_both_directions_at_once(line: LineProxy) -> None:
    words = bytes(range(256)) * 4096 * 20
    heard = bytearray()
    with call(line) as connection:
        sender = threading.Thread(target=connection.sendall, args=(words,))
        sender.start()
        while len(heard) < len(words):
            heard += connection.recv(1 << 20)
        sender.join()
    assert bytes(heard) == words


def test_a_client_that_has_said_everything_still_hears_the_rest(line: LineProxy) -> None:
    with call(line) as connection:
        connection.sendall(b"last words")
        connection.shutdown(socket.SHUT_WR)
        heard = b""
        while piece := connection.recv(100):
            heard += piece
    assert heard == b"last words"


def test_a_cut_line_breaks_connections_and_takes_none_until_it_is_mended(line: LineProxy) -> None:
    with call(line) as connection:
        assert say(connection, b"before") == b"before"
        line.cut()
        line.cut()  # cutting what is cut changes nothing
        with pytest.raises(ConnectionError):
            talk_until_broken(connection)
    with pytest.raises(ConnectionRefusedError):
        call(line)
    line.mend()
    line.mend()
    with call(line) as connection:
        assert say(connection, b"after") == b"after"


def test_a_delayed_line_takes_its_time_each_way(line: LineProxy) -> None:
    with call(line) as connection:
        say(connection, b"warm")
        line.delay(0.1)
        begun = time.monotonic()
        assert say(connection, b"far away") == b"far away"
        assert time.monotonic() - begun >= 0.2


def test_a_line_to_nowhere_hangs_up(line: LineProxy) -> None:
    nowhere = LineProxy("127.0.0.1", 1)
    with call(nowhere) as connection, pytest.raises(ConnectionError):
        talk_until_broken(connection)
    nowhere.close()


def test_a_closed_line_is_closed_for_good(line: LineProxy) -> None:
    other = LineProxy("127.0.0.1", line.port)
    other.close()
    other.close()
    with pytest.raises(ConnectionRefusedError):
        call(other)


def test_a_line_led_elsewhere_breaks_what_stands_and_leads_there_from_then_on(line: LineProxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        with call(line) as connection:
            say(connection, b"before")
            line.lead_to("127.0.0.1", elsewhere.getsockname()[1])
            with pytest.raises(ConnectionError):
                talk_until_broken(connection)
        with call(line) as connection:
            connection.sendall(b"there")
            arrived, _ = elsewhere.accept()
            with arrived:
                assert arrived.recv(100) == b"there"


def test_a_half_open_line_tells_the_near_side_and_leaves_the_far_side_waiting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as far_end:
        line = LineProxy("127.0.0.1", far_end.getsockname()[1])
        with call(line) as near:
            far, _ = far_end.accept()
            with far:
                near.sendall(b"hello")
                assert far.recv(100) == b"hello"
                line.leave_half_open()
                with pytest.raises(ConnectionError):
                    talk_until_broken(near)
                far.sendall(b"is anybody there?")
                far.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    far.recv(100)
                line.close()
                with pytest.raises(ConnectionError):
                    talk_until_broken(far)


def test_a_throttled_line_lets_no_more_through_than_its_rate_whoever_shares_it(line: LineProxy) -> None:
    words, heard = bytes(20_000), []
    line.throttle(Rate(100_000), Rate(100_000))
    begun = time.monotonic()
    with call(line) as one, call(line) as other:
        talks = [threading.Thread(target=lambda each=each: heard.append(say(each, words))) for each in (one, other)]
        for talk in talks:
            talk.start()
        for talk in talks:
            talk.join()
    assert 0.4 <= time.monotonic() - begun < 5  # 40,000 bytes each way, and the answers come while the rest still goes
    assert heard == [words, words]
    line.throttle(None, None)
    begun = time.monotonic()
    with call(line) as connection:
        say(connection, words)
    assert time.monotonic() - begun < 0.2
