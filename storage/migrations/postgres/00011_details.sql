-- +goose Up

-- Authorization details (RFC 9396), letter by letter as they were approved;
-- NULL: none.
ALTER TABLE grants ADD COLUMN details TEXT;

-- +goose Down

ALTER TABLE grants DROP COLUMN details;
