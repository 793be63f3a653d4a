"""TCP: many queries on a connection, in any pieces; limits on those who do not finish."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

import dns.message
import dns.rdatatype
import pytest

from drharness.dns.server import DnsServer
from drharness.dns.zone import Zone
from drharness.kernel import clock
from tests.dns.background import TIMEOUT_S, Background, ask, closing, serving, values


def framed(name: str, ident: int = 1) -> bytes:
    wire = dns.message.make_query(name, "A", id=ident).to_wire()
    return struct.pack("!H", len(wire)) + wire


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)


def receive(sock: socket.socket) -> dns.message.Message:
    """The next reply; EOFError where the server closed."""

    def exactly(count: int) -> bytes:
        got = b""
        while len(got) < count:
            piece = sock.recv(count - len(got))
            if not piece:
                raise EOFError
            got += piece
        return got

    return dns.message.from_wire(exactly(int.from_bytes(exactly(2), "big")))


@pytest.fixture
def hasty(background: Background, zone: Zone) -> Iterator[DnsServer]:
    """A server that gives idle and slow connections a moment only."""
    made = background.run(serving(DnsServer(zone, idle_s=0.2, partial_s=0.1)))
    yield made
    background.run(closing(made.close))


def test_queries_follow_each_other_on_a_connection(server: DnsServer) -> None:
    with connect(server.port) as sock:
        for ident, name in ((1, "cfgmaster-p.dr.internal"), (2, "cfgmaster-b.dr.internal")):
            sock.sendall(framed(name, ident))
            assert receive(sock).id == ident


def test_pipelined_queries_are_all_answered(server: DnsServer) -> None:
    with connect(server.port) as sock:
        sock.sendall(b"".join(framed("cfgmaster-p.dr.internal", n) for n in range(200)))
        assert [receive(sock).id for _ in range(200)] == list(range(200))


def test_a_reply_does_not_wait_for_the_one_before_to_be_received(server: DnsServer) -> None:
    pair = framed("cfgmaster-p.dr.internal", 1) + framed("cfgmaster-b.dr.internal", 2)
    with connect(server.port) as sock:
        taken = []
        for _ in range(50):
            started = clock.now()
            sock.sendall(pair)
            assert [receive(sock).id, receive(sock).id] == [1, 2]
            taken.append(clock.now() - started)
        # A delayed acknowledgement would cost 40 ms nearly each time, a busy machine some times.
        assert sorted(taken)[len(taken) // 2] < 0.035


def test_a_query_in_single_bytes_is_answered(server: DnsServer) -> None:
    with connect(server.port) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in framed("cfgmaster-p.dr.internal"):
            sock.sendall(bytes([byte]))
        assert values(receive(sock)) == ["10.81.1.11"]


def test_half_a_query_waits_for_the_rest(server: DnsServer) -> None:
    both = framed("cfgmaster-p.dr.internal", 1) + framed("cfgmaster-b.dr.internal", 2)
    with connect(server.port) as sock:
        sock.sendall(both[:-7])
        assert receive(sock).id == 1
        sock.sendall(both[-7:])
        assert receive(sock).id == 2


def test_a_half_closed_connection_is_still_answered(server: DnsServer) -> None:
    with connect(server.port) as sock:
        sock.sendall(framed("cfgmaster-p.dr.internal"))
        sock.shutdown(socket.SHUT_WR)
        assert values(receive(sock)) == ["10.81.1.11"]
        with pytest.raises(EOFError):
            receive(sock)


def test_a_long_answer_comes_whole(server: DnsServer) -> None:
    cut = ask(server.port, "many.dr.internal")
    assert (cut.flags & dns.flags.TC, cut.answer) == (dns.flags.TC, [])
    assert len(values(ask(server.port, "many.dr.internal", tcp=True))) == 300


def test_a_broken_message_does_not_end_the_connection(server: DnsServer) -> None:
    with connect(server.port) as sock:
        sock.sendall(b"\x00\x00" + b"\x00\x03abc" + b"\x00\x0d" + bytes(13))
        sock.sendall(framed("cfgmaster-p.dr.internal"))
        assert receive(sock).rcode() == dns.rcode.FORMERR
        assert values(receive(sock)) == ["10.81.1.11"]


def test_idle_connections_hinder_nobody(server: DnsServer) -> None:
    idle = [connect(server.port) for _ in range(100)]
    assert values(ask(server.port, "cfgmaster-p.dr.internal", tcp=True)) == ["10.81.1.11"]
    for sock in idle:
        sock.close()


def test_the_oldest_connection_makes_room(server: DnsServer) -> None:
    many = [connect(server.port) for _ in range(257)]
    many[-1].sendall(framed("cfgmaster-p.dr.internal"))
    assert values(receive(many[-1])) == ["10.81.1.11"]
    with pytest.raises((EOFError, ConnectionResetError)):
        receive(many[0])
    for sock in many:
        sock.close()


def test_an_idle_connection_is_closed(hasty: DnsServer) -> None:
    with connect(hasty.port) as sock:
        sock.sendall(framed("cfgmaster-p.dr.internal"))
        assert values(receive(sock)) == ["10.81.1.11"]
        with pytest.raises((EOFError, ConnectionResetError)):
            receive(sock)


def test_a_query_that_is_never_finished_is_closed(hasty: DnsServer) -> None:
    with connect(hasty.port) as sock:
        sock.sendall(framed("cfgmaster-p.dr.internal")[:9])
        with pytest.raises((EOFError, ConnectionResetError)):
            receive(sock)


def test_a_query_in_drops_gains_no_time(hasty: DnsServer) -> None:
    query = framed("cfgmaster-p.dr.internal")
    sent = 0
    with connect(hasty.port) as sock:
        sock.settimeout(0.03)
        with contextlib.suppress(EOFError, ConnectionError):
            while sent < len(query):
                sock.sendall(query[sent : sent + 1])
                sent += 1
                with contextlib.suppress(TimeoutError):
                    receive(sock)
    assert sent < len(query) // 2
