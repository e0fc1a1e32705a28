CREATE TABLE inbox (
    id       TEXT PRIMARY KEY,
    kind     TEXT NOT NULL,
    happened INTEGER NOT NULL, -- this and all times: milliseconds since 1970
    received INTEGER NOT NULL,
    state    TEXT NOT NULL CHECK (state IN ('received', 'working', 'done', 'dead')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at  INTEGER NOT NULL, -- a task that is being worked on is due again then
    data     TEXT,             -- what hooks are to hear; gone when they have
    why      TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

CREATE INDEX inbox_due ON inbox (next_at) WHERE state IN ('received', 'working');
CREATE INDEX inbox_old ON inbox (state, received);

CREATE TABLE denial (
    kind TEXT NOT NULL,    -- session: denied until at; user: tokens issued up to at
    id   TEXT NOT NULL,
    at   INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
