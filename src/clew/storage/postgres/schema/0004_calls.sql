-- What writers do all the time, each in one call for any number of them: an argument is a column, a place in all of
-- them one row. Errors: CLW01 the lease was taken by another writer; CLW02 what the caller saw has changed; CLW03 another
-- owner, named by the detail, holds the thread or comes first.
--
-- The plans are made once a session (force_generic_plan): planning takes longer than carrying out.

CREATE FUNCTION clew_hold(threads bigint[], epochs bigint[])
RETURNS TABLE (thread bigint, asked text)
LANGUAGE plpgsql SET search_path FROM CURRENT SET lock_timeout = '30s' SET plan_cache_mode = 'force_generic_plan' AS $$
#variable_conflict use_column
DECLARE
    last_epoch bigint;
BEGIN
    FOR i IN 1 .. cardinality(threads) LOOP
        CONTINUE WHEN clew_hold.thread = threads[i] AND last_epoch = epochs[i];
        -- Locked, so that nobody takes the thread between this look and the commit.
        SELECT t.asked INTO clew_hold.asked FROM clew_threads t WHERE t.id = threads[i] AND t.epoch = epochs[i] FOR SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the lease was taken' USING ERRCODE = 'CLW01';
        END IF;
        clew_hold.thread := threads[i];
        last_epoch := epochs[i];
        RETURN NEXT;
    END LOOP;
END $$;

CREATE FUNCTION clew_renew(threads bigint[], epochs bigint[], untils_s double precision[]) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT SET lock_timeout = '30s' SET plan_cache_mode = 'force_generic_plan' AS $$
BEGIN
    FOR i IN 1 .. cardinality(threads) LOOP
        UPDATE clew_threads SET until_s = untils_s[i] WHERE id = threads[i] AND epoch = epochs[i];
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the lease was taken' USING ERRCODE = 'CLW01';
        END IF;
    END LOOP;
END $$;

CREATE FUNCTION clew_append(
    threads bigint[], epochs bigint[], runs bigint[], keys text[], names text[], fingerprints bytea[],
    arguments text[], states text[], outcomes bytea[], attempts integer[], started_s double precision[],
    ended_s double precision[]
) RETURNS TABLE (thread bigint, asked text)
LANGUAGE plpgsql SET search_path FROM CURRENT SET lock_timeout = '30s' SET plan_cache_mode = 'force_generic_plan' AS $$
#variable_conflict use_column
DECLARE
    last_epoch bigint;
BEGIN
    FOR i IN 1 .. cardinality(threads) LOOP
        CONTINUE WHEN clew_append.thread = threads[i] AND last_epoch = epochs[i];
        SELECT t.asked INTO clew_append.asked FROM clew_threads t
            WHERE t.id = threads[i] AND t.epoch = epochs[i] FOR SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the lease was taken' USING ERRCODE = 'CLW01';
        END IF;
        clew_append.thread := threads[i];
        last_epoch := epochs[i];
        RETURN NEXT;
    END LOOP;
    INSERT INTO clew_records (
        run, key, name, fingerprint, arguments, state, outcome, attempts, started_s, ended_s
    ) SELECT
        unnest(runs), unnest(keys), unnest(names), unnest(fingerprints), unnest(clew_append.arguments), unnest(states),
        unnest(outcomes), unnest(clew_append.attempts), unnest(clew_append.started_s), unnest(clew_append.ended_s);
END $$;

-- The same for one record, which most are: without arrays it takes a quarter less.
CREATE FUNCTION clew_append_one(
    of_thread bigint, of_epoch bigint, run bigint, key text, name text, fingerprint bytea, arguments text, state text,
    outcome bytea, attempts integer, started_s double precision, ended_s double precision
) RETURNS text
LANGUAGE plpgsql SET search_path FROM CURRENT SET lock_timeout = '30s' SET plan_cache_mode = 'force_generic_plan' AS $$
DECLARE
    is_asked text;
BEGIN
    SELECT asked INTO is_asked FROM clew_threads WHERE id = of_thread AND epoch = of_epoch FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lease was taken' USING ERRCODE = 'CLW01';
    END IF;
    INSERT INTO clew_records VALUES (
        DEFAULT, run, key, name, fingerprint, arguments, state, outcome, attempts, started_s, ended_s
    );
    RETURN is_asked;
END $$;

CREATE FUNCTION clew_keep_pieces(threads bigint[], names text[], befores text[], counts integer[], bodies bytea[])
RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT SET lock_timeout = '30s' SET plan_cache_mode = 'force_generic_plan' AS $$
DECLARE
    new_id bigint;
    last   record;
