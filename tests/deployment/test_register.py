"""Names and records of kept deployments: taken once, freed by the end of a process, private."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from drharness.deployment import kept, register
from drharness.deployment.register import Claim
from drharness.errors import UsageError

TIMES = {"since": "2026-11-23 03:00:00 UTC", "until": "2026-11-23 11:00:00 UTC"}


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "drharness"


@pytest.fixture
def claim() -> Iterator[Claim]:
    taken = register.claim("lab", pid=os.getpid(), **TIMES)
    yield taken
    taken.release()


def _abandoned(name: str, evidence: Path) -> None:
    """As a keeper that was killed leaves it: a record that nobody has locked."""
    taken = register.claim(name, pid=4242, **TIMES)
    taken.change(state=register.UP, evidence=str(evidence))
    record = register.directory() / f"{name}.json"
    text = record.read_text()
    taken.release()
    record.write_text(text)


@pytest.mark.parametrize("name", ["", "Lab", "a/b", "..", "-x", "a b", "a" * 41, "l\u00e4b"])
def test_a_bad_name_is_refused_with_what_a_name_is(name: str) -> None:
    with pytest.raises(UsageError, match=r"name: expected up to 40 small letters, digits, .* got"):
        register.check_name(name)


@pytest.mark.parametrize("name", ["default", "lab-2", "a_b.c", "9" * 40])
def test_a_good_name_is_taken_as_it_is(name: str) -> None:
    assert register.check_name(name) == name


def test_a_name_is_taken_once_and_the_error_says_what_to_do(claim: Claim) -> None:
    with pytest.raises(UsageError, match=r"'lab' is starting already .*`drharness down lab`.*--na"):
        register.claim("lab", pid=1, **TIMES)
    claim.release()
    register.claim("lab", pid=1, **TIMES).release()


def test_what_is_told_of_a_deployment_is_found_by_others(claim: Claim) -> None:
    claim.change(state=register.UP, evidence="/somewhere/else")
    found = register.find("lab")
    assert found is not None
    assert (found.state, found.evidence, found.pid) == ("up", "/somewhere/else", os.getpid())
    assert register.living() == [found]
    claim.change(evidence="/x")
    assert register.living()[0].evidence == "/x"


def test_a_record_that_nobody_holds_is_cleared_and_told(tmp_path: Path, claim: Claim) -> None:
    run = tmp_path / "runs" / "1"
    (run / "disks").mkdir(parents=True)
    (run / ".open").touch()
    _abandoned("old", run)
    assert register.find("old") is None
    (gone,) = register.clear_stale()
    assert (gone.record.name, gone.left) == ("old", ())
    assert kept.said_of(gone) == (
        "deployment 'old' has gone: its keeper (process 4242) was killed; nothing of it is left "
        f"but its evidence in {run}."
    )
    assert list(run.iterdir()) == []
    assert [path.name for path in register.directory().glob("*.json")] == ["lab.json"]
    assert register.clear_stale() == []


def test_a_name_that_a_killed_keeper_had_is_free(tmp_path: Path) -> None:
    _abandoned("old", tmp_path)
    register.claim("old", pid=1, **TIMES).release()


def test_a_keeper_sees_that_its_record_has_gone(claim: Claim, runtime: Path) -> None:
    (runtime / "lab.json").unlink()
    assert not claim.holds
    other = register.claim("lab", pid=1, **TIMES)
    claim.release()
    assert register.find("lab") == other.record  # what another one has taken stays
    other.release()


def test_the_one_there_is_needs_no_name(claim: Claim) -> None:
    assert kept.find().name == "lab"
    other = register.claim("other", pid=1, **TIMES)
    with pytest.raises(UsageError, match=r"which deployment. 2 are up: lab, other. Name one"):
        kept.find()
    with pytest.raises(UsageError, match=r"no deployment is called 'x'. There is: lab, other"):
        kept.find("x")
    other.release()


def test_without_any_the_way_to_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no deployment is up. `drharness up` begins one"):
        kept.find()
    _abandoned("old", tmp_path)
    with pytest.raises(UsageError, match=r"'old' has gone: its keeper .process 4242. was killed"):
        kept.find()


def test_the_directory_is_private(runtime: Path) -> None:
    assert register.made() == register.directory() == runtime
    assert runtime.stat().st_mode & 0o777 == 0o700
    runtime.chmod(0o770)
    with pytest.raises(UsageError, match=r"others may use it .mode 0770.. Run `chmod 700 "):
        register.directory()


def test_without_a_runtime_directory_there_is_one_of_the_users(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    folder = Path(f"/tmp/drharness-{os.getuid()}")
    assert register.directory() == folder
    others = folder.exists() and any(folder.iterdir())
    register.claim("passing", pid=os.getpid(), since="now", until="soon").release()
    assert folder.exists() == others  # an empty one goes with the last deployment


def test_another_users_directory_is_refused(runtime: Path) -> None:
    stranger = Path("/")
    if os.getuid() == 0:
        stranger = register.made()
        os.chown(stranger, 4711, -1)
    with pytest.raises(UsageError, match=r"it belongs to user \d+, you are user \d+. Remove it"):
        register.check_directory(stranger)


def test_a_link_in_its_place_is_refused(runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    runtime.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"it is no directory. Remove it, or let XDG_RUNTIME_DIR"):
        register.directory()


def test_a_directory_that_cannot_be_made_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    with pytest.raises(UsageError, match=r"gone/drharness: cannot be made .No such file"):
        register.made()
