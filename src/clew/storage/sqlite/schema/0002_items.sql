-- Long-term memory. Times are microseconds since 1970 UTC.

-- A namespace that holds items, or old versions of them. path: its labels as bytes that sort like them, every prefix a
-- range (see clew.store.namespaces). next_sequence: above the numbers of all items that were deleted, since an item's
-- number is never used again.
CREATE TABLE clew_namespaces (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path BLOB NOT NULL UNIQUE,
    next_sequence INTEGER NOT NULL
) STRICT;

-- id is namespace << 32 | sequence: the items of a namespace lie side by side, in the order of writing.
CREATE TABLE clew_items (
    id INTEGER PRIMARY KEY,
    namespace INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    ttl INTEGER,
    expires_at INTEGER,
    version INTEGER NOT NULL,
    fields TEXT,
    run_id TEXT,                            -- who wrote it, where a run did
    thread_id TEXT,
    UNIQUE (namespace, key)
) STRICT;

CREATE INDEX clew_items_expiring ON clew_items (expires_at) WHERE expires_at IS NOT NULL;

-- Newest first: of all items, and of one namespace.
CREATE INDEX clew_items_newest ON clew_items (updated_at);
CREATE INDEX clew_items_newest_in ON clew_items (namespace, updated_at);

-- Fields of values that were declared for filters (path: as JSON paths are written), and the items by what they have
-- there, short values alone. Kept by triggers, so that no program that writes to the file can leave an item out. (They
-- name the value first: SQLite compares whole rows as it would compare their first columns, and finds them in an index
-- only if these, like the index, take the values as they are.)
CREATE TABLE clew_filter_fields (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE clew_item_fields (
    field INTEGER NOT NULL,
    value ANY NOT NULL,
    namespace INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (field, value, namespace, updated_at, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX clew_item_fields_newest ON clew_item_fields (field, value, updated_at, id);

CREATE VIEW clew_items_by_field AS
SELECT f.id AS field, json_extract(i.value, f.path) AS value, i.namespace, i.updated_at, i.id
FROM clew_filter_fields f CROSS JOIN clew_items i
WHERE json_type(i.value, f.path) IN ('integer', 'real', 'true', 'false')
OR json_type(i.value, f.path) = 'text' AND length(json_extract(i.value, f.path)) <= 256;

CREATE TRIGGER clew_item_put AFTER INSERT ON clew_items WHEN EXISTS (SELECT 1 FROM clew_filter_fields) BEGIN
    INSERT INTO clew_item_fields SELECT * FROM clew_items_by_field WHERE id = new.id;
END;

CREATE TRIGGER clew_item_replacing BEFORE UPDATE OF value, updated_at ON clew_items
WHEN EXISTS (SELECT 1 FROM clew_filter_fields) BEGIN
    DELETE FROM clew_item_fields WHERE (value, field, namespace, updated_at, id) IN (
        SELECT value, field, namespace, updated_at, id FROM clew_items_by_field WHERE id = old.id);
END;

CREATE TRIGGER clew_item_replaced AFTER UPDATE OF value, updated_at ON clew_items
WHEN EXISTS (SELECT 1 FROM clew_filter_fields) BEGIN
    INSERT INTO clew_item_fields SELECT * FROM clew_items_by_field WHERE id = new.id;
END;

CREATE TRIGGER clew_item_removing BEFORE DELETE ON clew_items WHEN EXISTS (SELECT 1 FROM clew_filter_fields) BEGIN
    DELETE FROM clew_item_fields WHERE (value, field, namespace, updated_at, id) IN (
        SELECT value, field, namespace, updated_at, id FROM clew_items_by_field WHERE id = old.id);
END;

-- Values that were replaced, deleted or expired. value: NULL in the row of version 0, which stands for all versions
-- before those that are kept. They lie in the order in which they ended, about: what had expired comes later.
CREATE TABLE clew_item_versions (
    id INTEGER PRIMARY KEY,
    namespace INTEGER NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    value TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    fields TEXT,
    run_id TEXT,
    thread_id TEXT,
    ended_at INTEGER NOT NULL,
    ended TEXT NOT NULL CHECK (ended IN ('replaced', 'deleted', 'expired')),
    ended_run_id TEXT,
    ended_thread_id TEXT,
    UNIQUE (namespace, key, version)
) STRICT;

-- What searches by a query read. words: 32-bit hashes of the item's terms; marks: its short fields; model: which
-- embedder made its vectors; codes: their signs, one bit each.
CREATE TABLE clew_item_index (
    id INTEGER PRIMARY KEY,
    words BLOB NOT NULL,
    marks BLOB NOT NULL,
    model INTEGER,
    codes BLOB
) STRICT;

-- What clew_item_index has of items whose ids differ in their last six bits alone, side by side, for searches that read
-- a whole namespace. id: theirs, without these bits; heads: five numbers of each item (see clew.store.slabs), the others
-- item by item; rounded: the vectors in a quarter of their bytes. A pack is removed when one of its rows changes.
CREATE TABLE clew_item_packs (
    id INTEGER PRIMARY KEY,
    heads BLOB NOT NULL,
    terms BLOB NOT NULL,
    marks BLOB NOT NULL,
    codes BLOB NOT NULL,
    rounded BLOB NOT NULL
) STRICT;

-- The vectors, float32, one after another, and 16 bytes for each embedded text. Apart from the codes, which are a tenth
-- of the pages to read.
CREATE TABLE clew_item_vectors (
    id INTEGER PRIMARY KEY,
    hashes BLOB NOT NULL,
    vectors BLOB NOT NULL
) STRICT;

-- Which items were indexed anew or are gone, in the order of the changes: what a search has kept of an earlier state is
-- brought up to date by the rows that are named here since. The last 16,384 changes, and some, stay.
CREATE TABLE clew_item_changes (
    number INTEGER PRIMARY KEY,
    id INTEGER NOT NULL
) STRICT;

CREATE TRIGGER clew_item_indexed AFTER INSERT ON clew_item_index BEGIN
    INSERT INTO clew_item_changes (id) VALUES (new.id);
    DELETE FROM clew_item_packs WHERE id = new.id >> 6;
END;

CREATE TRIGGER clew_item_indexed_anew AFTER UPDATE ON clew_item_index BEGIN
    INSERT INTO clew_item_changes (id) VALUES (new.id);
    DELETE FROM clew_item_packs WHERE id = new.id >> 6;
END;

CREATE TRIGGER clew_item_gone AFTER DELETE ON clew_item_index BEGIN
    INSERT INTO clew_item_changes (id) VALUES (old.id);
    DELETE FROM clew_item_packs WHERE id = old.id >> 6;
END;

CREATE TRIGGER clew_item_changes_kept AFTER INSERT ON clew_item_changes WHEN new.number % 1024 = 0 BEGIN
    DELETE FROM clew_item_changes WHERE number <= new.number - 16384;
END;

-- Who made vectors, and of which length: those of one row alone are compared with one another.
CREATE TABLE clew_embedders (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    dims INTEGER NOT NULL,
    UNIQUE (name, dims)
) STRICT;

-- Items that wait for their vectors. due_at: when to try again.
CREATE TABLE clew_item_outbox (
    id INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due_at INTEGER NOT NULL
) STRICT;
