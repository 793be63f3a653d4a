-- Objects of the Configuration Database.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO configserver, observer;

-- Every configuration object: its path, its value, an id that is never issued twice.
CREATE TABLE cfg_object (
    dbid  bigint PRIMARY KEY,
    key   text NOT NULL UNIQUE,
    value jsonb NOT NULL
);

-- The highest id issued. A row, not a sequence: a sequence may repeat numbers after a failover.
CREATE TABLE cfg_max_dbid (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    value bigint NOT NULL
);
INSERT INTO cfg_max_dbid (value) VALUES (100);

-- The commit order. Every change locks this row first and keeps it until its commit is done.
CREATE TABLE cfg_commit (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    seq   bigint NOT NULL,
    epoch text NOT NULL
);
INSERT INTO cfg_commit (seq, epoch) VALUES (0, '');

-- Periods of one writable database. plan: the procedure run that promoted it (0: none did).
CREATE TABLE cfg_epoch (
    token      text PRIMARY KEY CHECK (token <> ''),
    first_seq  bigint NOT NULL,
    switch_lsn pg_lsn NOT NULL,
    tli        bigint NOT NULL,
    plan       bigint NOT NULL,
    ordinal    bigint NOT NULL UNIQUE,
    created    timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- History log: one row per change. arg is the value given, val the object's value after the change.
CREATE TABLE cfg_hdb_object (
    seq          bigint PRIMARY KEY,
    epoch        text NOT NULL,
    f            text NOT NULL,
    key          text NOT NULL,
    arg          jsonb,
    val          jsonb,
    dbid         bigint NOT NULL,
    opid         text NOT NULL,
    session      text NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX cfg_hdb_object_opid ON cfg_hdb_object (opid) WHERE opid <> '';

-- History log: sessions of clients and the last event each was sent.
CREATE TABLE cfg_hdb_session (
    session  text PRIMARY KEY,
    client   text NOT NULL,
    seq      bigint NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

GRANT SELECT, INSERT, UPDATE, DELETE ON
    cfg_object, cfg_max_dbid, cfg_commit, cfg_epoch, cfg_hdb_object, cfg_hdb_session TO configserver;
GRANT SELECT ON cfg_commit, cfg_epoch TO observer;