BEGIN
    FOR i IN 1 .. cardinality(threads) LOOP
        new_id := nextval(pg_get_serial_sequence('clew_pieces', 'id'));
        SELECT chain, place + 1 AS place,
            EXISTS (SELECT 1 FROM clew_pieces n WHERE n.chain = p.chain AND n.place = p.place + 1) AS is_followed
            INTO last FROM clew_pieces p WHERE name = befores[i];
        IF NOT FOUND AND befores[i] IS NOT NULL THEN
            RAISE EXCEPTION 'a piece before is gone' USING ERRCODE = 'CLW02';
        END IF;
        IF last.is_followed IS NOT FALSE THEN
            SELECT new_id AS chain, 0 AS place INTO last;
        END IF;
        INSERT INTO clew_pieces (id, name, thread, chain, place, before, count, body)
            VALUES (new_id, names[i], threads[i], last.chain, last.place, befores[i], counts[i], bodies[i]);
    END LOOP;
END $$;

CREATE FUNCTION clew_end(
    threads bigint[], epochs bigint[], runs bigint[], statuses text[], results bytea[], saved bytea[], errors text[],
    questions bytea[], ended_s double precision[], due_s double precision[]
) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT SET lock_timeout = '30s' SET plan_cache_mode = 'force_generic_plan' AS $$
#variable_conflict use_column
BEGIN
    FOR i IN 1 .. cardinality(threads) LOOP
        UPDATE clew_threads SET owner = NULL, until_s = 0, due_s = clew_end.due_s[i], changed_s = clew_end.ended_s[i]
            WHERE id = threads[i] AND epoch = epochs[i];
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the lease was taken' USING ERRCODE = 'CLW01';
        END IF;
        UPDATE clew_runs SET status = statuses[i], value = results[i], saved = clew_end.saved[i], error = errors[i],
            questions = clew_end.questions[i], ended_s = clew_end.ended_s[i]
            WHERE id = runs[i];
        PERFORM clew_tell_end(threads[i], runs[i], statuses[i]);
    END LOOP;
END $$;

-- Lock a thread, made if it is missing, that nobody holds and whose head stands as the caller saw it.
CREATE FUNCTION clew_claim(
    for_thread text, of_workflow text, head_id text, head_status text, head_attempts integer, now_s double precision,
    evicts text[]
) RETURNS bigint
LANGUAGE plpgsql SET search_path FROM CURRENT SET lock_timeout = '30s' SET plan_cache_mode = 'force_generic_plan' AS $$
DECLARE
    found_thread record;
    found_head   record;
BEGIN
    LOOP
        SELECT id, owner, until_s, head INTO found_thread FROM clew_threads
            WHERE thread_id = for_thread AND workflow = of_workflow FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        -- An epoch above all that a deleted thread of the same name can have reached.
        INSERT INTO clew_threads (thread_id, workflow, epoch, changed_s)
            VALUES (for_thread, of_workflow, trunc(now_s * 1000000), now_s) ON CONFLICT DO NOTHING;
    END LOOP;
    IF found_thread.owner IS NOT NULL AND found_thread.until_s > now_s AND found_thread.owner <> ALL (evicts) THEN
        RAISE EXCEPTION 'another run holds the thread' USING ERRCODE = 'CLW03', DETAIL = found_thread.owner;
    END IF;
    -- Only now: before the lock was given, the head may have been another one.
    SELECT run_id, status, attempts INTO found_head FROM clew_runs WHERE id = found_thread.head;
    IF (found_head.run_id, found_head.status, found_head.attempts)
        IS DISTINCT FROM (head_id, head_status, head_attempts) THEN
        RAISE EXCEPTION 'the head has changed' USING ERRCODE = 'CLW02';
    END IF;
    RETURN found_thread.id;
END $$;

-- Refuse a new run before which somebody else comes.
CREATE FUNCTION clew_check_first(
    of_thread bigint, by_owner text, served text, now_s double precision, evicts text[]
) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT SET plan_cache_mode = 'force_generic_plan' AS $$
DECLARE
    first record;
    rank  bigint := 9223372036854775807;
BEGIN
    IF served IS NOT NULL THEN
        -- A caller comes with the first place of its process.
        SELECT least(place.id, (
            SELECT min(id) FROM clew_queue own
                WHERE own.thread = of_thread AND own.owner = place.owner AND own.until_s > now_s
        )) INTO rank FROM clew_queue place WHERE place.name = served;
    END IF;
    SELECT owner INTO first FROM clew_queue
        WHERE thread = of_thread AND owner IS DISTINCT FROM by_owner AND (owner IS NULL OR owner <> ALL (evicts))
            AND id < rank
            AND CASE WHEN owner IS NULL THEN due_s <= now_s ELSE until_s > now_s END
        ORDER BY id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'others wait for the thread' USING ERRCODE = 'CLW03', DETAIL = coalesce(first.owner, '');
    END IF;
