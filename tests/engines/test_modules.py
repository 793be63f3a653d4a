"""Which files a replaced component takes along into a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness.engines.docker import modules
from drharness.errors import UsageError


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that modules are imported from."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_module_in_no_package_goes_alone(place: Path) -> None:
    (place / "slow_proxy.py").write_text("A = 1\n")
    (place / "other.py").write_text("B = 2\n")
    assert modules.files(["slow_proxy:Proxy"]) == {f"{modules.PLACE}/slow_proxy.py": "A = 1\n"}


def test_a_module_in_a_package_takes_what_is_beside_it(place: Path) -> None:
    inner = place / "acme" / "proxies"
    inner.mkdir(parents=True)
    (place / "acme" / "__init__.py").write_text("")
    (place / "acme" / "unrelated.py").write_text("")
    for name in ("__init__", "slow", "helpers"):
        (inner / f"{name}.py").write_text(f"# {name}\n")
    found = modules.files(["acme.proxies.slow:Proxy", "acme.proxies.slow:Other"])
    names = ("__init__.py", *(f"proxies/{n}.py" for n in ("__init__", "helpers", "slow")))
    assert found.keys() == {f"{modules.PLACE}/acme/{name}" for name in names}
    assert found[f"{modules.PLACE}/acme/proxies/slow.py"] == "# slow\n"


def test_what_the_image_has_stays_there() -> None:
    assert modules.files(["drharness.selftest.components:eager"]) == {}


def test_a_module_without_a_source_is_named() -> None:
    with pytest.raises(UsageError, match=r"'no\.such\.module': expected a module with a source"):
        modules.files(["no.such.module:Proxy"])
