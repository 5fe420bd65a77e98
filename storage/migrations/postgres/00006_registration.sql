-- +goose Up

-- What few clients say of themselves, as a document.
ALTER TABLE clients ADD COLUMN registration JSONB NOT NULL DEFAULT '{}';

-- +goose Down

ALTER TABLE clients DROP COLUMN registration;
