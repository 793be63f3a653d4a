"""Real caching resolvers on the Application VMs, instead of ours: how each is run and flushed.

Each listens on 127.0.0.1 (nscd: at a socket of the C library's) and asks the deployment's DNS
server; what it caches, for how long, and what it takes to make it forget is its own affair.
Functions here run inside a VM.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drharness.errors import DrHarnessError
from drharness.kernel import proc
from drharness.kernel.waiting import wait_until

OURS = "ours"
_FLUSH_S = 5.0
_LOG = Path("/var/log/drharness/resolver.log")
_FORGOT = "cleared cache"  # dnsmasq's own words

_DNSMASQ = """\
no-resolv
no-hosts
no-poll
server={upstream}
listen-address=127.0.0.1
bind-interfaces
cache-size=1000
user=
pid-file=/run/dnsmasq.pid
"""

_UNBOUND = """\
server:
  interface: 127.0.0.1
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  do-ip6: no
  use-syslog: no
  verbosity: 1
  chroot: ""
  directory: "/run"
  username: ""
  pidfile: "/run/unbound.pid"
  module-config: "iterator"
  num-threads: 1
remote-control:
  control-enable: yes
  control-interface: /run/unbound.ctl
  control-use-cert: no
forward-zone:
  name: "."
  forward-addr: {upstream}
"""

_NSCD = """\
server-user root
paranoia no
enable-cache hosts yes
positive-time-to-live hosts 600
negative-time-to-live hosts 1
persistent hosts no
shared hosts no
check-files hosts no
enable-cache passwd no
enable-cache group no
enable-cache services no
enable-cache netgroup no
"""
_NSCD_RUN = "mkdir -p /run/nscd && ln -sfn /run /var/run && exec nscd --foreground --config-file="


@dataclass(frozen=True)
class Product:
    """One resolver.

    :ivar program: the argument list that runs it in the foreground
    :ivar place: of its configuration in the VM; ``text``: that, with ``{upstream}`` to fill in
    :ivar flush: makes it forget everything, and returns once it has
    :ivar resolv_conf: of its VM, likewise to fill in; empty: the VM's, which names 127.0.0.1
    """

    program: tuple[str, ...]
    place: str
    text: str
    flush: Callable[[], None]
    resolv_conf: str = ""

    def files(self, upstream: str) -> dict[str, str]:
        """Path to text of what it needs on its VM's disk."""
        files = {self.place: self.text, "/etc/resolv.conf": self.resolv_conf}
        return {path: text.format(upstream=upstream) for path, text in files.items() if text}


def _flush_dnsmasq() -> None:
    """By SIGHUP, as its manual says; it logs when it has done it."""
    before = _LOG.read_text(errors="replace").count(_FORGOT)
    os.kill(int(Path("/run/dnsmasq.pid").read_text()), signal.SIGHUP)
    wait_until(
        lambda: _LOG.read_text(errors="replace").count(_FORGOT) > before,
        f"dnsmasq says {_FORGOT!r}",
        timeout=_FLUSH_S,
        interval=0.005,
    )


def _flush_unbound() -> None:
    """By its control program: everything below the root; it answers when it has done it."""
    argv = ["unbound-control", "-c", _UNBOUND_PLACE, "flush_zone", "."]
    proc.run(argv, timeout=_FLUSH_S, env=proc_environment())


def _flush_nscd() -> None:
    """By the daemon's own program, which ends when it has done it."""
    proc.run(["nscd", "--invalidate=hosts"], timeout=_FLUSH_S, env=proc_environment())


def proc_environment() -> Mapping[str, str]:
    """With the directories where the system's programs are."""
    return {**os.environ, "PATH": proc.path_with_sbin()}


_DNSMASQ_PLACE, _UNBOUND_PLACE = "/etc/drharness/dnsmasq.conf", "/etc/drharness/unbound.conf"
_NSCD_PLACE = "/etc/drharness/nscd.conf"
PRODUCTS = {
    "dnsmasq": Product(
        ("dnsmasq", "--keep-in-foreground", f"--conf-file={_DNSMASQ_PLACE}", "--log-facility=-"),
        _DNSMASQ_PLACE,
        _DNSMASQ,
        _flush_dnsmasq,
    ),
    "unbound": Product(
        ("unbound", "-d", "-c", _UNBOUND_PLACE), _UNBOUND_PLACE, _UNBOUND, _flush_unbound
    ),
    "nscd": Product(
        ("sh", "-c", f"{_NSCD_RUN}{_NSCD_PLACE}"),
        _NSCD_PLACE,
        _NSCD,
        _flush_nscd,
        "nameserver {upstream}\noptions timeout:1 attempts:2\n",
    ),
}

PACKAGES = {"dnsmasq": "dnsmasq-base", "unbound": "unbound", "nscd": "nscd"}  # Debian's


def flush(product: str) -> dict[str, Any]:
    """Make a VM's resolver forget everything: ``{"flushed": None}``; it does not say how much.

    :raises DrHarnessError: it is not there, or did not do it
    """
    try:
        PRODUCTS[product].flush()
    except (OSError, ValueError) as error:
        raise DrHarnessError(f"{product} cannot be flushed: {error}") from error
    return {"flushed": None}
