"""The servers of ``tests/dbms``, for facts about PostgreSQL itself."""

from __future__ import annotations

from tests.dbms.conftest import async_pair as async_pair
from tests.dbms.conftest import primary as primary
from tests.dbms.conftest import provision as provision
from tests.dbms.conftest import short_dir as short_dir
from tests.dbms.conftest import sync_pair as sync_pair
from tests.dbms.conftest import template_directory as template_directory
