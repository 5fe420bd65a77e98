-- +goose Up

-- What a request asked for by name, beyond its scopes; NULL: nothing.
ALTER TABLE grants ADD COLUMN claims JSONB;

-- +goose Down

ALTER TABLE grants DROP COLUMN claims;
