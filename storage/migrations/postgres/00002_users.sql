-- +goose Up

CREATE TABLE users (
	subject  TEXT    NOT NULL PRIMARY KEY CHECK (subject <> ''),
	username TEXT    NOT NULL CHECK (username <> ''),
	folded   TEXT    COLLATE "C" NOT NULL CHECK (folded <> ''),
	claims   JSONB   NOT NULL,
	hash     TEXT    NOT NULL,
	disabled BOOLEAN NOT NULL,
	epoch    BIGINT  NOT NULL CHECK (epoch >= 1),
	created  BIGINT  NOT NULL,
	updated  BIGINT  NOT NULL
);
CREATE UNIQUE INDEX users_by_name ON users (folded);

-- +goose Down

DROP TABLE users;
