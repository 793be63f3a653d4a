"""Processes that keep cores busy, at the same priority, for as long as the benchmark lives."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from drharness.kernel import proc

# It ends by itself when its parent has ended, however that happened.
_SPIN = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(100_000):
        pass
"""


@contextmanager
def spinning(count: int) -> Iterator[None]:
    """Keep ``count`` processes computing within the block."""
    with ExitStack() as stack:
        for _ in range(count):
            spinner = proc.popen([sys.executable, "-c", _SPIN], env=os.environ, stderr=2)
            stack.callback(spinner.wait, 10)
            stack.callback(spinner.kill)
        yield
