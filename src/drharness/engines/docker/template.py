"""In a container of the DBMS image, once: make the database template that its VMs copy."""

from __future__ import annotations

import os
from pathlib import Path

from drharness.dbms import binaries, template

PLACE = "/opt/drharness/database"


def main() -> None:
    """Build it, and give the programs and the template names that don't depend on versions."""
    found = binaries.find()
    place = template.ensure(found, cache=Path(f"{PLACE}/templates"))
    os.symlink(place, f"{PLACE}/template")
    os.symlink(found.directory, f"{PLACE}/bin")


if __name__ == "__main__":
    main()
