"""Command lines and configuration files: what is read, and what an error says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from drharness.components.options import Conf, Options, parse
from drharness.errors import UsageError
from tests.components.environment import TempDisk

TEXT = "[confserv]\n# a comment\nport=2020\nserver = dbserver\n[log]\nverbose=all\nlimit=1.5\n"


def test_a_command_line_of_the_products_is_read() -> None:
    line = "-host cfgmaster-p.dr.internal -port 2020 -app scs_main -f scs.conf -s scs"
    options = parse(line.split())
    assert options == Options("cfgmaster-p.dr.internal", 2020, "scs_main", "scs.conf", "scs")
    assert (options.listen, options.loopback, options.lca) == ("0.0.0.0", "127.0.0.1", 4999)


def test_a_transport_address_is_listened_on_and_called() -> None:
    options = parse(["-transport-address", "10.81.1.11"])
    assert (options.listen, options.loopback) == ("10.81.1.11", "10.81.1.11")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-prot 2020", "option: expected one of .*got '-prot'. Did you mean '-port'"),
        ("-port", "option -port: expected a value after it"),
        ("-port x", "option -port: expected a port from 0 to 65535, got 'x'"),
        ("-port 65536", "option -port: expected a port from 0 to 65535, got '65536'"),
        ("-port -1", "option -port: expected a port from 0 to 65535, got '-1'"),
    ],
)
def test_a_bad_command_line_names_the_option(line: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(line.split())


def test_a_configuration_file_is_read() -> None:
    conf = Conf("/etc/confserv.conf", TEXT)
    assert conf.section("confserv") == {"port": "2020", "server": "dbserver"}
    assert conf.port("confserv", "port") == 2020
    assert conf.port("confserv", "management-port", 2021) == 2021
    assert conf.text("confserv", "server") == "dbserver"
    assert conf.seconds("log", "limit") == 1.5
    assert conf.count("log", "max-records", 1000, low=1, high=1000) == 1000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "/c.conf: expected a section [confserv], found: none."),
        ("[log]\na=1\n", "/c.conf: expected a section [confserv], found: log."),
        ("no section\n", "/c.conf: expected [section] and option=value lines: File contains no"),
        ("[a]\nb=1\nb=2\n", "/c.conf: expected [section] and option=value lines: While reading"),
        ("[confserv]\n", "/c.conf: [confserv] port: expected a value, got none."),
        (
            "[confserv]\nport=x\n",
            "/c.conf: [confserv] port: expected a port from 0 to 65535, got 'x'.",
        ),
    ],
)
def test_a_bad_file_is_named_with_section_and_option(text: str, said: str) -> None:
    def read() -> int:
        conf = Conf("/c.conf", text)
        conf.section("confserv")
        return conf.port("confserv", "port")

    with pytest.raises(UsageError, match=re.escape(said)):
        read()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("x", "expected a whole number from 1 to 1000, got 'x'"),
        ("1.5", "expected a whole number from 1 to 1000, got '1.5'"),
        ("0", "expected a whole number from 1 to 1000, got '0'"),
        ("nan", "expected a whole number from 1 to 1000, got 'nan'"),
        ("1001", "expected a whole number from 1 to 1000, got '1001'"),
    ],
)
def test_a_number_out_of_range_is_named(value: str, said: str) -> None:
    conf = Conf("/c.conf", f"[history-log]\nmax-records={value}\n")
    with pytest.raises(UsageError, match=rf"\[history-log\] max-records: {said}"):
        conf.count("history-log", "max-records", 1000, low=1, high=1000)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"/c\.conf: expected a configuration file, there is none"):
        Conf.read(TempDisk(tmp_path), "/c.conf")
