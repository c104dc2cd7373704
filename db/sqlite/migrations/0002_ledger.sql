-- +goose Up
ALTER TABLE apigtwyprompts ADD COLUMN own INTEGER NOT NULL DEFAULT 0;
ALTER TABLE apigtwyprompts ADD COLUMN answered TEXT NOT NULL DEFAULT '';
ALTER TABLE apigtwyprompts ADD COLUMN usageestimated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE apigtwyprompts ADD COLUMN saved TEXT;
ALTER TABLE apigtwyprompts ADD COLUMN priced TEXT NOT NULL DEFAULT '';
ALTER TABLE apigtwyprompts ADD COLUMN cost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE apigtwyprompts ADD COLUMN savedcost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE apigtwyprompts ADD COLUMN limitid TEXT NOT NULL DEFAULT '';
ALTER TABLE apigtwyprompts ADD COLUMN limitover TEXT NOT NULL DEFAULT '';

-- One row of each exchange, with nothing of what was said: who used how much
-- of what. Costs are billionths of the price catalogue's currency. Texts are
-- cut to 200 characters.
CREATE TABLE apigtwyledger (
	id INTEGER PRIMARY KEY,
	exchange TEXT NOT NULL,
	timestamp_ INTEGER NOT NULL,
	minute INTEGER, -- of timestamp_, since 1970; NULL when no endpoint was asked
	requestid TEXT NOT NULL,
	aiappname TEXT NOT NULL,
	tenant TEXT NOT NULL,
	caller TEXT NOT NULL,
	uname TEXT NOT NULL,
	endpoint TEXT NOT NULL, -- of the last attempt; empty when none was asked
	model TEXT NOT NULL,
	kind TEXT NOT NULL,
	status INTEGER NOT NULL,
	cached INTEGER NOT NULL,
	prompttokens INTEGER NOT NULL,
	completiontokens INTEGER NOT NULL,
	cachedtokens INTEGER NOT NULL,
	reasoningtokens INTEGER NOT NULL,
	savedtokens INTEGER NOT NULL,
	priced TEXT NOT NULL,
	cost INTEGER NOT NULL,
	savedcost INTEGER NOT NULL,
	aborted INTEGER NOT NULL,
	cut INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	operation TEXT NOT NULL,
	stream INTEGER NOT NULL,
	durationms REAL NOT NULL);
CREATE UNIQUE INDEX apigtwyledger_exchange ON apigtwyledger (exchange, timestamp_);
CREATE INDEX apigtwyledger_time ON apigtwyledger (timestamp_);
-- It has all that the minutes are counted from, in their order.
CREATE INDEX apigtwyledger_minute ON apigtwyledger (minute, aiappname, prompttokens, completiontokens, cachedtokens)
	WHERE minute IS NOT NULL;

-- What the ledger's rows amount to, by hour.
CREATE TABLE apigtwyusage (
	hour INTEGER NOT NULL,
	aiappname TEXT NOT NULL,
	tenant TEXT NOT NULL,
	caller TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	model TEXT NOT NULL,
	kind TEXT NOT NULL,
	requests INTEGER NOT NULL,
	answered INTEGER NOT NULL,
	hits INTEGER NOT NULL,
	prompttokens INTEGER NOT NULL,
	completiontokens INTEGER NOT NULL,
	cachedtokens INTEGER NOT NULL,
	reasoningtokens INTEGER NOT NULL,
	savedtokens INTEGER NOT NULL,
	cost INTEGER NOT NULL,
	savedcost INTEGER NOT NULL,
	unpriced INTEGER NOT NULL,
	PRIMARY KEY (hour, aiappname, tenant, caller, endpoint, model, kind)) WITHOUT ROWID;
