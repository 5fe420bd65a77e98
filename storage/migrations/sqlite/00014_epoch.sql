-- +goose Up

-- When everything older was declared void; no row: never.
CREATE TABLE epoch (
	id     INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
	bumped INTEGER NOT NULL CHECK (bumped > 0)
) STRICT;

-- +goose Down

DROP TABLE epoch;
