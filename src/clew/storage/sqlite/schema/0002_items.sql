-- Long-term memory. Times are microseconds since 1970 UTC.

-- A namespace that holds items. path: its labels as bytes that sort like them, every prefix a range (see
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
    UNIQUE (namespace, key)
) STRICT;

CREATE INDEX clew_items_expiring ON clew_items (expires_at) WHERE expires_at IS NOT NULL;

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
