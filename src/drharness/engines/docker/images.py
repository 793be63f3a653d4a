"""The images of the docker engine: built once per version of their sources, which are their tag.

The Dockerfiles are in ``containers/`` of this package. What the programs in the containers are
made of, this package and the libraries it needs there, is laid into the build's context by the
controller, so that no build needs a network but for the distribution's packages.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from drharness.engines.docker import daemon
from drharness.errors import CommandFailed, StartupFailed, Unsupported
from drharness.kernel import proc

BASE = "debian:bookworm-slim"
BASE_ENVIRONMENT = "DRHARNESS_BASE_IMAGE"
PLACE = "/opt/drharness"
_PACKAGE = Path(__file__).resolve().parents[2]
_REPOSITORY = "drharness"
_LIBRARIES = ("msgspec", "psycopg[binary]", "dnslib", "filelock")  # of the controller's versions
_PYTHON = "3.11"
_LABEL = "dr.harness.images"
_BUILD_S = 300.0
_Telling = Callable[[str], None]


@dataclass(frozen=True)
class Images:
    """Tags of the images for the VMs and for the DBMS VMs."""

    vm: str
    dbms: str


def sources() -> Path:
    """The Dockerfiles: beside the package in a wheel, in ``containers/`` of a checkout."""
    inside = _PACKAGE / "containers"
    return inside if inside.is_dir() else _PACKAGE.parents[1] / "containers"


def _files() -> Iterator[tuple[str, Path]]:
    for root, top in (("drharness", _PACKAGE), ("containers", sources())):
        for path in sorted(top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{root}/{path.relative_to(top)}", path


def base() -> str:
    """The image that ours are made of: :data:`BASE_ENVIRONMENT`, else Debian's from a registry."""
    return os.environ.get(BASE_ENVIRONMENT) or BASE


def libraries() -> list[str]:
    """The libraries in the images as pip takes them, in the versions that the controller has."""
    return [f"{name}=={metadata.version(name.partition('[')[0])}" for name in _LIBRARIES]


def tag() -> str:
    """Hash of everything that the images are made of."""
    digest = hashlib.sha256(f"{base()} {libraries()} {_PYTHON}".encode())
    for name, path in _files():
        digest.update(f"{name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def names() -> Images:
    """The images of the sources as they are now."""
    version = tag()
    return Images(f"{_REPOSITORY}-vm:{version}", f"{_REPOSITORY}-dbms:{version}")


def missing(client: Any, images: Images) -> list[str]:
    """Those of the images that the daemon does not have."""
    return [name for name in (images.vm, images.dbms) if not client.api.images(name)]


def ensure(client: Any, telling: _Telling = lambda _line: None) -> Images:
    """The images, built if the daemon does not have them.

    :param telling: told each line of progress
    :raises StartupFailed: a build failed; ends with what it said
    """
    images = names()
    if missing(client, images):
        build(client, images, telling)
    return images


def build(client: Any, images: Images, telling: _Telling) -> None:
    """Build both images; layers that did not change are the daemon's from last time."""
    with tempfile.TemporaryDirectory(prefix="drharness-image-") as directory:
        context = Path(directory)
        _lay_out(context, telling)
        arguments = {"BASE": base(), "PYTHON": _PYTHON}
        _build(client, context, "vm", images.vm, arguments, telling)
        plain = f"{images.dbms}-plain"
        _build(client, context, "dbms", plain, {"VM": images.vm}, telling)
    _with_template(client, plain, images.dbms, telling)


def _lay_out(context: Path, telling: _Telling) -> None:
    wanted = libraries()
    telling(f"libraries for Python {_PYTHON}: {', '.join(wanted)}")
    options = ["--only-binary=:all:", "--python-version", _PYTHON, "--no-compile", "--quiet"]
    target = ["--target", str(context / "libraries")]
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    try:
        proc.run([*pip, *options, *target, *wanted], timeout=_BUILD_S)
    except CommandFailed as error:
        way = "pip must reach an index (pip config, PIP_INDEX_URL) when images are built"
        raise Unsupported("images", f"no libraries for them: {error}", way) from error
    shutil.copytree(
        _PACKAGE,
        context / "drharness",
        ignore=shutil.ignore_patterns("__pycache__", "containers"),
    )
    for name in ("vm", "dbms"):
        shutil.copy(sources() / name / "Dockerfile", context / f"{name}.Dockerfile")


def _build(
    client: Any, context: Path, name: str, image: str, arguments: dict[str, str], telling: _Telling
) -> None:
    telling(f"image {image}")
    said: list[str] = []
    stream = client.api.build(
        path=str(context),
        dockerfile=f"{name}.Dockerfile",
        tag=image,
        buildargs=arguments,
        labels={_LABEL: image.partition(":")[2]},
        decode=True,
        rm=True,
        forcerm=True,
    )
    for message in stream:
        line = str(message.get("stream") or message.get("error") or "").rstrip()
        if line:
            said.append(line)
            telling(line)
        if "error" in message:
            raise StartupFailed(f"image {image} was not built:\n" + "\n".join(said[-15:]))


def _with_template(client: Any, plain: str, image: str, telling: _Telling) -> None:
    """Make the database template in a container: a build may not enter user namespaces."""
    telling(f"image {image}: the database template")
    with daemon.saying(f"image {image}: the database template"):
        container = client.containers.create(
            plain,
            entrypoint=["python3", "-m", "drharness.engines.docker.template"],
            cap_add=["SYS_ADMIN"],
            security_opt=["apparmor=unconfined"],
            network_mode="none",
            labels=daemon.labels("images"),
        )
        try:
            container.start()
            status = container.wait(timeout=_BUILD_S)["StatusCode"]
            if status:
                text = container.logs().decode(errors="replace")
                raise StartupFailed(f"image {image}: no template, status {status}:\n{text}")
            name, _, version = image.partition(":")
            keep = 'ENTRYPOINT ["python3", "-m", "drharness.engines.docker.boot"]'
            container.commit(name, version, changes=keep)
        finally:
            container.remove(force=True)
