-- +goose Up

-- What the subjects of pairwise clients are made with: one key, for ever.
CREATE TABLE subject_key (
	id      INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
	key     BLOB    NOT NULL CHECK (length(key) = 32),
	created INTEGER NOT NULL CHECK (created > 0)
) STRICT;

-- +goose Down

DROP TABLE subject_key;
