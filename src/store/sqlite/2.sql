CREATE TABLE person (
    id   TEXT PRIMARY KEY,
    data TEXT NOT NULL     -- JSON: profile, memberships, since when deleted
) STRICT, WITHOUT ROWID;

CREATE TABLE record (      -- small documents by name: keys, outages, how far a reconciliation came
    name TEXT PRIMARY KEY,
    data BLOB NOT NULL
) STRICT, WITHOUT ROWID;
