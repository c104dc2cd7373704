-- +goose Up
ALTER TABLE apigtwymemory
	ALTER COLUMN id TYPE bigint,
	ALTER COLUMN requestid TYPE text,
	ALTER COLUMN threadid TYPE text,
	ALTER COLUMN aiappname TYPE text,
	ALTER COLUMN uname TYPE text,
	ADD COLUMN IF NOT EXISTS turnid uuid,
	ADD COLUMN IF NOT EXISTS interaction integer;

-- +goose StatementBegin
DO $$
DECLARE s text := pg_get_serial_sequence('apigtwymemory', 'id');
BEGIN
	IF s IS NOT NULL THEN EXECUTE 'ALTER SEQUENCE ' || s || ' AS bigint'; END IF;
END $$;
-- +goose StatementEnd

CREATE TABLE apigtwythreads (
	aiappname text NOT NULL,
	threadid text NOT NULL,
	caller text NOT NULL DEFAULT '',
	tenant text NOT NULL DEFAULT '',
	uname text NOT NULL DEFAULT '',
	endpoint text NOT NULL DEFAULT '',
	created timestamptz NOT NULL,
	used timestamptz NOT NULL,
	next integer NOT NULL, -- the number that the next interaction gets
	PRIMARY KEY (aiappname, threadid)) WITH (fillfactor = 80);
CREATE INDEX apigtwythreads_used ON apigtwythreads (aiappname, used);
-- An index does not take texts of any length, and users are the callers'.
CREATE INDEX apigtwythreads_uname ON apigtwythreads (left(uname, 200), used);
CREATE INDEX apigtwythreads_any ON apigtwythreads (used);

CREATE INDEX apigtwymemory_thread ON apigtwymemory (aiappname, threadid, interaction, id);
CREATE UNIQUE INDEX apigtwymemory_turn ON apigtwymemory (turnid);
