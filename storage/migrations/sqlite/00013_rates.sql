-- +goose Up

-- What all servers together have counted against a limit: until when what was
-- asked for takes up room in it.
CREATE TABLE rates (
	key   BLOB    NOT NULL PRIMARY KEY CHECK (length(key) = 32),
	until INTEGER NOT NULL
) STRICT;
CREATE INDEX rates_until ON rates (until);

-- +goose Down

DROP TABLE rates;
