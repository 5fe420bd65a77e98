-- +goose Up

-- What a key is follows from its times: next while active is 0, then current
-- until retired, then last until removed.
CREATE TABLE signing_keys (
	id        TEXT    NOT NULL PRIMARY KEY CHECK (id <> ''),
	algorithm TEXT    NOT NULL CHECK (algorithm <> ''),
	sealed    TEXT    NOT NULL CHECK (sealed <> ''),
	published BIGINT  NOT NULL CHECK (published > 0),
	active    BIGINT  NOT NULL,
	retired   BIGINT  NOT NULL CHECK (retired = 0 OR active > 0),
	removed   BIGINT  NOT NULL CHECK ((removed = 0) = (retired = 0))
);

-- Of several servers that rotate, or start for the first time, one succeeds.
CREATE UNIQUE INDEX signing_keys_next ON signing_keys (algorithm) WHERE active = 0;
CREATE UNIQUE INDEX signing_keys_current ON signing_keys (algorithm) WHERE active > 0 AND retired = 0;

-- +goose Down

DROP TABLE signing_keys;
