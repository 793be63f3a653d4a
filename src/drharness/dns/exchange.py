"""One question to one DNS server and its answer: UDP with retries, TCP when the answer is cut."""

from __future__ import annotations

import asyncio
import socket

from drharness.dns import codec

Server = tuple[str, int]


class NoAnswer(Exception):
    """No usable answer came; the text says what was tried."""


async def ask(server: Server, packet: bytes, *, timeout: float, tries: int) -> bytes:
    """The server's reply; over TCP if the one over UDP was truncated.

    :param packet: a query with exactly one question
    :param timeout: seconds per try
    :raises NoAnswer: nothing came in time, or the host refused
    """
    reply = await ask_udp(server, packet, timeout=timeout, tries=tries)
    if int.from_bytes(reply[2:4], "big") & codec.TC:
        return await ask_tcp(server, packet, timeout=timeout)
    return reply


async def ask_udp(server: Server, packet: bytes, *, timeout: float, tries: int) -> bytes:
    """The server's reply over UDP, truncated or not.

    All tries share a socket, so that a late answer to an early one still counts.

    :raises NoAnswer: nothing came in time, or the host refused
    """
    loop = asyncio.get_running_loop()
    last = ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        for _ in range(tries):
            try:
                async with asyncio.timeout(timeout):
                    await loop.sock_connect(sock, server)
                    await loop.sock_sendall(sock, packet)
                    while True:
                        reply = await loop.sock_recv(sock, codec.LARGEST)
                        if is_reply(reply, packet):
                            return reply
            except TimeoutError:
                last = f"no answer in {timeout:g} s"
            except OSError as error:
                last = f"{error.strerror or error}"
    raise NoAnswer(f"{server[0]}: {last} ({tries} tries over UDP)")


async def ask_tcp(server: Server, packet: bytes, *, timeout: float) -> bytes:
    """The server's reply over a connection of its own.

    :raises NoAnswer: refused, closed without an answer, or not in ``timeout`` seconds
    """
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(*server)
            try:
                writer.write(len(packet).to_bytes(2, "big") + packet)
                size = int.from_bytes(await reader.readexactly(2), "big")
                reply = await reader.readexactly(size)
            finally:
                writer.close()
    except TimeoutError as error:
        raise NoAnswer(f"{server[0]}: no answer in {timeout:g} s over TCP") from error
    except asyncio.IncompleteReadError as error:
        raise NoAnswer(f"{server[0]}: closed the TCP connection without an answer") from error
    except OSError as error:
        raise NoAnswer(f"{server[0]}: {error.strerror or error} (TCP)") from error
    if not is_reply(reply, packet):
        raise NoAnswer(f"{server[0]}: answered another question over TCP")
    return reply


def is_reply(reply: bytes, packet: bytes) -> bool:
    """Whether ``reply`` answers ``packet``: id, direction, question (absent only in an error)."""
    if len(reply) < codec.HEADER.size or reply[:2] != packet[:2]:
        return False
    flags, questions = codec.HEADER.unpack_from(reply)[1:3]
    if not flags & codec.QR:
        return False
    if not questions:
        return bool(flags & 0xF)
    start = codec.HEADER.size
    end = start
    while packet[end]:
        end += packet[end] + 1
    end += 5
    return reply[start:end].lower() == packet[start:end].lower()
