-- The keys under which values were encrypted; none where they are not. The id of a key tells nothing of the key.

CREATE TABLE clew_keys (
    id text PRIMARY KEY
);
