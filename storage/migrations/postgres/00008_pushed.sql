-- +goose Up

CREATE TABLE pushed_requests (
	id        BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(id) = 32),
	client_id TEXT   NOT NULL CHECK (client_id <> ''),
	request   TEXT   NOT NULL,
	expires   BIGINT NOT NULL,
	kept      BIGINT NOT NULL,
	spent     BIGINT NOT NULL
);
CREATE INDEX pushed_requests_by_kept ON pushed_requests (kept);

-- The pushed request that a flow came of; empty: none.
ALTER TABLE flows ADD COLUMN pushed BYTEA NOT NULL DEFAULT ''::bytea CHECK (octet_length(pushed) IN (0, 32));

-- +goose Down

ALTER TABLE flows DROP COLUMN pushed;
DROP TABLE pushed_requests;
