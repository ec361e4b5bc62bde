-- Threads, their runs, and the journal of each run. Times are seconds since the epoch. Ids of hexadecimal digits are
-- kept as the bytes that they spell (run_id, previous, name of a piece).

CREATE TABLE clew_threads (
    id        INTEGER PRIMARY KEY,
    thread_id TEXT NOT NULL,
    workflow  TEXT NOT NULL,
    head      INTEGER,                      -- id in clew_runs of the newest run
    epoch     INTEGER NOT NULL DEFAULT 0,   -- grows whenever the lease is taken
    owner     TEXT,                         -- who holds the lease
    until_s   REAL NOT NULL DEFAULT 0,      -- when it runs out
    asked     TEXT,                         -- what its run is asked to do: interrupt, rollback, cancel
    due_s     REAL,                         -- when a question's time is over
    changed_s REAL NOT NULL,
    UNIQUE (thread_id, workflow)
) STRICT;

CREATE INDEX clew_threads_held ON clew_threads (until_s) WHERE owner IS NOT NULL;
CREATE INDEX clew_threads_due ON clew_threads (due_s) WHERE due_s IS NOT NULL;

CREATE TABLE clew_runs (
    id        INTEGER PRIMARY KEY,
    run_id    ANY NOT NULL UNIQUE,
    thread    INTEGER NOT NULL REFERENCES clew_threads (id) ON DELETE CASCADE,
    number    INTEGER NOT NULL,             -- place on the thread, from 0
    source    TEXT NOT NULL CHECK (source IN ('input', 'update', 'fork')),
    parent    TEXT,                         -- the checkpoint it started from
    previous  ANY,                          -- run_id of the run whose saved value it was given
    step      INTEGER NOT NULL,
    status    TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed', 'interrupted', 'cancelled')),
    input     BLOB,
    value     BLOB,
    saved     BLOB,                         -- NULL where it is the value itself
    packed    BLOB,                         -- input, value, saved and parent, NULL then, and the journal
    dictionary INTEGER,                     -- id in clew_pieces of what they were compressed with
    error     TEXT,
    questions BLOB NOT NULL,
    metadata  BLOB NOT NULL,
    created_s REAL NOT NULL,
    ended_s   REAL,
    attempts  INTEGER NOT NULL,
    crashes   INTEGER NOT NULL,             -- how many processes in a row died while they ran it
    UNIQUE (thread, number)
) STRICT;

-- Elements of long lists in saved values: each run adds what its list has more than the one before. The pieces of a
-- chain follow one another without a gap.
CREATE TABLE clew_pieces (
    id    INTEGER PRIMARY KEY,              -- chain * 2^32 + place in the chain, from 0
    name  ANY NOT NULL UNIQUE,
    count INTEGER NOT NULL CHECK (count BETWEEN 0 AND 4294967295),  -- how many elements
    is_packed INTEGER NOT NULL,             -- whether the body is compressed
    body  BLOB NOT NULL
) STRICT;

CREATE TABLE clew_chains (
    id     INTEGER PRIMARY KEY,
    thread INTEGER NOT NULL REFERENCES clew_threads (id) ON DELETE CASCADE,
    before INTEGER                          -- id of the piece with the elements before the chain's
) STRICT;

CREATE INDEX clew_chains_thread ON clew_chains (thread);

CREATE TRIGGER clew_chain_gone AFTER DELETE ON clew_chains BEGIN
    DELETE FROM clew_pieces WHERE id BETWEEN old.id << 32 AND (old.id << 32) + 4294967295;
END;

CREATE TABLE clew_records (
    id          INTEGER PRIMARY KEY,        -- also the order of the journal
    run         INTEGER NOT NULL REFERENCES clew_runs (id) ON DELETE CASCADE,
    key         TEXT NOT NULL,
    name        TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    arguments   TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('value', 'failure', 'reopened')),
    outcome     BLOB NOT NULL,
    attempts    INTEGER NOT NULL,
    started_s   REAL NOT NULL,
    ended_s     REAL NOT NULL,
    UNIQUE (run, key)
) STRICT;
