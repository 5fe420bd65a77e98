-- +goose Up

CREATE TABLE users (
	subject  TEXT    NOT NULL PRIMARY KEY CHECK (subject <> ''),
	username TEXT    NOT NULL CHECK (username <> ''),
	folded   TEXT    NOT NULL CHECK (folded <> ''),
	claims   TEXT    NOT NULL CHECK (json_valid(claims)),
	hash     TEXT    NOT NULL,
	disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),
	epoch    INTEGER NOT NULL CHECK (epoch >= 1),
	created  INTEGER NOT NULL,
	updated  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX users_by_name ON users (folded);

-- +goose Down

DROP TABLE users;
