-- +goose Up

-- Client assertions that were used, by a hash, for as long as they would be
-- good.
CREATE TABLE assertions (
	key     BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(key) = 32),
	expires BIGINT NOT NULL
);
CREATE INDEX assertions_by_expiry ON assertions (expires);

-- +goose Down

DROP TABLE assertions;
