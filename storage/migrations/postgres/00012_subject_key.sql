-- +goose Up

-- What the subjects of pairwise clients are made with: one key, for ever.
CREATE TABLE subject_key (
	id      BIGINT  NOT NULL PRIMARY KEY CHECK (id = 1),
	key     BYTEA   NOT NULL CHECK (length(key) = 32),
	created BIGINT  NOT NULL CHECK (created > 0)
);

-- +goose Down

DROP TABLE subject_key;
