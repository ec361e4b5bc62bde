-- The keys under which values were encrypted; none in a file that is not. The id of a key tells nothing of the key.

CREATE TABLE clew_keys (
    id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
