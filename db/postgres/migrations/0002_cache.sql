-- +goose Up
-- An index on the embedding allows one width only, and is of no use to
-- look-ups that ask for more than nearness.
-- +goose StatementBegin
DO $$
DECLARE found regclass;
BEGIN
	FOR found IN
		SELECT i.indexrelid::regclass FROM pg_index i
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
		WHERE i.indrelid = 'apigtwycache'::regclass AND a.attname = 'embedding'
	LOOP
		EXECUTE 'DROP INDEX ' || found;
	END LOOP;
END $$;
-- +goose StatementEnd

ALTER TABLE apigtwycache
	ALTER COLUMN requestid TYPE text,
	ALTER COLUMN aiappname TYPE text,
	ALTER COLUMN embedding TYPE vector,
	ADD COLUMN IF NOT EXISTS key bytea,
	ADD COLUMN IF NOT EXISTS bucket bytea,
	ADD COLUMN IF NOT EXISTS scope text,
	ADD COLUMN IF NOT EXISTS model text,
	ADD COLUMN IF NOT EXISTS dims integer,
	ADD COLUMN IF NOT EXISTS marks bytea;

-- Vectors in line make an exact scan three times as fast as vectors in TOAST.
-- A row of 1,536 dimensions fills a page; what is wider than a page goes to
-- TOAST after all, the columns that are looked for never do.
ALTER TABLE apigtwycache
	ALTER COLUMN embedding SET STORAGE MAIN,
	ALTER COLUMN requestid SET STORAGE MAIN,
	ALTER COLUMN aiappname SET STORAGE MAIN,
	ALTER COLUMN scope SET STORAGE MAIN,
	ALTER COLUMN model SET STORAGE MAIN,
	ALTER COLUMN key SET STORAGE PLAIN,
	ALTER COLUMN bucket SET STORAGE PLAIN,
	SET (toast_tuple_target = 8160);

-- Rows of the first generation have no key and no bucket: nothing says what
-- besides the text shaped their answers, so they are kept but never answer.
CREATE UNIQUE INDEX apigtwycache_key ON apigtwycache (aiappname, key);
CREATE INDEX apigtwycache_bucket ON apigtwycache (aiappname, bucket);
CREATE INDEX apigtwycache_created ON apigtwycache (aiappname, timestamp_);
CREATE INDEX apigtwycache_id ON apigtwycache (aiappname, id);

-- Uses are counted beside the entries: an update copies its whole row, and
-- puts the copy of a vector into its index again.
CREATE TABLE apigtwycacheuse (
	id bigint PRIMARY KEY REFERENCES apigtwycache (id) ON DELETE CASCADE ON UPDATE CASCADE,
	aiappname text NOT NULL,
	size bigint NOT NULL,
	hits bigint NOT NULL DEFAULT 0,
	used timestamptz NOT NULL) WITH (fillfactor = 80);
CREATE INDEX apigtwycacheuse_used ON apigtwycacheuse (aiappname, used, id);

INSERT INTO apigtwycacheuse (id, aiappname, size, used)
SELECT id, aiappname,
	256 + coalesce(octet_length(prompt), 0) + coalesce(octet_length(completion::text), 0) + coalesce(4 * vector_dims(embedding), 0),
	coalesce(timestamp_, 'epoch')
FROM apigtwycache WHERE aiappname IS NOT NULL;
