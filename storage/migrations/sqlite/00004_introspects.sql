-- +goose Up

-- Clients that were there before may not.
ALTER TABLE clients ADD COLUMN introspects INTEGER NOT NULL DEFAULT 0 CHECK (introspects IN (0, 1));

-- +goose Down

ALTER TABLE clients DROP COLUMN introspects;
