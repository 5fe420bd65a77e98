-- Times are microseconds since 1970, in UTC; 0 means never, or not yet.
-- Hashes are 32 bytes. Documents are JSON.

-- +goose Up

CREATE TABLE clients (
	id                 TEXT    NOT NULL PRIMARY KEY,
	name               TEXT    NOT NULL,
	type               TEXT    NOT NULL CHECK (type IN ('web', 'spa', 'native', 'service')),
	secrets            TEXT    NOT NULL CHECK (json_valid(secrets)),
	redirect_uris      TEXT    NOT NULL CHECK (json_valid(redirect_uris)),
	scopes             TEXT    NOT NULL CHECK (json_valid(scopes)),
	grant_types        TEXT    NOT NULL CHECK (json_valid(grant_types)),
	first_party        INTEGER NOT NULL CHECK (first_party IN (0, 1)),
	pkce_optional      INTEGER NOT NULL CHECK (pkce_optional IN (0, 1)),
	opaque_tokens      INTEGER NOT NULL CHECK (opaque_tokens IN (0, 1)),
	algorithm          TEXT    NOT NULL,
	floor              TEXT    NOT NULL,
	initiate_login_uri TEXT    NOT NULL,
	continues_to       TEXT    NOT NULL CHECK (json_valid(continues_to)),
	declared           INTEGER NOT NULL CHECK (declared IN (0, 1)),
	created            INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE flows (
	id         TEXT    NOT NULL PRIMARY KEY,
	version    INTEGER NOT NULL CHECK (version >= 1),
	browser    BLOB    NOT NULL CHECK (length(browser) = 32),
	request    TEXT    NOT NULL,
	client_id  TEXT    NOT NULL,
	session_id TEXT    NOT NULL,
	subject    TEXT    NOT NULL,
	epoch      TEXT    NOT NULL,
	proofs     TEXT    NOT NULL CHECK (json_valid(proofs)),
	pinned     TEXT    NOT NULL,
	approved   INTEGER NOT NULL CHECK (approved IN (0, 1)),
	misses     INTEGER NOT NULL CHECK (misses >= 0),
	ended      INTEGER NOT NULL CHECK (ended IN (0, 1)),
	created    INTEGER NOT NULL,
	ending     TEXT    NOT NULL CHECK (ending IN ('', 'granted', 'cancelled', 'denied')),
	expires    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX flows_by_expiry ON flows (expires);

-- An ended session stays until it would have expired, so that no request still
-- under way can bring it back to life.
CREATE TABLE sessions (
	id         TEXT    NOT NULL PRIMARY KEY,
	cookie     BLOB    NOT NULL CHECK (length(cookie) = 32),
	subject    TEXT    NOT NULL CHECK (subject <> ''),
	epoch      TEXT    NOT NULL,
	proofs     TEXT    NOT NULL CHECK (json_valid(proofs)),
	created    INTEGER NOT NULL,
	used       INTEGER NOT NULL,
	expires    INTEGER NOT NULL,
	address    TEXT    NOT NULL,
	user_agent TEXT    NOT NULL,
	ended      INTEGER NOT NULL CHECK (ended IN (0, 1))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX sessions_by_cookie ON sessions (cookie);
CREATE INDEX sessions_by_subject ON sessions (subject, used);
CREATE INDEX sessions_by_expiry ON sessions (expires);

CREATE TABLE consents (
	subject   TEXT    NOT NULL CHECK (subject <> ''),
	client_id TEXT    NOT NULL CHECK (client_id <> ''),
	scopes    TEXT    NOT NULL CHECK (json_valid(scopes)),
	given     INTEGER NOT NULL,
	PRIMARY KEY (subject, client_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX consents_by_client ON consents (client_id);

CREATE TABLE grants (
	id           TEXT    NOT NULL PRIMARY KEY,
	subject      TEXT    NOT NULL,
	client_id    TEXT    NOT NULL CHECK (client_id <> ''),
	session_id   TEXT    NOT NULL,
	scopes       TEXT    NOT NULL CHECK (json_valid(scopes)),
	epoch        TEXT    NOT NULL,
	proofs       TEXT    NOT NULL CHECK (json_valid(proofs)),
	acr          TEXT    NOT NULL,
	requested    INTEGER NOT NULL,
	created      INTEGER NOT NULL,
	code         BLOB    NOT NULL CHECK (length(code) = 32),
	code_expires INTEGER NOT NULL,
	code_spent   INTEGER NOT NULL,
	redirect_uri TEXT    NOT NULL,
	challenge    BLOB    NOT NULL,
	nonce        BLOB    NOT NULL,
	generation   INTEGER NOT NULL CHECK (generation >= 0),
	expires      INTEGER NOT NULL,
	ends         INTEGER NOT NULL,
	revoked      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_by_client ON grants (client_id, subject);
CREATE INDEX grants_by_expiry ON grants (expires);

CREATE TABLE events (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	time       INTEGER NOT NULL,
	kind       TEXT    NOT NULL CHECK (kind <> ''),
	outcome    TEXT    NOT NULL,
	subject    TEXT    NOT NULL,
	client_id  TEXT    NOT NULL,
	actor      TEXT    NOT NULL,
	request_id TEXT    NOT NULL,
	address    TEXT    NOT NULL,
	detail     TEXT    NOT NULL CHECK (json_valid(detail))
) STRICT;
CREATE INDEX events_by_subject ON events (subject, time, id);
CREATE INDEX events_by_time ON events (time, id);

CREATE TABLE mfa_accounts (
	subject           TEXT    NOT NULL PRIMARY KEY CHECK (subject <> ''),
	version           INTEGER NOT NULL CHECK (version >= 0),
	epoch             INTEGER NOT NULL,
	secret            TEXT    NOT NULL,
	algorithm         TEXT    NOT NULL,
	digits            INTEGER NOT NULL,
	period            INTEGER NOT NULL,
	last_step         INTEGER NOT NULL,
	hinted            INTEGER NOT NULL,
	enrolled          INTEGER NOT NULL,
	had               INTEGER NOT NULL CHECK (had IN (0, 1)),
	pending           TEXT    NOT NULL,
	pending_algorithm TEXT    NOT NULL,
	pending_digits    INTEGER NOT NULL,
	pending_period    INTEGER NOT NULL,
	pending_binding   TEXT    NOT NULL,
	pending_name      TEXT    NOT NULL,
	pending_expires   INTEGER NOT NULL,
	unsaved           TEXT    NOT NULL,
	unsaved_binding   TEXT    NOT NULL,
	unsaved_expires   INTEGER NOT NULL,
	ticket            BLOB    NOT NULL CHECK (length(ticket) IN (0, 32)),
	ticket_expires    INTEGER NOT NULL,
	misses            TEXT    NOT NULL CHECK (json_valid(misses)),
	misses_run        INTEGER NOT NULL,
	misses_since      INTEGER NOT NULL,
	stolen            INTEGER NOT NULL CHECK (stolen IN (0, 1))
) STRICT, WITHOUT ROWID;
CREATE INDEX mfa_accounts_by_pending ON mfa_accounts (pending_expires) WHERE pending_expires > 0;
CREATE INDEX mfa_accounts_by_unsaved ON mfa_accounts (unsaved_expires) WHERE unsaved_expires > 0;

CREATE TABLE mfa_recovery_codes (
	subject  TEXT    NOT NULL CHECK (subject <> ''),
	selector TEXT    NOT NULL CHECK (selector <> ''),
	hash     TEXT    NOT NULL CHECK (hash <> ''),
	used     INTEGER NOT NULL,
	PRIMARY KEY (subject, selector)
) STRICT, WITHOUT ROWID;

CREATE TABLE mfa_misses (
	key     BLOB    NOT NULL PRIMARY KEY CHECK (length(key) = 32),
	times   TEXT    NOT NULL CHECK (json_valid(times)),
	run     INTEGER NOT NULL,
	since   INTEGER NOT NULL,
	expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX mfa_misses_by_expiry ON mfa_misses (expires);

-- +goose Down

DROP TABLE mfa_misses;
DROP TABLE mfa_recovery_codes;
DROP TABLE mfa_accounts;
DROP TABLE events;
DROP TABLE grants;
DROP TABLE consents;
DROP TABLE sessions;
DROP TABLE flows;
DROP TABLE clients;
