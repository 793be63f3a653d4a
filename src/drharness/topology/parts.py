"""Programs of other makers that stand on VMs beside our components, each from its own image."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drharness.errors import UsageError
from drharness.kernel import validate

ROLES = ("framework", "application", "dbms")
SERVES = ("", "dbms")
KEYS = ("on", "image", "command", "ready", "files", "user", "serves", "waits")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TAKEN = frozenset({"agent", "dns", "resolver", "lca", "firewall", "database", "postgres"})
_TAKEN_BY_COMPONENTS = frozenset({"observer", "configserver", "csproxy", "application"})
_HIGHEST_PORT = 65535


@dataclass(frozen=True)
class Part:
    """A program in a container that shares its VM's network and process ids.

    :ivar name: of the service on each of its VMs
    :ivar on: role of the VMs that it is on, one of :data:`ROLES`
    :ivar command: instead of the image's own; empty: the image's
    :ivar ready: TCP port of its VM at which it takes connections once it is ready; 0: not asked
    :ivar files: absolute path below /etc or /var to text; on the VM's disk, where a runbook may
        change them, and in the container as they are when it starts. ``{address}``, ``{region}``
        and ``{dbms}`` (the address of the region's database) are filled in
    :ivar user: as whom it runs; empty: as the image says
    :ivar waits: it is not started at boot but by a component (``env.start_part``), and ends with it
    :ivar serves: ``dbms``: the Configuration Server of its VM gets to its database through it
    """

    name: str
    on: str
    image: str
    command: tuple[str, ...] = ()
    ready: int = 0
    files: tuple[tuple[str, str], ...] = ()
    user: str = ""
    serves: str = ""
    waits: bool = False


def part(
    name: str,
    *,
    on: str,
    image: str,
    command: Sequence[str] = (),
    ready: int = 0,
    files: Mapping[str, str] | None = None,
    user: str = "",
    serves: str = "",
    waits: bool = False,
) -> Part:
    """A :class:`Part`, looked over.

    :raises UsageError: names the argument, the value and what was expected
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(f"name: expected lower-case letters, digits and hyphens, got {name!r}.")
    if name in _TAKEN | _TAKEN_BY_COMPONENTS:
        raise UsageError(f"name: {name!r} is a service of ours on VMs; give the part another.")
    validate.choice("on", on, ROLES)
    if not isinstance(image, str) or not image or any(c.isspace() for c in image):
        raise UsageError(f"image: expected an image's name, got {image!r}.")
    if isinstance(command, str) or not all(isinstance(word, str) for word in command):
        raise UsageError(f"command: expected a list of words, got {command!r}.")
    validate.choice("serves", serves, SERVES)
    validate.count("ready", ready, low=0, high=_HIGHEST_PORT)
    if serves and (on != "framework" or not ready):
        raise UsageError(
            f"serves: {serves!r} is for parts on 'framework' with a port in ready, "
            f"got on={on!r}, ready={ready!r}."
        )
    if not isinstance(waits, bool):
        raise UsageError(f"waits: expected true or false, got {waits!r}.")
    kept = tuple((files or {}).items())
    for path, text in kept:
        _check_file(path, text)
    return Part(name, on, image, tuple(command), ready, kept, user, serves, waits)


def _check_file(path: object, text: object) -> None:
    inside = isinstance(path, str) and path.startswith(("/etc/", "/var/")) and ".." not in path
    if not inside:
        raise UsageError(f"files: expected an absolute path below /etc or /var, got {path!r}.")
    if not isinstance(text, str):
        raise UsageError(f"files: {path}: expected text, got {text!r} ({type(text).__name__}).")


def filled(text: str, **values: str) -> str:
    """A file's text with ``{name}`` replaced; other braces stay as they are."""
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text
