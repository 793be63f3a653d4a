"""The edit that tells a Configuration Server of another database: that option, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness.components import provision
from drharness.components.options import Conf
from drharness.deployment.repoint import repoint
from drharness.errors import UsageError
from drharness.topology import Topology

TOPOLOGY = Topology.guide()
ONE, TWO = (TOPOLOGY.dbms(region).address for region in TOPOLOGY.regions)
DECOYS = """\
[other]
dbserver=1.1.1.1
[confserv]
server=dbserver
# dbserver=2.2.2.2
[dbserver]
dbserver-backup=3.3.3.3
dbserver = 10.81.3.10
dbport=5432
[last]
dbserver=4.4.4.4
"""


def written(directory: Path, text: str) -> Path:
    """A configuration file with this text."""
    path = directory / "confserv.conf"
    path.write_text(text)
    return path


@pytest.mark.parametrize("vm", [v.id for v in TOPOLOGY.vms if v.role == "framework"])
def test_a_provisioned_server_is_told_of_the_other_database(tmp_path: Path, vm: str) -> None:
    files = provision.files(TOPOLOGY, vm)
    text = files["/etc/drharness/confserv.conf"]
    path = written(tmp_path, text)
    own = TOPOLOGY.dbms(TOPOLOGY.vm(vm).region).address
    other = TWO if own == ONE else ONE
    assert repoint(address=other, path=path) == {"was": own, "is": other}
    before, after = Conf("before", text), Conf("after", path.read_text())
    assert after.text("dbserver", "dbserver") == other
    assert after.section("confserv") == before.section("confserv")
    assert after.section("dbserver") == before.section("dbserver") | {"dbserver": other}
    assert repoint(address=own, path=path) == {"was": other, "is": own}
    assert path.read_text() == text


def test_what_only_looks_like_the_option_is_left_alone(tmp_path: Path) -> None:
    path = written(tmp_path, DECOYS)
    assert repoint(address=TWO, path=path) == {"was": ONE, "is": TWO}
    assert path.read_text() == DECOYS.replace(f"dbserver = {ONE}", f"dbserver={TWO}")


def test_a_file_that_says_so_already_is_not_written(tmp_path: Path) -> None:
    path = written(tmp_path, DECOYS)
    before = path.stat()
    assert repoint(address=ONE, path=path) == {"was": ONE, "is": ONE}
    assert (path.stat().st_ino, path.read_text()) == (before.st_ino, DECOYS)
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    """A server that has it open reads the old one to its end."""
    path = written(tmp_path, DECOYS)
    with path.open() as reading:
        repoint(address=TWO, path=path)
        assert reading.read() == DECOYS
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "[other]\ndbserver=1.1.1.1\n", "[dbserver]\ndbport=5432\n"])
def test_a_file_without_the_option_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match=r"expected an option dbserver in section \[dbserver\]"):
        repoint(address=TWO, path=path)
    assert path.read_text() == text
