-- +goose Up

-- The APIs that a grant is for (RFC 8707), NULL: none was named; and when its
-- refresh token was last replaced.
ALTER TABLE grants ADD COLUMN resources JSONB;
ALTER TABLE grants ADD COLUMN rotated BIGINT NOT NULL DEFAULT 0;

-- +goose Down

ALTER TABLE grants DROP COLUMN rotated;
ALTER TABLE grants DROP COLUMN resources;
