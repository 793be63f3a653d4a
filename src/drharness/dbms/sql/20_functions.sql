-- Start a new epoch: its commits have seq >= first_seq. Made once per promotion.
CREATE FUNCTION cfg_begin_epoch(
    new_token text, at_lsn pg_lsn, at_tli bigint, by_plan bigint, OUT first_seq bigint
) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE cfg_commit SET epoch = new_token RETURNING cfg_commit.seq + 1 INTO first_seq;
    INSERT INTO cfg_epoch (token, first_seq, switch_lsn, tli, plan, ordinal)
    SELECT new_token, cfg_begin_epoch.first_seq, at_lsn, at_tli, by_plan,
           coalesce(max(ordinal), 0) + 1 FROM cfg_epoch;
END $$;

-- The current epoch; a database that never had one gets its first, with a token of its own
-- (all copies of one template share a system id).
CREATE FUNCTION cfg_current_epoch(OUT token text) LANGUAGE plpgsql AS $$
BEGIN
    SELECT epoch INTO token FROM cfg_commit FOR UPDATE;
    IF token = '' THEN
        token := left(replace(gen_random_uuid()::text, '-', ''), 8);
        PERFORM cfg_begin_epoch(token, pg_current_wal_insert_lsn(),
            ('x' || lpad(left(pg_walfile_name(pg_current_wal_lsn()), 8), 16, '0'))::bit(64)::bigint, 0);
    END IF;
END $$;

-- One change, in the caller's transaction. The row lock on cfg_commit is the commit order.
-- The same opid again returns what it did the first time. Errors of its own:
-- DR001 key exists, DR002 no such key, DR003 compare failed, DR004 not a list,
-- DR005 opid used for another change, DR006 unknown kind of change.
CREATE FUNCTION cfg_apply(
    in_f text, in_key text, in_val jsonb, in_expected jsonb, in_opid text, in_session text,
    OUT seq bigint, OUT epoch text, OUT val jsonb, OUT dbid bigint, OUT lsn pg_lsn
) LANGUAGE plpgsql AS $$
DECLARE
    old  cfg_object;
    done cfg_hdb_object;
BEGIN
    epoch := cfg_current_epoch();
    lsn := pg_current_wal_insert_lsn();
    SELECT * INTO done FROM cfg_hdb_object h WHERE in_opid <> '' AND h.opid = in_opid;
    IF FOUND THEN
        IF (done.f, done.key) IS DISTINCT FROM (in_f, in_key) OR done.arg IS DISTINCT FROM in_val THEN
            RAISE EXCEPTION 'operation id % was used for another change', in_opid USING ERRCODE = 'DR005';
        END IF;
        seq := done.seq; epoch := done.epoch; val := done.val; dbid := done.dbid;
        RETURN;
    END IF;
    SELECT * INTO old FROM cfg_object o WHERE o.key = in_key;
    IF in_f = 'create' AND old.dbid IS NOT NULL THEN
        RAISE EXCEPTION 'object % exists', in_key USING ERRCODE = 'DR001';
    ELSIF in_f IN ('cas', 'delete') AND old.dbid IS NULL THEN
        RAISE EXCEPTION 'no object %', in_key USING ERRCODE = 'DR002';
    ELSIF in_f = 'cas' AND old.value <> in_expected THEN
        RAISE EXCEPTION 'object % has another value', in_key USING ERRCODE = 'DR003', DETAIL = old.value::text;
    ELSIF in_f = 'append' AND jsonb_typeof(old.value) <> 'array' THEN
        RAISE EXCEPTION 'object % is not a list', in_key USING ERRCODE = 'DR004';
    ELSIF in_f NOT IN ('create', 'write', 'append', 'cas', 'delete') THEN
        RAISE EXCEPTION 'unknown kind of change %', in_f USING ERRCODE = 'DR006';
    END IF;
    UPDATE cfg_commit c SET seq = c.seq + 1 RETURNING c.seq INTO seq;
    dbid := old.dbid;
    IF in_f = 'delete' THEN
        DELETE FROM cfg_object o WHERE o.key = in_key;
    ELSE
        val := CASE WHEN in_f = 'append'
            THEN coalesce(old.value, '[]') || jsonb_build_array(in_val) ELSE in_val END;
        IF dbid IS NULL THEN
            UPDATE cfg_max_dbid m SET value = m.value + 1 RETURNING m.value INTO dbid;
            INSERT INTO cfg_object (dbid, key, value) VALUES (cfg_apply.dbid, in_key, val);
        ELSE
            UPDATE cfg_object o SET value = val WHERE o.key = in_key;
        END IF;
    END IF;
    INSERT INTO cfg_hdb_object (seq, epoch, f, key, arg, val, dbid, opid, session)
    VALUES (cfg_apply.seq, cfg_apply.epoch, in_f, in_key, in_val, cfg_apply.val, cfg_apply.dbid,
            in_opid, in_session);
END $$;

REVOKE ALL ON FUNCTION cfg_begin_epoch, cfg_current_epoch, cfg_apply FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cfg_begin_epoch, cfg_current_epoch, cfg_apply TO configserver;
