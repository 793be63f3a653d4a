"""What server and resolver share: one address that answers UDP, TCP and a control socket."""

from __future__ import annotations

import abc
import asyncio
import socket
from collections.abc import Mapping

from drharness.dns import channel, transport


class Endpoint(abc.ABC):
    """Something that answers DNS questions; subclasses say how.

    :ivar port: 0 until started means any free port; then the one in use
    """

    def __init__(self, address: str, port: int, tcp: transport.Tcp) -> None:
        self.address, self.port = address, port
        self._tcp = tcp
        self._udp: socket.socket | None = None
        self._control: channel.Channel | None = None

    @abc.abstractmethod
    def _drain(self, udp: socket.socket) -> None:
        """Answer the packets that wait on the UDP socket."""

    @abc.abstractmethod
    def verbs(self) -> Mapping[str, channel.Verb]:
        """What can be asked over the control socket."""

    async def start(self, *, control: str = "") -> None:
        """Begin to answer; ``control`` is the path of the control socket, if there is to be one.

        :raises StartupFailed: an address, port or path cannot be had
        """
        udp, tcp = transport.bind(self.address, self.port)
        self._udp, self.port = udp, udp.getsockname()[1]
        asyncio.get_running_loop().add_reader(udp, self._drain, udp)
        try:
            await self._tcp.listen(tcp)
            if control:
                self._control = await channel.serve(control, self.verbs())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop answering and free the port."""
        if self._udp is not None:
            asyncio.get_running_loop().remove_reader(self._udp)
            self._udp.close()
            self._udp = None
        self._tcp.close()
        if self._control is not None:
            self._control.close()
