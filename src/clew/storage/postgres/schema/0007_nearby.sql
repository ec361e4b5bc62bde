-- Vectors once more, for searches by meaning below prefixes with many items: as the extension pgvector compares them.
-- Without the extension, or the right to make it, there is no such table, and searches read what is in clew_item_index.

-- Keep the halves of an item's vectors instead of those it had, and say whether they are kept. its_halves: a line for
-- each vector, as pgvector writes one. It is called by functions alone, see clew_embedder. This one stands for a database without the table.
CREATE FUNCTION clew_keep_nearby(of_id bigint, of_model integer, its_halves text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    RETURN false;
END $$;

-- Let vectors be kept in the table as pgvector's type `kept_as`, halfvec or vector.
CREATE FUNCTION clew_make_keep_nearby(place text, kept_as text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $make$
BEGIN
    EXECUTE format($keep$
        CREATE OR REPLACE FUNCTION clew_keep_nearby(of_id bigint, of_model integer, its_halves text) RETURNS boolean
        LANGUAGE plpgsql AS $$
        BEGIN
            DELETE FROM clew_item_nearby WHERE id = of_id;
            INSERT INTO clew_item_nearby (id, model, dims, embedding)
                SELECT of_id, of_model, %1$s.vector_dims(half::%1$s.%2$s), half::%1$s.%2$s
                FROM string_to_table(its_halves, E'\n') AS half;
            RETURN its_halves IS NOT NULL;
        END $$
    $keep$, place, kept_as);
END $make$;

-- Make the table, where there is none and the extension is there or may be made; say whether there is one now.
-- halfvec, unless clew_keep_nearby_as says otherwise: what is near is ranked by the vectors themselves afterwards, so that
-- half of the bits do, and more than 2,000 dimensions can have an index.
CREATE FUNCTION clew_make_nearby() RETURNS boolean
LANGUAGE plpgsql SET search_path FROM CURRENT AS $make$
DECLARE
    place text;
BEGIN
    PERFORM pg_advisory_xact_lock('clew_item_index'::regclass::oid::bigint);
    IF to_regclass('clew_item_nearby') IS NOT NULL THEN
        RETURN true;
    END IF;
    BEGIN
        -- Not in our schema, if it can be helped: it belongs to the whole database.
        EXECUTE 'CREATE EXTENSION IF NOT EXISTS vector'
            || CASE WHEN to_regnamespace('public') IS NULL THEN '' ELSE ' SCHEMA public' END;
    EXCEPTION WHEN OTHERS THEN
        RAISE NOTICE 'without pgvector, searches by meaning read all vectors of a prefix: %', SQLERRM;
    END;
    SELECT quote_ident(n.nspname) INTO place FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
        WHERE e.extname = 'vector' AND (string_to_array(e.extversion, '.')::integer[])[1:2] >= ARRAY[0, 8];
    IF place IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE clew_item_nearby (
        id        bigint NOT NULL,
        namespace integer NOT NULL GENERATED ALWAYS AS ((id >> 32)::integer) STORED,
        model     integer NOT NULL,
        dims      integer NOT NULL,
        embedding %s.halfvec NOT NULL
    )', place);
    ALTER TABLE clew_item_nearby ALTER COLUMN embedding SET STORAGE MAIN;  -- beside the rest, if a page has room
    CREATE INDEX clew_item_nearby_id ON clew_item_nearby (id);
    CREATE INDEX clew_item_nearby_namespace ON clew_item_nearby (namespace);
    CREATE INDEX clew_item_index_far ON clew_item_index (namespace) WHERE model IS NOT NULL AND NOT is_near;
    PERFORM clew_make_keep_nearby(place, 'halfvec');
    CREATE FUNCTION clew_forget_nearby() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
    BEGIN
        DELETE FROM clew_item_nearby WHERE id IN (SELECT id FROM gone);
        RETURN NULL;
    END $$;
    CREATE TRIGGER clew_item_far AFTER DELETE ON clew_item_index REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION clew_forget_nearby();
    RETURN true;
END $make$;

-- Keep the vectors that are there, and those to come, as another of pgvector's types. Its indexes go: they are made anew.
CREATE FUNCTION clew_keep_nearby_as(wanted text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    kept  record;
    index regclass;
BEGIN
    LOCK TABLE clew_item_nearby IN ACCESS EXCLUSIVE MODE;
    SELECT t.typname AS type, quote_ident(n.nspname) AS place INTO kept
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE a.attrelid = 'clew_item_nearby'::regclass AND a.attname = 'embedding';
    IF kept.type = wanted THEN
        RETURN;
    END IF;
    FOR index IN SELECT i.indexrelid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        JOIN pg_am m ON m.oid = c.relam WHERE i.indrelid = 'clew_item_nearby'::regclass AND m.amname = 'hnsw' LOOP
        EXECUTE format('DROP INDEX %s', index);
    END LOOP;
    EXECUTE format(
        'ALTER TABLE clew_item_nearby ALTER COLUMN embedding TYPE %1$s.%2$I USING embedding::%1$s.%2$I', kept.place, wanted
    );
    PERFORM clew_make_keep_nearby(kept.place, wanted);
END $$;

SELECT clew_make_nearby();
