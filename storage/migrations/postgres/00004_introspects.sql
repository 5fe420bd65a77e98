-- +goose Up

-- Clients that were there before may not.
ALTER TABLE clients ADD COLUMN introspects BOOLEAN NOT NULL DEFAULT FALSE;

-- +goose Down

ALTER TABLE clients DROP COLUMN introspects;