END $$;

-- Remove the place that a run serves, and those of callers that are gone.
CREATE FUNCTION clew_leave_queue(of_thread bigint, served text, now_s double precision, evicts text[])
RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT SET plan_cache_mode = 'force_generic_plan' AS $$
BEGIN
    DELETE FROM clew_queue WHERE name = served AND thread = of_thread;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the place is gone' USING ERRCODE = 'CLW02', DETAIL = served;
    END IF;
    DELETE FROM clew_queue
        WHERE thread = of_thread AND owner IS NOT NULL AND (until_s <= now_s OR owner = ANY (evicts));
END $$;

CREATE FUNCTION clew_begin(
    thread_ids text[], workflows text[], head_ids text[], head_statuses text[], head_attempts integer[], owners text[],
    untils_s double precision[], nows_s double precision[], evicts text[], places text[],
    run_ids text[], numbers integer[], sources text[], parents text[], previouses text[], steps integer[],
    statuses text[], inputs bytea[], results bytea[], saveds bytea[], errors text[], questions bytea[],
    metadatas bytea[], creates_s double precision[], ends_s double precision[], attempts integer[], crashes integer[]
) RETURNS TABLE (begun text, thread bigint, run bigint, epoch bigint)
LANGUAGE plpgsql SET search_path FROM CURRENT SET lock_timeout = '30s' SET plan_cache_mode = 'force_generic_plan' AS $$
#variable_conflict use_column
DECLARE
    dead text[];
BEGIN
    FOR i IN 1 .. cardinality(thread_ids) LOOP
        dead := ARRAY(SELECT json_array_elements_text(evicts[i]::json));
        clew_begin.thread := clew_claim(
            thread_ids[i], workflows[i], head_ids[i], head_statuses[i], head_attempts[i], nows_s[i], dead
        );
        IF head_ids[i] IS DISTINCT FROM run_ids[i] THEN
            PERFORM clew_check_first(clew_begin.thread, owners[i], places[i], nows_s[i], dead);
            IF previouses[i] <> coalesce(head_ids[i], '') AND NOT EXISTS (
                SELECT 1 FROM clew_runs WHERE thread = clew_begin.thread AND run_id = previouses[i]
            ) THEN
                RAISE EXCEPTION 'the run before was removed' USING ERRCODE = 'CLW02';
            END IF;
        END IF;
        IF places[i] IS NOT NULL THEN
            PERFORM clew_leave_queue(clew_begin.thread, places[i], nows_s[i], dead);
        END IF;
        INSERT INTO clew_runs (
            run_id, thread, number, source, parent, previous, step, status, input, value, saved, error, questions,
            metadata, created_s, ended_s, attempts, crashes
        ) VALUES (
            run_ids[i], clew_begin.thread, numbers[i], sources[i], parents[i], previouses[i], steps[i], statuses[i],
            inputs[i], results[i], saveds[i], errors[i], clew_begin.questions[i], metadatas[i], creates_s[i], ends_s[i],
            clew_begin.attempts[i], clew_begin.crashes[i]
        ) ON CONFLICT (run_id) DO UPDATE SET
            status = excluded.status, questions = excluded.questions, error = excluded.error,
            attempts = excluded.attempts, crashes = excluded.crashes, ended_s = excluded.ended_s
        RETURNING id INTO clew_begin.run;
        UPDATE clew_threads SET head = clew_begin.run, epoch = epoch + 1, owner = owners[i], until_s = untils_s[i],
            asked = CASE WHEN (head_ids[i], head_statuses[i]) = (run_ids[i], 'running') AND asked = 'cancel' THEN asked END,
            due_s = NULL, changed_s = nows_s[i]
            WHERE id = clew_begin.thread RETURNING epoch INTO clew_begin.epoch;
        clew_begin.begun := run_ids[i];
        RETURN NEXT;
    END LOOP;
END $$;

-- Take places in the queues of threads, made if they are missing; is_kept: 0 where a run or a place has that name. For
-- what is to wait workers look themselves: a job of a later time would stand in the way of one for now.
CREATE FUNCTION clew_enqueue(
    thread_ids text[], workflows text[], names text[], owners text[], untils_s double precision[], acts text[],
    inputs bytea[], configs bytea[], priorities integer[], dues_s double precision[], creates_s double precision[]
) RETURNS TABLE (name text, is_kept integer)
LANGUAGE plpgsql SET search_path FROM CURRENT SET lock_timeout = '30s' SET plan_cache_mode = 'force_generic_plan' AS $$
#variable_conflict use_column
DECLARE
    of_thread bigint;
