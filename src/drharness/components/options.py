"""Command lines and configuration files in the products' form. Pure but for the disk handed in.

``-host cfgmaster-p.dr.internal -port 2020 -app NAME -f FILE``, and ``confserv.conf``: sections of
``option=value`` lines, all values strings.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drharness.components.environment import Disk
from drharness.errors import UsageError
from drharness.kernel import validate
from drharness.topology import addresses

CONF_DIR = "/etc/drharness"


@dataclass(frozen=True)
class Options:
    """A component's command line.

    :ivar host: server to connect to (``-host``)
    :ivar port: its port (``-port``), 0 if not given
    :ivar app: name of the Application object (``-app``)
    :ivar file: configuration file (``-f`` or ``-c``)
    :ivar section: the component's own section in it (``-s``)
    :ivar listen: address to listen on (``-transport-address``)
    :ivar lca: port of the VM's Local Control Agent (``-lca``); 0: there is none, be primary
    """

    host: str = ""
    port: int = 0
    app: str = ""
    file: str = ""
    section: str = ""
    listen: str = "0.0.0.0"  # all interfaces of the VM
    lca: int = addresses.LCA_PORT

    @property
    def loopback(self) -> str:
        """Where the VM's own components are reached."""
        return "127.0.0.1" if self.listen == Options.listen else self.listen


FLAGS: Mapping[str, str] = {
    "-host": "host",
    "-port": "port",
    "-app": "app",
    "-f": "file",
    "-c": "file",
    "-s": "section",
    "-transport-address": "listen",
    "-lca": "lca",
}


def parse(argv: Sequence[str]) -> Options:
    """Read a command line.

    :raises UsageError: an unknown option, a missing value, or a port that is none
    """
    given: dict[str, str | int] = {}
    words = list(argv)
    while words:
        flag = validate.choice("option", words.pop(0), FLAGS)
        if not words:
            raise UsageError(f"option {flag}: expected a value after it, got the end of the line.")
        value = words.pop(0)
        name = FLAGS[flag]
        given[name] = _port(f"option {flag}", value) if name in ("port", "lca") else value
    return Options(**given)  # type: ignore[arg-type]


def _port(what: str, value: str) -> int:
    if not value.isdecimal() or int(value) > 65535:
        raise UsageError(f"{what}: expected a port from 0 to 65535, got {value!r}.")
    return int(value)


class Conf:
    """A configuration file; errors name file, section, option, value and what was expected."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self._parser = configparser.RawConfigParser(
            delimiters=("=",), comment_prefixes=("#", ";"), strict=True, empty_lines_in_values=False
        )
        self._parser.optionxform = str  # type: ignore[assignment, method-assign]
        try:
            self._parser.read_string(text, source=path)
        except configparser.Error as error:
            said = " ".join(str(error).split())
            raise UsageError(f"{path}: expected [section] and option=value lines: {said}") from None

    @classmethod
    def read(cls, disk: Disk, path: str) -> Conf:
        """Read a file.

        :raises UsageError: there is no such file, or it is no configuration file
        """
        try:
            text = disk.read_text(path)
        except FileNotFoundError:
            raise UsageError(f"{path}: expected a configuration file, there is none.") from None
        return cls(path, text)

    def section(self, name: str) -> dict[str, str]:
        """All options of a section.

        :raises UsageError: there is no such section
        """
        if not self._parser.has_section(name):
            found = ", ".join(self._parser.sections()) or "none"
            raise UsageError(f"{self.path}: expected a section [{name}], found: {found}.")
        return dict(self._parser.items(name))

    def text(self, section: str, option: str, default: str | None = None) -> str:
        """An option's value.

        :raises UsageError: it is missing or empty, and there is no default
        """
        value = self._parser.get(section, option, fallback="").strip()
        if value:
            return value
        if default is not None:
            return default
        raise UsageError(f"{self.path}: [{section}] {option}: expected a value, got none.")

    def port(self, section: str, option: str, default: int | None = None) -> int:
        """An option that is a TCP port.

        :raises UsageError: it is missing or no port
        """
        value = self.text(section, option, None if default is None else str(default))
        return _port(f"{self.path}: [{section}] {option}", value)

    def seconds(self, section: str, option: str, default: float | None = None) -> float:
        """An option that is a duration in seconds.

        :raises UsageError: it is missing, no number, or negative
        """
        return self._number(section, option, default, "seconds, 0 or more")

    def count(self, section: str, option: str, default: int, *, low: int, high: int) -> int:
        """An option that is a whole number within [low, high].

        :raises UsageError: it is not
        """
        expected = f"a whole number from {low} to {high}"
        value = self._number(section, option, default, expected)
        if value != int(value) or not low <= value <= high:
            raise self._wrong(section, option, expected)
        return int(value)

    def _number(self, section: str, option: str, default: float | None, expected: str) -> float:
        try:
            value = float(self.text(section, option, None if default is None else str(default)))
        except ValueError as error:
            if isinstance(error, UsageError):
                raise
            raise self._wrong(section, option, expected) from None
        if not 0 <= value < float("inf"):
            raise self._wrong(section, option, expected)
        return value

    def _wrong(self, section: str, option: str, expected: str) -> UsageError:
        got = self.text(section, option, "")
        return UsageError(f"{self.path}: [{section}] {option}: expected {expected}, got {got!r}.")
