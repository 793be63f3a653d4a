"""Options: what is said on a host without an engine, mistakes, and what an unused plugin costs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from drharness.kernel import proc
from tests.plugin.conftest import Run

STARTED = """
def test_any(dr_deployment): ...
def test_lab(dr_lab): ...
def test_of_something_else(): ...
"""
REASON = (
    "engine local: step 'net, mount, pid, uts and ipc namespaces' fails: *No space left on "
    "device; way out: *`sudo sysctl user.max_net_namespaces=10000` is needed (it is 0)*"
)


def test_without_an_engine_tests_skip_with_the_way_out(
    suite: pytest.Pytester, run_without_networks: Run
) -> None:
    suite.makepyfile(STARTED)
    result = run_without_networks()
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(["drharness: engine local (cannot run here)", f"SKIPPED*{REASON}"])


def test_a_required_engine_that_cannot_run_fails_tests(
    suite: pytest.Pytester, run_without_networks: Run
) -> None:
    suite.makepyfile(STARTED)
    result = run_without_networks("--dr-require", "local")
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(
        ["*ERROR at setup of test_any*", f"{REASON} (required by --dr-require)"]
    )


def test_the_ini_file_sets_options_too(suite: pytest.Pytester, run_without_networks: Run) -> None:
    suite.makepyfile(STARTED)
    suite.makeini("[pytest]\ndr_require = local\ndr_engine = local\ndr_timeout_scale = 2\n")
    run_without_networks().assert_outcomes(passed=1, errors=2)
    run_without_networks("--dr-require=").assert_outcomes(passed=1, skipped=2)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--dr-engine=lcoal", "--dr-engine: expected one of auto, docker, local, got 'lcoal'. "
         "Did you mean 'local'?"),
        ("--dr-require=local,xen", "--dr-require: expected one of docker, local, got 'xen'."),
        ("--dr-max-rto=soon", "--dr-max-rto: expected a number of seconds, got 'soon'."),
        ("--dr-staged=2", "--dr-staged: expected 0 or 1, got '2'."),
        ("--dr-max-rpo=2h", "--dr-max-rpo: expected a count of changes (0, 25), seconds (2s, 0.5s) "
         "or bytes of WAL (512B, 64kB, 1MB), got '2h'."),
        ("--dr-timeout-scale=0.5", "--dr-timeout-scale: expected a number from 1 to 1000, "
         "got '0.5'."),
        ("--dr-timeout-scale=slow", "--dr-timeout-scale: expected a number from 1 to 1000, "
         "got 'slow'."),
    ],
)  # fmt: skip
def test_a_mistaken_option_is_refused_at_the_start(
    suite: pytest.Pytester, run: Run, option: str, text: str
) -> None:
    result = run(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {text}"])


def test_deadlines_are_stretched_on_request(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(
        """
        from drharness.kernel import waiting

        def test_scaled():
            assert waiting.scaled(2.0) == 5.0
        """
    )
    run("--dr-timeout-scale", "2.5").assert_outcomes(passed=1)


def test_options_and_marker_are_explained(run: Run) -> None:
    run("--help").stdout.fnmatch_lines(
        ["disaster-recovery drills:", "*--dr-engine=NAME*", "*--dr-evidence=DIR*"]
    )
    run("--markers").stdout.fnmatch_lines(
        [
            "@pytest.mark.dr(replication='async', *staged=False, ...): arguments of "
            "Topology.guide() for dr_topology; "
            "staged: whether another deployment may come up while the test runs"
        ]
    )


def test_an_unused_plugin_says_nothing_and_loads_nothing(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(
        """
        import sys

        HEAVY = ("dnslib", "docker", "hypothesis", "msgspec", "psycopg", "rich", "testcontainers",
                 "drharness.deployment", "drharness.topology", "drharness.kernel")

        def test_loaded():
            assert "drharness.plugin" in sys.modules
            assert [name for name in HEAVY if name in sys.modules] == []
        """
    )
    result = run()
    result.assert_outcomes(passed=1)
    assert "drharness:" not in result.stdout.str()
    assert not (suite.path / ".drharness").exists()


def test_loading_the_plugin_takes_milliseconds(repo_root: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(repo_root / 'src')!r})\n"
        "import pytest, time, timeit\n"  # of the processor: others run on this machine
        "print(timeit.timeit('import drharness.plugin', timer=time.process_time, number=1))"
    )
    taken = [float(proc.run([sys.executable, "-c", code]).stdout) for _ in range(5)]
    assert min(taken) < 0.03
