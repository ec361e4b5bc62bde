-- Results of tasks and workflows, kept for later calls. Times are seconds since the epoch.

CREATE TABLE clew_cache (
    namespace TEXT NOT NULL,    -- the labels as JSON texts, each followed by a comma
    key       TEXT NOT NULL,    -- likewise a JSON text
    data      BLOB NOT NULL,
    expires_s REAL,             -- NULL: never
    PRIMARY KEY (namespace, key)
) STRICT;

CREATE INDEX clew_cache_expiry ON clew_cache (expires_s) WHERE expires_s IS NOT NULL;
