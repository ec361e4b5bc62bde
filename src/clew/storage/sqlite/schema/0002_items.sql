-- Long-term memory. Times are microseconds since 1970 UTC.

-- A namespace that holds items, or old versions of them. path: its labels as bytes that sort like them, every prefix a
-- range (see clew.store.namespaces). next_sequence: an item's number is never used again.
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

-- Values that were replaced, deleted or expired. value: NULL in the row of version 0, which stands for all versions
-- before those that are kept.
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
    ended TEXT NOT NULL,                    -- replaced, deleted, expired
    ended_run_id TEXT,
    ended_thread_id TEXT,
    UNIQUE (namespace, key, version)
) STRICT;

CREATE INDEX clew_item_versions_ended ON clew_item_versions (ended_at);

-- What searches by a query read. words: 32-bit hashes of the item's terms; marks: its short fields; vectors: float32,
-- one after another; codes: their signs, one bit each, before the vectors so that they are read without them;
-- hashes: 16 bytes for each embedded text; model: which embedder made the vectors.
CREATE TABLE clew_item_index (
    id INTEGER PRIMARY KEY,
    words BLOB NOT NULL,
    marks BLOB NOT NULL,
    model INTEGER,
    codes BLOB,
    hashes BLOB,
    vectors BLOB
) STRICT;

-- Which items were indexed anew or are gone, in the order of the changes: what a search has kept of an earlier state is
-- brought up to date by the rows that are named here since. The last 16,384 changes, and some, stay.
CREATE TABLE clew_item_changes (
    number INTEGER PRIMARY KEY,
    id INTEGER NOT NULL
) STRICT;

CREATE TRIGGER clew_item_indexed AFTER INSERT ON clew_item_index BEGIN
    INSERT INTO clew_item_changes (id) VALUES (new.id);
END;

CREATE TRIGGER clew_item_indexed_anew AFTER UPDATE ON clew_item_index BEGIN
    INSERT INTO clew_item_changes (id) VALUES (new.id);
END;

CREATE TRIGGER clew_item_gone AFTER DELETE ON clew_item_index BEGIN
    INSERT INTO clew_item_changes (id) VALUES (old.id);
END;

CREATE TRIGGER clew_item_changes_kept AFTER INSERT ON clew_item_changes WHEN new.number % 1024 = 0 BEGIN
    DELETE FROM clew_item_changes WHERE number <= new.number - 16384;
END;

CREATE TABLE clew_embedders (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- Items that wait for their vectors. due_at: when to try again.
CREATE TABLE clew_item_outbox (
    id INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due_at INTEGER NOT NULL
) STRICT;
