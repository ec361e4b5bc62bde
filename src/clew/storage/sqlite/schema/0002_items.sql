-- Long-term memory. Times are microseconds since 1970 UTC.

-- A namespace that holds items, or old versions of them. path: its labels as bytes that sort like them, every prefix a range (see
-- clew.store.namespaces). changes: grows with every write below it; numbers are never used again, so that
-- (count, highest id, sum of changes) names a state of a whole prefix.
CREATE TABLE clew_namespaces (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path BLOB NOT NULL UNIQUE,
    changes INTEGER NOT NULL,
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
