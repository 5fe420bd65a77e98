-- +goose Up

-- What all servers together have counted against a limit: until when what was
-- asked for takes up room in it.
CREATE TABLE rates (
	key   BYTEA   NOT NULL PRIMARY KEY CHECK (length(key) = 32),
	until BIGINT  NOT NULL
);
CREATE INDEX rates_until ON rates (until);

-- +goose Down

DROP TABLE rates;
