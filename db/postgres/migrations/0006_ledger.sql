-- +goose Up
ALTER TABLE apigtwyprompts
	ADD COLUMN IF NOT EXISTS own boolean,
	ADD COLUMN IF NOT EXISTS answered text,
	ADD COLUMN IF NOT EXISTS usageestimated boolean,
	ADD COLUMN IF NOT EXISTS saved json,
	ADD COLUMN IF NOT EXISTS priced text,
	ADD COLUMN IF NOT EXISTS cost bigint,
	ADD COLUMN IF NOT EXISTS savedcost bigint,
	ADD COLUMN IF NOT EXISTS limitid text,
	ADD COLUMN IF NOT EXISTS limitover text;

-- One row of each exchange, with nothing of what was said: who used how much
-- of what. Costs are billionths of the price catalogue's currency. Texts are
-- cut to 200 characters, and ordered byte by byte as elsewhere in the gateway.
-- It is partitioned by week, as the prompts are.
CREATE TABLE apigtwyledger (
	exchange uuid NOT NULL,
	timestamp_ timestamptz NOT NULL,
	minute timestamptz NOT NULL, -- of timestamp_
	requestid text NOT NULL,
	aiappname text COLLATE "C" NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	caller text COLLATE "C" NOT NULL,
	uname text COLLATE "C" NOT NULL,
	endpoint text COLLATE "C" NOT NULL, -- of the last attempt; empty when none was asked
	model text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	status integer NOT NULL,
	cached boolean NOT NULL,
	prompttokens bigint NOT NULL,
	completiontokens bigint NOT NULL,
	cachedtokens bigint NOT NULL,
	reasoningtokens bigint NOT NULL,
	savedtokens bigint NOT NULL,
	priced text NOT NULL,
	cost bigint NOT NULL,
	savedcost bigint NOT NULL,
	aborted boolean NOT NULL,
	cut boolean NOT NULL,
	attempts integer NOT NULL,
	operation text NOT NULL,
	stream boolean NOT NULL,
	durationms double precision NOT NULL
) PARTITION BY RANGE (timestamp_);
CREATE UNIQUE INDEX apigtwyledger_exchange ON apigtwyledger (exchange, timestamp_);
CREATE INDEX apigtwyledger_app ON apigtwyledger (aiappname, timestamp_);
-- It has all that the minutes are counted from, in their order.
CREATE INDEX apigtwyledger_minute ON apigtwyledger (minute)
	INCLUDE (timestamp_, aiappname, endpoint, prompttokens, completiontokens, cachedtokens);

-- What the ledger's rows amount to, by hour. The key is a hash of the
-- dimensions: an index does not take texts of any length. Room is left for
-- rows that grow where they lie.
CREATE TABLE apigtwyusage (
	hour timestamptz NOT NULL,
	dimensions bytea NOT NULL,
	aiappname text COLLATE "C" NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	caller text COLLATE "C" NOT NULL,
	endpoint text COLLATE "C" NOT NULL,
	model text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	requests bigint NOT NULL,
	answered bigint NOT NULL,
	hits bigint NOT NULL,
	prompttokens bigint NOT NULL,
	completiontokens bigint NOT NULL,
	cachedtokens bigint NOT NULL,
	reasoningtokens bigint NOT NULL,
	savedtokens bigint NOT NULL,
	cost bigint NOT NULL,
	savedcost bigint NOT NULL,
	unpriced bigint NOT NULL,
	PRIMARY KEY (hour, dimensions)
) WITH (fillfactor = 50);
CREATE INDEX apigtwyusage_app ON apigtwyusage (aiappname, hour);
