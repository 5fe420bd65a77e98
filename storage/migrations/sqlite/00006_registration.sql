-- +goose Up

-- What few clients say of themselves, as a document.
ALTER TABLE clients ADD COLUMN registration TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(registration));

-- +goose Down

ALTER TABLE clients DROP COLUMN registration;
