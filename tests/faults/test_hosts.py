"""Hosts that lack a power only some faults need: told with the way out, before anything is done."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from drharness.kernel import proc

pytestmark = pytest.mark.slow

INJECT = """
import sys
from drharness import deploy, errors, faults
with deploy(evidence_dir=sys.argv[1]) as d:
    try:
        d.inject(eval("faults." + sys.argv[2]))
    except errors.Unsupported as error:
        print(error)
    print([fault.f for fault in d.history.faults])
    print(all(d.operations.canary(r, "well", deadline=5.0)["ok"] for r in d.topology.regions))
"""
HIDE = """
for path in $HIDDEN; do mount --bind /dev/null "$path"; done
exec "$@"
"""


@pytest.mark.parametrize(
    ("fault", "hidden", "says"),
    [
        ("Delay()", "/usr/lib/*/xtables/libxt_NFQUEUE.so", "NFQUEUE: .*modprobe"),
        ("Loss()", "/usr/lib/*/xtables/libxt_statistic.so", "statistic: .*modprobe xt_statistic"),
        ("ClockSkew()", "/usr/lib/*/faketime/*", "libfaketime: .*apt-get install libfaketime"),
    ],
)
def test_a_fault_this_host_cannot_do_is_refused_with_the_way_out(
    tmp_path: Path, fault: str, hidden: str, says: str
) -> None:
    argv = [sys.executable, "-c", INJECT, str(tmp_path), fault]
    env = {**os.environ, "HIDDEN": hidden}
    done = proc.run(["unshare", "-Urm", "sh", "-c", HIDE, "sh", *argv], env=env, timeout=60.0)
    for part in says.split(".*"):
        assert part in done.stdout
    assert "way out: " in done.stdout
    assert done.stdout.endswith("[]\nTrue\n"), done.output
