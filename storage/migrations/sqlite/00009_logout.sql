-- +goose Up

-- Who was given something in a session: whom to tell when it ends. The rows go
-- with the session's.
CREATE TABLE session_clients (
	session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
	client_id  TEXT NOT NULL CHECK (client_id <> ''),
	PRIMARY KEY (session_id, client_id)
) STRICT, WITHOUT ROWID;
INSERT INTO session_clients
	SELECT DISTINCT session_id, client_id FROM grants WHERE session_id IN (SELECT id FROM sessions);

-- What clients are still to be told of sessions that have ended.
CREATE TABLE logouts (
	id         TEXT    NOT NULL PRIMARY KEY,
	client_id  TEXT    NOT NULL CHECK (client_id <> ''),
	subject    TEXT    NOT NULL CHECK (subject <> ''),
	session_id TEXT    NOT NULL CHECK (session_id <> ''),
	created    INTEGER NOT NULL,
	tries      INTEGER NOT NULL CHECK (tries >= 0),
	due        INTEGER NOT NULL,
	given_up   INTEGER NOT NULL,
	problem    TEXT    NOT NULL,
	expires    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX logouts_by_due ON logouts (due) WHERE given_up = 0;
CREATE INDEX logouts_by_expiry ON logouts (expires);

CREATE INDEX flows_by_session ON flows (session_id) WHERE session_id <> '';
CREATE INDEX flows_by_subject ON flows (subject) WHERE subject <> '';

-- +goose Down

DROP INDEX flows_by_subject;
DROP INDEX flows_by_session;
DROP TABLE logouts;
DROP TABLE session_clients;