BEGIN
    FOR i IN 1 .. cardinality(names) LOOP
        clew_enqueue.name := names[i];
        clew_enqueue.is_kept := 0;
        IF NOT EXISTS (SELECT 1 FROM clew_runs WHERE run_id = names[i]) THEN
            LOOP
                SELECT id INTO of_thread FROM clew_threads
                    WHERE thread_id = thread_ids[i] AND workflow = workflows[i] FOR NO KEY UPDATE;
                EXIT WHEN FOUND;
                INSERT INTO clew_threads (thread_id, workflow, epoch, changed_s)
                    VALUES (thread_ids[i], workflows[i], trunc(creates_s[i] * 1000000), creates_s[i])
                    ON CONFLICT DO NOTHING;
            END LOOP;
            INSERT INTO clew_queue (
                thread, name, owner, until_s, act, input, config, priority, due_s, created_s
            ) VALUES (
                of_thread, names[i], owners[i], untils_s[i], acts[i], inputs[i], configs[i], priorities[i], dues_s[i],
                creates_s[i]
            ) ON CONFLICT ON CONSTRAINT clew_queue_name_key DO NOTHING;
            IF FOUND THEN
                clew_enqueue.is_kept := 1;
                PERFORM clew_wake(of_thread) WHERE owners[i] IS NULL AND dues_s[i] <= creates_s[i];
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- Put records at the end of the journals of runs that are kept, in place of those with the same keys.
CREATE FUNCTION clew_put_records(
    run_ids text[], keys text[], names text[], fingerprints bytea[], arguments text[], states text[],
    outcomes bytea[], attempts integer[], started_s double precision[], ended_s double precision[]
) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    of_run bigint;
BEGIN
    FOR i IN 1 .. cardinality(run_ids) LOOP
        SELECT id INTO of_run FROM clew_runs WHERE run_id = run_ids[i];
        DELETE FROM clew_records WHERE run = of_run AND key = keys[i];
        INSERT INTO clew_records (
            run, key, name, fingerprint, arguments, state, outcome, attempts, started_s, ended_s
        ) VALUES (
            of_run, keys[i], names[i], fingerprints[i], clew_put_records.arguments[i], states[i], outcomes[i],
            clew_put_records.attempts[i], clew_put_records.started_s[i], clew_put_records.ended_s[i]
        );
    END LOOP;
END $$;

CREATE FUNCTION clew_add_events(threads bigint[], epochs bigint[], runs bigint[], bodies bytea[])
RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT SET lock_timeout = '30s' SET plan_cache_mode = 'force_generic_plan' AS $$
BEGIN
    FOR i IN 1 .. cardinality(threads) LOOP
        IF i = 1 OR (threads[i], epochs[i]) <> (threads[i - 1], epochs[i - 1]) THEN
            -- Locked against other events, too, for they are numbered. The last ones of a run may come late.
            PERFORM 1 FROM clew_threads WHERE id = threads[i] AND (epoch = epochs[i] OR head <> runs[i])
                FOR NO KEY UPDATE;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'the lease was taken' USING ERRCODE = 'CLW01';
            END IF;
            PERFORM clew_tell(threads[i]);
        END IF;
        INSERT INTO clew_events (run, number, body)
            SELECT runs[i], coalesce(max(number), 0) + 1, bodies[i] FROM clew_events WHERE run = runs[i];
    END LOOP;
END $$;

-- Read runs: those named, or the newest of their threads. token: tells the rows apart.
CREATE FUNCTION clew_load(tokens bigint[], thread_ids text[], workflows text[], run_ids text[])
RETURNS TABLE (
    token bigint, run_id text, number integer, source text, parent text, previous text, step integer, status text,
    input bytea, value bytea, saved bytea, error text, questions bytea, metadata bytea, created_s double precision,
    ended_s double precision, attempts integer, crashes integer
)
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET plan_cache_mode = 'force_generic_plan' AS $$
#variable_conflict use_column
BEGIN
    FOR i IN 1 .. cardinality(tokens) LOOP
        RETURN QUERY SELECT
            tokens[i], r.run_id, r.number, r.source, r.parent, r.previous, r.step, r.status, r.input, r.value, r.saved,
            r.error, r.questions, r.metadata, r.created_s, r.ended_s, r.attempts, r.crashes
        FROM clew_threads t JOIN clew_runs r ON r.thread = t.id AND r.id = CASE
            WHEN run_ids[i] IS NULL THEN t.head ELSE (SELECT n.id FROM clew_runs n WHERE n.run_id = run_ids[i]) END
        WHERE t.thread_id = thread_ids[i] AND t.workflow = workflows[i];
    END LOOP;
END $$;
