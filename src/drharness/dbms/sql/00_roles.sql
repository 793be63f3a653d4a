-- Roles of the Configuration Database. configserver: the Configuration Server's account.
-- replicator: the other region's DBMS. observer: reads what the history needs, changes nothing.
CREATE ROLE configserver LOGIN PASSWORD 'configserver';
CREATE ROLE replicator LOGIN REPLICATION PASSWORD 'replicator';
CREATE ROLE observer LOGIN;
GRANT pg_monitor TO observer;
DO $$ BEGIN
    IF current_setting('server_version_num')::int >= 160000 THEN
        GRANT pg_use_reserved_connections TO observer;
    END IF;
END $$;
