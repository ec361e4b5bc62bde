-- Who waits for a thread: callers, and calls that were submitted; and what a run shows to readers elsewhere.

CREATE TABLE clew_queue (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,  -- also the order of arrival
    name      TEXT NOT NULL UNIQUE,               -- run_id of the run that it becomes
    thread    INTEGER NOT NULL REFERENCES clew_threads (id) ON DELETE CASCADE,
    owner     TEXT,                               -- whose caller waits; NULL: any worker may carry it out
    until_s   REAL NOT NULL,
    act       TEXT NOT NULL CHECK (act IN ('input', 'resume', 'continue')),
    input     BLOB,
    config    BLOB NOT NULL,
    priority  INTEGER NOT NULL,
    due_s     REAL NOT NULL,
    created_s REAL NOT NULL
) STRICT;

CREATE INDEX clew_queue_thread ON clew_queue (thread, id);
CREATE INDEX clew_queue_callers ON clew_queue (thread) WHERE owner IS NOT NULL;
CREATE INDEX clew_queue_due ON clew_queue (due_s, thread) WHERE owner IS NULL;

CREATE TABLE clew_events (
    run    INTEGER NOT NULL REFERENCES clew_runs (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,                      -- from 1
    body   BLOB NOT NULL,
    PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID;
