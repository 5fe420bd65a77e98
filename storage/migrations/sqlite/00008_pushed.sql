-- +goose Up

CREATE TABLE pushed_requests (
	id        BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 32),
	client_id TEXT    NOT NULL CHECK (client_id <> ''),
	request   TEXT    NOT NULL,
	expires   INTEGER NOT NULL,
	kept      INTEGER NOT NULL,
	spent     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pushed_requests_by_kept ON pushed_requests (kept);

-- The pushed request that a flow came of; empty: none.
ALTER TABLE flows ADD COLUMN pushed BLOB NOT NULL DEFAULT x'' CHECK (length(pushed) IN (0, 32));

-- +goose Down

ALTER TABLE flows DROP COLUMN pushed;
DROP TABLE pushed_requests;
