-- +goose Up

-- Of two who make one step at the same time the second fails, whatever it does.
CREATE UNIQUE INDEX goose_db_version_once ON goose_db_version (version_id) WHERE version_id > 0;

-- +goose Down

DROP INDEX goose_db_version_once;
