"""Bad input is refused before anything starts, in one line that says what to do; help is quick."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from drharness import __version__, faults, procedures
from drharness.cli import plan, variations
from drharness.errors import UsageError
from drharness.faults.model import Fault
from drharness.kernel import proc
from drharness.procedures import Procedure
from drharness.topology import Topology
from tests.cli.running import SOURCE, drharness, environment

DRILL = ("drill", "full-failover")
TOPOLOGIES = SOURCE.parent / "fixtures" / "topologies"
PAIRS = str(TOPOLOGIES / "two-pairs.toml")


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("drill", "ful-failover"), "PROCEDURE: expected one of dbms-failover, framework-failover, "
         "full-failover, got 'ful-failover'. Did you mean 'full-failover'?"),
        ((*DRILL, "--to", "region3"), "--to: expected one of region1, region2, got 'region3'."),
        ((*DRILL, "--to", "region1"), "--to: region1 is the active region when a drill begins"),
        ((*DRILL, "--fault", "fire"), "--fault: expected one of "),
        ((*DRILL, "--fault", "none:region1"), "--fault: none takes no arguments"),
        ((*DRILL, "--swap", "fence"), "--swap: expected two steps, as in fence,promote, got"),
        ((*DRILL, "--swap", "fence,promot"), "got 'promot'. Did you mean 'promote'?"),
        ((*DRILL, "--without", "nap"), "--without: expected one of fence, flush, preflight"),
        ((*DRILL, "--replication", "snyc"), "Did you mean 'sync'?"),
        ((*DRILL, "--timing", "slow"), "--timing: expected one of fast, guide, got 'slow'."),
        ((*DRILL, "--ttl", "-1"), "--ttl: expected a number from 0 to 86400, got -1"),
        ((*DRILL, "--return-fence", "x"), "--return-fence: expected one of boot-deny, none"),
        ((*DRILL, "--rate", "0"), "--rate: expected a number from 0.1 to 2000, got 0.0"),
        ((*DRILL, "--engine", "xen"), "--engine: expected one of auto, docker, local, got 'xen'."),
        ((*DRILL, "--timeout-scale", "0.5"), "--timeout-scale: expected a number from 1 to 1000"),
        ((*DRILL, "--fault", "region-down:region3"), "--fault: expected one of active, dormant"),
        ((*DRILL, "--topology", "/none.toml"), "/none.toml: cannot be read (No such file or dir"),
        ((*DRILL, "--topology", PAIRS, "--to", "emae"), "--to: expected one of emea, us-east-1, "
         "got 'emae'. Did you mean 'emea'?"),
        ((*DRILL, "--fault", "firewall-missing:region3"), "--fault: expected one of active, dorm"),
        ((*DRILL, "--max-rto", "-1"), "--max-rto: expected a number from 0 to 86400, got -1.0"),
        ((*DRILL, "--max-rpo", "few"), "--max-rpo: expected a count of changes (0, 25), seconds"),
        ((*DRILL, "--repeat", "nap"), "--repeat: expected one of fence, flush, preflight"),
        ((*DRILL, "--delay", "fence"), "--delay: expected STEP=SECONDS, as in fence=2, got"),
        ((*DRILL, "--delay", "nap=1"), "--delay: expected one of fence, flush, preflight"),
        ((*DRILL, "--delay", "fence=-1"), "--delay: expected a number from 0 to 86400, got -1.0"),
        ((*DRILL, "--interrupt", "nap"), "--interrupt: expected one of fence, flush, preflight"),
        ((*DRILL, "--fence", "x"), "--fence: expected one of firewall, out-of-band, got 'x'."),
        ((*DRILL, "--max-lag", "few"), "--max-lag: expected a count of changes (0, 25), seconds"),
        ((*DRILL, "--max-lag", "5"), "--max-lag: expected seconds (2s) or bytes (64kB), got '5'."),
        ((*DRILL, "--without", "promote", "--force"), "--without promote: nothing is promoted."),
        (("drill", "dbms-failover", "--fence", "firewall"), "--fence: dbms-failover accepts "
         "out-of-band only, got 'firewall'. Leave the option out, or choose framework-failover or "
         "full-failover."),
        ((*DRILL, "--database", "stay"), "--database: full-failover has no choice of it, got"),
        (("drill", "framework-failover", "--database", "x"), "--database: expected one of move,"),
        ((*DRILL, "--runs", "0"), "--runs: expected a number from 1 to 1000, got 0 (int)."),
        ((*DRILL, "--json", "/dev/null/x"), "--json: /dev/null/x cannot be written (Not a direct"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_line(args: tuple[str, ...], text: str) -> None:
    done = drharness(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1


def _varied(
    name: str, without: Sequence[str] = (), database: str = "", **options: Any
) -> Procedure:
    slips = plan.Variation(without, database=database)
    procedure = plan.procedure_of(name, "region2", topology=Topology.guide(), varied=slips)
    return variations.varied(procedure, **options)


def test_what_a_procedure_accepts_is_taken() -> None:
    assert _varied("dbms-failover", fence="out-of-band").options.fence == "out-of-band"
    assert _varied("dbms-failover", max_lag="2s", force=True).options.max_lag_s == 2
    assert _varied("full-failover", fence="firewall").options.fence == "firewall"
    assert _varied("framework-failover", fence="firewall", force=True).options.fence == "firewall"
    assert _varied("full-failover", ("fence",), force=True).options.force  # the lag gate reads it


@pytest.mark.parametrize(
    ("name", "slips", "options", "text"),
    [
        ("full-failover", {"without": ["fence"]}, {"fence": "firewall"}, "--fence: expected step "
         "fence, which reads it, in the procedure, got 'firewall' with --without fence. Leave one"),
        ("full-failover", {"without": ["preflight"]}, {"max_lag": "2s"},
         "--max-lag: expected step preflight, which reads it, in the procedure, got '2s'"),
        ("full-failover", {"without": ["preflight", "fence"]}, {"force": True},
         "--force: expected step preflight or fence, .*--without preflight and fence"),
        ("dbms-failover", {"without": ["promote"]}, {"max_lag": "2s"},
         "--max-lag: expected step promote in the procedure, got '2s' with --without promote"),
        ("framework-failover", {"database": "stay"}, {"fence": "firewall"},
         "--fence: framework-failover accepts it with --database move only, got 'firewall' with "
         "--database stay: nothing is promoted. Leave one of the two out."),
        ("framework-failover", {"database": "stay"}, {"force": True}, "--force: .* got it with"),
    ],
)  # fmt: skip
def test_an_option_that_nothing_would_read_is_refused(
    name: str, slips: dict[str, Any], options: dict[str, Any], text: str
) -> None:
    with pytest.raises(UsageError, match=text):
        _varied(name, **slips, **options)


# One of two arguments is needed: a fault that strikes later has to be told when.
NEEDED = {"controller-killed": "within=promote"}


@pytest.mark.parametrize("name", sorted(faults.BY_NAME))
def test_every_fault_with_defaults_can_be_named_alone(name: str) -> None:
    required = [f.name for f in fields(faults.BY_NAME[name]) if f.default is MISSING]
    given = ",".join(f"{it}=active.dbms" for it in required if it != "region")
    given = NEEDED.get(name, given)
    text = f"{name}:{given}" if given else name
    assert isinstance(plan.fault_of(text, to="region2", topology=Topology.guide()), Fault)


@pytest.mark.parametrize("name", sorted(procedures.BY_NAME))
def test_every_procedure_has_a_usual_fault(name: str) -> None:
    topology = Topology.guide()
    procedure = plan.procedure_of(name, "region2", topology=topology)
    assert name in plan.USUAL_FAULTS
    assert plan.fault_of(plan.usual_fault(procedure), to="region2", topology=topology) is not None


def test_options_win_over_the_file() -> None:
    done = drharness("topology", "--topology", PAIRS, "--replication", "sync")
    assert done.returncode == 0
    assert done.stdout == plan.topology_of(Path(PAIRS), replication="sync").as_toml()
    assert 'replication = "sync"' in done.stdout
    assert 'regions = ["emea", "us-east-1"]' in done.stdout


def test_what_takes_over_by_default_has_the_name_of_the_file() -> None:
    topology = Topology.load(PAIRS)
    procedure = plan.procedure_of("full-failover", "", topology=topology)
    assert procedure.to == "us-east-1"
    fault = plan.fault_of("region-down", to=procedure.to, topology=topology)
    assert fault == faults.RegionDown("emea")


def test_unwritable_evidence_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = drharness(*DRILL, "--keep-evidence", tmp_path / "file" / "below")
    assert done.returncode == 2
    assert f"error: evidence directory {tmp_path}/file/below: cannot be written" in done.stderr
    assert "another evidence directory" in done.stderr


def test_an_unknown_option_is_bad_usage() -> None:
    done = drharness(*DRILL, "--bogus")
    assert done.returncode == 2
    assert "No such option: --bogus" in done.stderr


def test_help_names_every_command_with_examples_and_codes() -> None:
    done = drharness("--help")
    assert done.returncode == 0
    for text in (
        "drill        Deploy, break, run a procedure, judge; live.",
        "check        Judge a recorded history again, offline.",
        "selftest     Plant mistakes and see that each is found by name.",
        "topology     Write what would be deployed as TOML.",
        "doctor       Say whether deployments can run here, or the way out.",
        "drharness drill full-failover --fault regions-cut --replication async",
        "Exit codes: 0 pass, 1 fail, 2 bad usage",
    ):
        assert text in done.stdout


def test_the_version_is_told() -> None:
    assert drharness("--version").stdout == f"drharness {__version__}\n"


def test_help_loads_nothing_heavy() -> None:
    code = "import sys\nsys.argv = ['drharness', '--help']\nfrom drharness.cli import main\n" + (
        "try:\n    main()\nexcept SystemExit:\n    print(*sys.modules)"
    )
    env = environment(PYTHONPATH=str(SOURCE))
    loaded = proc.run([sys.executable, "-c", code], env=env).stdout.split()
    heavy = {"dnslib", "msgspec", "psycopg", "pytest", "rich", "drharness.deployment"}
    assert heavy.intersection(loaded) == set()
    assert "typer" in loaded
