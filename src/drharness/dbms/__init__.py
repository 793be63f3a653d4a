"""The Configuration Database on PostgreSQL: template, settings, server operations, observer, store.

::

    initialization scripts ─▶ template (once per host) ─▶ provision in a DBMS VM ─▶ server
    Configuration Server ─▶ store ─▶ server ◀─ observer ─▶ history
"""
