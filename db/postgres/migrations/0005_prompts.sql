-- +goose Up
-- The table becomes one that is partitioned by week; what it holds becomes its
-- first partition, where it lies.
ALTER TABLE apigtwyprompts RENAME TO apigtwyprompts_first;
UPDATE apigtwyprompts_first SET timestamp_ = 'epoch' WHERE timestamp_ IS NULL;

-- +goose StatementBegin
DO $$
DECLARE key text;
BEGIN
	-- A key of the whole must have the column that it is partitioned by.
	FOR key IN SELECT quote_ident(conname) FROM pg_constraint
		WHERE conrelid = 'apigtwyprompts_first'::regclass AND contype IN ('p', 'u')
	LOOP
		EXECUTE 'ALTER TABLE apigtwyprompts_first DROP CONSTRAINT ' || key;
	END LOOP;
END $$;
-- +goose StatementEnd

CREATE SEQUENCE apigtwyprompts_number AS bigint;
SELECT setval('apigtwyprompts_number', coalesce(max(id), 0) + 1, false) FROM apigtwyprompts_first;

ALTER TABLE apigtwyprompts_first
	ALTER COLUMN id DROP IDENTITY IF EXISTS,
	ALTER COLUMN id DROP DEFAULT,
	ALTER COLUMN id TYPE bigint,
	ALTER COLUMN requestid TYPE text,
	ALTER COLUMN aiappname TYPE text,
	ALTER COLUMN uname TYPE text,
	ALTER COLUMN timestamp_ SET NOT NULL,
	ADD COLUMN IF NOT EXISTS exchange uuid,
	ADD COLUMN IF NOT EXISTS caller text,
	ADD COLUMN IF NOT EXISTS tenant text,
	ADD COLUMN IF NOT EXISTS thread text,
	ADD COLUMN IF NOT EXISTS operation text,
	ADD COLUMN IF NOT EXISTS model text,
	ADD COLUMN IF NOT EXISTS call text,
	ADD COLUMN IF NOT EXISTS stream boolean,
	ADD COLUMN IF NOT EXISTS status integer,
	ADD COLUMN IF NOT EXISTS code text,
	ADD COLUMN IF NOT EXISTS aborted boolean,
	ADD COLUMN IF NOT EXISTS cut boolean,
	ADD COLUMN IF NOT EXISTS cached boolean,
	ADD COLUMN IF NOT EXISTS cachescore double precision,
	ADD COLUMN IF NOT EXISTS cache text,
	ADD COLUMN IF NOT EXISTS cachewhy text,
	ADD COLUMN IF NOT EXISTS endpoint text,
	ADD COLUMN IF NOT EXISTS attempts json,
	ADD COLUMN IF NOT EXISTS durationms double precision,
	ADD COLUMN IF NOT EXISTS firstbytems double precision,
	ADD COLUMN IF NOT EXISTS usagereported boolean,
	ADD COLUMN IF NOT EXISTS prompttokens bigint,
	ADD COLUMN IF NOT EXISTS completiontokens bigint,
	ADD COLUMN IF NOT EXISTS totaltokens bigint,
	ADD COLUMN IF NOT EXISTS cachedtokens bigint,
	ADD COLUMN IF NOT EXISTS reasoningtokens bigint,
	ADD COLUMN IF NOT EXISTS finish text,
	ADD COLUMN IF NOT EXISTS bytesin bigint,
	ADD COLUMN IF NOT EXISTS bytesout bigint;

CREATE TABLE apigtwyprompts (LIKE apigtwyprompts_first INCLUDING DEFAULTS) PARTITION BY RANGE (timestamp_);
ALTER TABLE apigtwyprompts
	ALTER COLUMN id SET DEFAULT nextval('apigtwyprompts_number'),
	ALTER COLUMN timestamp_ SET DEFAULT current_timestamp;
ALTER SEQUENCE apigtwyprompts_number OWNED BY apigtwyprompts.id;

-- It ends where the week ends in which its last row lies, else where this
-- week begins: from there on each week has its own.
-- +goose StatementBegin
DO $$
DECLARE upto timestamptz;
BEGIN
	SELECT greatest(
		date_trunc('week', current_timestamp AT TIME ZONE 'UTC'),
		date_trunc('week', max(timestamp_) AT TIME ZONE 'UTC') + interval '7 days') AT TIME ZONE 'UTC'
	INTO upto FROM apigtwyprompts_first;
	EXECUTE format('ALTER TABLE apigtwyprompts ATTACH PARTITION apigtwyprompts_first FOR VALUES FROM (MINVALUE) TO (%L)', upto);
END $$;
-- +goose StatementEnd

CREATE UNIQUE INDEX apigtwyprompts_exchange ON apigtwyprompts (exchange, timestamp_);
-- An index does not take texts of any length, and request ids may be the
-- caller's.
CREATE INDEX apigtwyprompts_request ON apigtwyprompts (aiappname, left(requestid, 200), timestamp_);
CREATE INDEX apigtwyprompts_time ON apigtwyprompts (timestamp_);

CREATE TABLE apigtwyvotes (
	aiappname text NOT NULL,
	requestid text NOT NULL,
	caller text NOT NULL,
	up boolean NOT NULL,
	at timestamptz NOT NULL,
	PRIMARY KEY (aiappname, requestid, caller));
