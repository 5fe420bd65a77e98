-- +goose Up

-- When everything older was declared void; no row: never.
CREATE TABLE epoch (
	id     INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
	bumped BIGINT  NOT NULL CHECK (bumped > 0)
);

-- +goose Down

DROP TABLE epoch;
