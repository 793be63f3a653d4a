"""What the processes of VMs have loaded: everything they need, and nothing that forbids a fork."""

from __future__ import annotations

import os
import sys

from drharness.kernel import proc

LOAD = """
import os, sys
from drharness.engines.agent import work
from drharness.engines.local import launcher
for name in launcher.PRELOAD:
    work.load(name)
def fork(depth):
    pid = os.fork() if depth else 0
    if pid:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    if depth:
        fork(depth - 1)
print(*sorted({name.partition(".")[0] for name in sys.modules}), flush=True)
fork(4)
"""


def test_forks_within_forks_work_with_all_that_is_loaded() -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = proc.run([sys.executable, "-W", "error", "-c", LOAD], env=env)
    loaded = set(done.stdout.split())
    assert {"drharness", "psycopg", "dnslib", "msgspec"} <= loaded
    assert not loaded & {"filelock", "pytest", "hypothesis", "typer", "rich", "docker"}
