-- An index of words, for searches below prefixes with many items.

-- Give an item's terms (see clew_item_index), each behind the number of its namespace, so that a term's entry has the
-- items of one namespace only. Dear (COST), lest anybody makes them for each item instead of asking the index.
CREATE FUNCTION clew_terms_of(of_id bigint, its_words bytea) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 100000 AS $$
DECLARE
    space bigint := of_id >> 32 << 32;
    terms bigint[] := array_fill(0::bigint, ARRAY[length(its_words) / 4]);
BEGIN
    FOR i IN 1 .. length(its_words) / 4 LOOP
        terms[i] := space | ('x' || encode(substr(its_words, 4 * i - 3, 4), 'hex'))::bit(32)::bigint;
    END LOOP;
    RETURN terms;
END $$;

-- What waits to be sorted in is short, for every search reads it.
CREATE INDEX clew_item_index_words ON clew_item_index USING gin (clew_terms_of(id, words))
    WITH (gin_pending_list_limit = 256);
