"""A container of the docker engine and the channel to what runs in it."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from typing import Any

from docker.errors import APIError
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from drharness.engines.agent.channel import FramedChannel
from drharness.engines.docker import daemon, pump

_POWER_S = 30.0
_CAPABILITIES = ["NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE"]
testcontainers_config.ryuk_disabled = True  # its image cannot be had everywhere; ours: reaper


class Net(Network):
    """A network whose connection to the daemon can be closed; the network stays as it is."""

    def close(self) -> None:
        """Let go of the daemon."""
        self._docker.client.close()


class Vessel:
    """A container and the channel to its PID 1.

    :param context: of the daemon; empty: the one that ``docker`` would use
    :param volumes: directory in the container to a volume's name or a directory of the host
    :param options: what the daemon is asked for beyond that
    """

    def __init__(
        self,
        name: str,
        image: str,
        run: str,
        network: Net,
        context: str = "",
        *,
        volumes: Mapping[str, str],
        **options: Any,
    ) -> None:
        self.name = name
        self._container = DockerContainer(image, docker_client_kw=daemon.how(context)).with_kwargs(
            hostname=name,
            labels=daemon.labels(run),
            stdin_open=True,
            cap_add=_CAPABILITIES,
            security_opt=["apparmor=unconfined"],
            log_config={"type": "none"},
            **options,
        )
        self._container.with_network(network)
        for place, source in volumes.items():
            self._container.with_volume_mapping(source, place, "rw")

    @property
    def inner(self) -> Any:
        """The container as the SDK knows it."""
        return self._container.get_wrapped_container()

    def create(self) -> None:
        """Make it and start it."""
        with daemon.saying(f"container {self.name}"):
            self._container.start()

    def start(self) -> None:
        """Start it again."""
        with daemon.saying(f"power on {self.name}"):
            self.inner.start()

    def kill(self) -> None:
        """End everything in it; it has when this returns."""
        with daemon.saying(f"power off {self.name}"):
            try:
                self.inner.kill()
            except APIError as error:
                if error.status_code != 409:  # it has ended by itself
                    raise
            self.inner.wait(timeout=_POWER_S)

    def attach(self) -> FramedChannel:
        """The channel to its PID 1."""
        wanted = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        with daemon.saying(f"attach to {self.name}"):
            found = self.inner.attach_socket(params=wanted)
        response = found._response
        if isinstance(found, ssl.SSLSocket):
            return FramedChannel(pump.plain(found, response))
        raw = socket.socket(fileno=os.dup(found.fileno()))
        response.close()  # else nobody closes the SDK's own end
        raw.settimeout(None)
        return FramedChannel(raw)

    def close(self) -> None:
        """Let go of the daemon; the container stays as it is."""
        self._container.get_docker_client().client.close()
