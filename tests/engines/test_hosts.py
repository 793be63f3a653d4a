"""Hosts that cannot run the local engine say which power is missing and what to do, soon."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from drharness.kernel import proc

DEPLOY = """
import sys
from drharness import deploy, errors
try:
    with deploy(evidence_dir=sys.argv[1]):
        print("up")
except errors.Unsupported as error:
    print(error)
"""
NO_IPTABLES = """
for program in /usr/sbin/*tables* /sbin/*tables*; do
  [ -e "$program" ] && mount --bind /dev/null "$program"
done
exec "$@"
"""


def _limit(kind: str) -> str:
    return f'echo 0 > /proc/sys/user/max_{kind}_namespaces; exec "$@"'


@pytest.mark.parametrize(
    ("host", "script", "says"),
    [
        (["-Ur"], _limit("net"), "net, mount, .*fails.*\n.*user.max_net_namespaces=10000"),
        (["-Ur"], _limit("user"), "nested user .*fails.*\n.*user.max_user_namespaces=10000"),
        (["-Urm"], NO_IPTABLES, "iptables .*fails: .*\n.*apt-get install iptables"),
    ],
)
def test_a_host_without_a_power_is_told_which_and_the_way_out(
    tmp_path: Path, host: list[str], script: str, says: str
) -> None:
    argv = [sys.executable, "-c", DEPLOY, str(tmp_path)]
    done = proc.run(["unshare", *host, "sh", "-c", script, "sh", *argv], env=os.environ)
    assert "engine local: step" in done.stdout
    for part in says.split(".*"):
        assert part in done.stdout
