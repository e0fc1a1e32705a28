CREATE TABLE sighting (    -- sessions that were seen with a token within its time
    session TEXT PRIMARY KEY,  -- a digest
    claims  INTEGER NOT NULL,
    seen    INTEGER NOT NULL,
    mark    BLOB NOT NULL      -- whose it is
) STRICT, WITHOUT ROWID;

CREATE INDEX sighting_old ON sighting (seen);
