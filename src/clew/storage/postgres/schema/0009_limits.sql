-- Limits of workflows that hold for all workers together. Times are seconds since the epoch.

-- Workflows whose runs were begun with a limit. Who begins one more locks the row, so that no two are let in at once.
CREATE TABLE clew_limits (
    workflow text PRIMARY KEY
);

-- When runs of those whose rate is limited were begun, as far as it still counts.
CREATE TABLE clew_begun (
    workflow text NOT NULL,
    begun_s  double precision NOT NULL
);

CREATE INDEX clew_begun_last ON clew_begun (workflow, begun_s);

-- Refuse runs that their workflow's limit does not let in now, and take note of those that it does. Called before
-- clew_begin takes their threads. Error: CLW05 the limit is reached; detail: when one more may begin, or empty: once
-- another has ended.
CREATE FUNCTION clew_limit(
    workflows text[], thread_ids text[], concurrencies bigint[], rates bigint[], pers_s double precision[],
    nows_s double precision[], evicts text[]
) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT SET lock_timeout = '30s' SET plan_cache_mode = 'force_generic_plan' AS $$
DECLARE
    dead    text[];
    others  bigint;
    first_s double precision;
BEGIN
    INSERT INTO clew_limits SELECT DISTINCT name FROM unnest(workflows) AS name ORDER BY name ON CONFLICT DO NOTHING;
    PERFORM 1 FROM clew_limits WHERE workflow = ANY (workflows) ORDER BY workflow FOR UPDATE;
    FOR i IN 1 .. cardinality(workflows) LOOP
        IF concurrencies[i] IS NOT NULL THEN
            dead := ARRAY(SELECT json_array_elements_text(evicts[i]::json));
            -- Those before it in the same call are not held yet.
            SELECT count(*) + (SELECT count(*) FROM unnest(workflows[:i - 1]) AS name WHERE name = workflows[i])
                INTO others FROM (SELECT * FROM clew_threads WHERE owner IS NOT NULL OFFSET 0) AS held
                WHERE workflow = workflows[i] AND thread_id <> thread_ids[i] AND until_s > nows_s[i]
                    AND owner <> ALL (dead);
            IF others >= concurrencies[i] THEN
                RAISE EXCEPTION 'the limit is reached' USING ERRCODE = 'CLW05', DETAIL = '';
            END IF;
        END IF;
        IF rates[i] IS NOT NULL THEN
            DELETE FROM clew_begun WHERE workflow = workflows[i] AND begun_s <= nows_s[i] - pers_s[i];
            -- The first of so many: when it counts no more, another one may begin.
            SELECT begun_s INTO first_s FROM clew_begun WHERE workflow = workflows[i]
                ORDER BY begun_s DESC LIMIT 1 OFFSET rates[i] - 1;
            IF FOUND THEN
                RAISE EXCEPTION 'the limit is reached' USING ERRCODE = 'CLW05', DETAIL = (first_s + pers_s[i])::text;
            END IF;
            INSERT INTO clew_begun VALUES (workflows[i], nows_s[i]);
        END IF;
    END LOOP;
END $$;
