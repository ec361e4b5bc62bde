-- Results of tasks and workflows, kept for later calls. Times are seconds since the epoch.

CREATE TABLE clew_cache (
    namespace text COLLATE "C" NOT NULL, -- the labels as JSON texts, each followed by a comma
    key       text COLLATE "C" NOT NULL, -- likewise a JSON text
    data      bytea NOT NULL,
    expires_s double precision,          -- NULL: never
    PRIMARY KEY (namespace, key)
);

CREATE INDEX clew_cache_expiry ON clew_cache (expires_s) WHERE expires_s IS NOT NULL;
