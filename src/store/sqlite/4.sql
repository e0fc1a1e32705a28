ALTER TABLE inbox ADD COLUMN claim INTEGER NOT NULL DEFAULT 0; -- the last claim's number; it only grows
