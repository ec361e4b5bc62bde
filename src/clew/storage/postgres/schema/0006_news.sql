-- Telling other processes. What is told may be lost; the tables hold what is true.

-- A name that is short enough for a channel, and the same in every process.
CREATE FUNCTION clew_name_of(VARIADIC parts text[]) RETURNS text LANGUAGE sql IMMUTABLE
RETURN 'clew_' || left(encode(sha256(convert_to(array_to_string(parts, E'\n'), 'UTF8')), 'hex'), 32);

-- Tell all who follow a thread to look at it.
CREATE FUNCTION clew_tell(of_thread bigint) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT SET plan_cache_mode = 'force_generic_plan' AS $$
BEGIN
    PERFORM pg_notify(clew_name_of(current_schema()::text), clew_name_of(workflow, thread_id))
        FROM clew_threads WHERE id = of_thread;
END $$;

-- Tell of the end of a run: those who follow it, if it was submitted, and those who wait for its thread. Other workers
-- are woken if it is to go on elsewhere, if no worker ran it (one that did looks for more by itself), or if runs of its
-- workflow may have waited for it to end.
CREATE FUNCTION clew_tell_end(of_thread bigint, of_run bigint, status text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT SET plan_cache_mode = 'force_generic_plan' AS $$
DECLARE
    was_submitted boolean := EXISTS (SELECT 1 FROM clew_records WHERE run = of_run AND key = ':call');
    is_waited_for boolean := EXISTS (SELECT 1 FROM clew_queue WHERE thread = of_thread);
    has_limit     boolean := EXISTS (
        SELECT 1 FROM clew_limits WHERE workflow = (SELECT t.workflow FROM clew_threads t WHERE t.id = of_thread)
    );
BEGIN
    IF was_submitted OR is_waited_for THEN
        PERFORM clew_tell(of_thread);
    END IF;
    IF status = 'running' OR has_limit OR (is_waited_for AND NOT was_submitted) THEN
        PERFORM clew_wake(of_thread);
    END IF;
END $$;
