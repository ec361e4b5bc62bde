-- When runs of workflows whose rate is limited were begun, as far as it still counts. Times are seconds since the epoch.

CREATE TABLE clew_begun (
    workflow TEXT NOT NULL,
    begun_s  REAL NOT NULL
) STRICT;

CREATE INDEX clew_begun_last ON clew_begun (workflow, begun_s);
