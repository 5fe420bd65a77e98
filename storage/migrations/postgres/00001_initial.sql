-- Times are microseconds since 1970, in UTC; 0 means never, or not yet.
-- Hashes are 32 bytes. Documents are JSON.

-- +goose Up

CREATE TABLE clients (
	id                 TEXT    NOT NULL PRIMARY KEY,
	name               TEXT    NOT NULL,
	type               TEXT    NOT NULL CHECK (type IN ('web', 'spa', 'native', 'service')),
	secrets            JSONB   NOT NULL,
	redirect_uris      JSONB   NOT NULL,
	scopes             JSONB   NOT NULL,
	grant_types        JSONB   NOT NULL,
	first_party        BOOLEAN NOT NULL,
	pkce_optional      BOOLEAN NOT NULL,
	opaque_tokens      BOOLEAN NOT NULL,
	algorithm          TEXT    NOT NULL,
	floor              TEXT    NOT NULL,
	initiate_login_uri TEXT    NOT NULL,
	continues_to       JSONB   NOT NULL,
	declared           BOOLEAN NOT NULL,
	created            BIGINT  NOT NULL
);

CREATE TABLE flows (
	id         TEXT    NOT NULL PRIMARY KEY,
	version    BIGINT  NOT NULL CHECK (version >= 1),
	browser    BYTEA   NOT NULL CHECK (octet_length(browser) = 32),
	request    TEXT    NOT NULL,
	client_id  TEXT    NOT NULL,
	session_id TEXT    NOT NULL,
	subject    TEXT    NOT NULL,
	epoch      TEXT    NOT NULL,
	proofs     JSONB   NOT NULL,
	pinned     TEXT    NOT NULL,
	approved   BOOLEAN NOT NULL,
	misses     BIGINT  NOT NULL CHECK (misses >= 0),
	ended      BOOLEAN NOT NULL,
	created    BIGINT  NOT NULL,
	ending     TEXT    NOT NULL CHECK (ending IN ('', 'granted', 'cancelled', 'denied')),
	expires    BIGINT  NOT NULL
);
CREATE INDEX flows_by_expiry ON flows (expires);

-- An ended session stays until it would have expired, so that no request still
-- under way can bring it back to life.
CREATE TABLE sessions (
	id         TEXT    NOT NULL PRIMARY KEY,
	cookie     BYTEA   NOT NULL CHECK (octet_length(cookie) = 32),
	subject    TEXT    NOT NULL CHECK (subject <> ''),
	epoch      TEXT    NOT NULL,
	proofs     JSONB   NOT NULL,
	created    BIGINT  NOT NULL,
	used       BIGINT  NOT NULL,
	expires    BIGINT  NOT NULL,
	address    TEXT    NOT NULL,
	user_agent TEXT    NOT NULL,
	ended      BOOLEAN NOT NULL
);
CREATE UNIQUE INDEX sessions_by_cookie ON sessions (cookie);
CREATE INDEX sessions_by_subject ON sessions (subject, used);
CREATE INDEX sessions_by_expiry ON sessions (expires);

CREATE TABLE consents (
	subject   TEXT    NOT NULL CHECK (subject <> ''),
	client_id TEXT    NOT NULL CHECK (client_id <> ''),
	scopes    JSONB   NOT NULL,
	given     BIGINT  NOT NULL,
	PRIMARY KEY (subject, client_id)
);
CREATE INDEX consents_by_client ON consents (client_id);

CREATE TABLE grants (
	id           TEXT    NOT NULL PRIMARY KEY,
	subject      TEXT    NOT NULL,
	client_id    TEXT    NOT NULL CHECK (client_id <> ''),
	session_id   TEXT    NOT NULL,
	scopes       JSONB   NOT NULL,
	epoch        TEXT    NOT NULL,
	proofs       JSONB   NOT NULL,
	acr          TEXT    NOT NULL,
	requested    BIGINT  NOT NULL,
	created      BIGINT  NOT NULL,
	code         BYTEA   NOT NULL CHECK (octet_length(code) = 32),
	code_expires BIGINT  NOT NULL,
	code_spent   BIGINT  NOT NULL,
	redirect_uri TEXT    NOT NULL,
	challenge    BYTEA   NOT NULL,
	nonce        BYTEA   NOT NULL,
	generation   BIGINT  NOT NULL CHECK (generation >= 0),
	expires      BIGINT  NOT NULL,
	ends         BIGINT  NOT NULL,
	revoked      BIGINT  NOT NULL
);
CREATE INDEX grants_by_client ON grants (client_id, subject);
CREATE INDEX grants_by_expiry ON grants (expires);

CREATE TABLE events (
	id         BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	time       BIGINT  NOT NULL,
	kind       TEXT    NOT NULL CHECK (kind <> ''),
	outcome    TEXT    NOT NULL,
	subject    TEXT    NOT NULL,
	client_id  TEXT    NOT NULL,
	actor      TEXT    NOT NULL,
	request_id TEXT    NOT NULL,
	address    TEXT    NOT NULL,
	detail     JSONB   NOT NULL
);
CREATE INDEX events_by_subject ON events (subject, time, id);
CREATE INDEX events_by_time ON events (time, id);

CREATE TABLE mfa_accounts (
	subject           TEXT    NOT NULL PRIMARY KEY CHECK (subject <> ''),
	version           BIGINT  NOT NULL CHECK (version >= 0),
	epoch             BIGINT  NOT NULL,
	secret            TEXT    NOT NULL,
	algorithm         TEXT    NOT NULL,
	digits            BIGINT  NOT NULL,
	period            BIGINT  NOT NULL,
	last_step         BIGINT  NOT NULL,
	hinted            BIGINT  NOT NULL,
	enrolled          BIGINT  NOT NULL,
	had               BOOLEAN NOT NULL,
	pending           TEXT    NOT NULL,
	pending_algorithm TEXT    NOT NULL,
	pending_digits    BIGINT  NOT NULL,
	pending_period    BIGINT  NOT NULL,
	pending_binding   TEXT    NOT NULL,
	pending_name      TEXT    NOT NULL,
	pending_expires   BIGINT  NOT NULL,
	unsaved           TEXT    NOT NULL,
	unsaved_binding   TEXT    NOT NULL,
	unsaved_expires   BIGINT  NOT NULL,
	ticket            BYTEA   NOT NULL CHECK (octet_length(ticket) IN (0, 32)),
	ticket_expires    BIGINT  NOT NULL,
	misses            JSONB   NOT NULL,
	misses_run        BIGINT  NOT NULL,
	misses_since      BIGINT  NOT NULL,
	stolen            BOOLEAN NOT NULL
);
CREATE INDEX mfa_accounts_by_pending ON mfa_accounts (pending_expires) WHERE pending_expires > 0;
CREATE INDEX mfa_accounts_by_unsaved ON mfa_accounts (unsaved_expires) WHERE unsaved_expires > 0;

CREATE TABLE mfa_recovery_codes (
	subject  TEXT    NOT NULL CHECK (subject <> ''),
	selector TEXT    NOT NULL CHECK (selector <> ''),
	hash     TEXT    NOT NULL CHECK (hash <> ''),
	used     BIGINT  NOT NULL,
	PRIMARY KEY (subject, selector)
);

CREATE TABLE mfa_misses (
	key     BYTEA   NOT NULL PRIMARY KEY CHECK (octet_length(key) = 32),
	times   JSONB   NOT NULL,
	run     BIGINT  NOT NULL,
	since   BIGINT  NOT NULL,
	expires BIGINT  NOT NULL
);
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
