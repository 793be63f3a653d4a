"""What images are built of: whole, kept for the next build, and nothing of it in the way."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from drharness.kernel import proc

pytestmark = pytest.mark.slow
PACK = """
import os, signal, sys, tarfile
from drharness.engines.docker import context
with context.packed(print) as packed:
    found = tarfile.open(fileobj=packed).getnames()
    print(*sorted({name.partition("/")[0] for name in found}))
    print(*[name for name in found if "__pycache__" in name or name.startswith("drharness/cont")])
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_build_leaves_no_file_and_the_next_one_needs_no_index(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    env = {**os.environ, "TMPDIR": str(temporary), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for fetched, more in (
        (1, {}),
        (0, {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_NO_INDEX": "1"}),
    ):
        done = proc.run([sys.executable, "-c", PACK], env=env | more, timeout=120.0, check=False)
        *told, tops, unwanted = done.stdout.split("\n")[:-1]
        assert len(told) == fetched, done.output
        assert tops.split() == ["Dockerfile", "drharness", "libraries"]
        assert not unwanted
        assert not list(temporary.iterdir())
