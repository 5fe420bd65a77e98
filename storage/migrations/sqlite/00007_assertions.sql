-- +goose Up

-- Client assertions that were used, by a hash, for as long as they would be
-- good.
CREATE TABLE assertions (
	key     BLOB    NOT NULL PRIMARY KEY CHECK (length(key) = 32),
	expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX assertions_by_expiry ON assertions (expires);

-- +goose Down

DROP TABLE assertions;
