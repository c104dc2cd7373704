-- +goose Up
-- The tables and columns have the names that they have in PostgreSQL. Times
-- are whole microseconds since 1970, in UTC; vectors are 4-byte floats, least
-- byte first. What is long stands last: a row is read up to the last column
-- that is asked for.
CREATE TABLE apigtwycache (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	requestid TEXT NOT NULL,
	aiappname TEXT NOT NULL,
	timestamp_ INTEGER NOT NULL,
	key BLOB NOT NULL,
	bucket BLOB NOT NULL,
	scope TEXT NOT NULL,
	model TEXT NOT NULL,
	dims INTEGER NOT NULL,
	prompt TEXT NOT NULL,
	completion TEXT NOT NULL,
	marks BLOB,
	embedding BLOB);
CREATE UNIQUE INDEX apigtwycache_key ON apigtwycache (aiappname, key);
CREATE INDEX apigtwycache_created ON apigtwycache (aiappname, timestamp_);
CREATE INDEX apigtwycache_id ON apigtwycache (aiappname, id);

-- Uses are counted beside the entries: an update writes its whole row anew.
CREATE TABLE apigtwycacheuse (
	id INTEGER PRIMARY KEY REFERENCES apigtwycache (id) ON DELETE CASCADE,
	aiappname TEXT NOT NULL,
	size INTEGER NOT NULL,
	hits INTEGER NOT NULL,
	used INTEGER NOT NULL);
CREATE INDEX apigtwycacheuse_used ON apigtwycacheuse (aiappname, used, id, size);

CREATE TABLE apigtwythreads (
	aiappname TEXT NOT NULL,
	threadid TEXT NOT NULL,
	caller TEXT NOT NULL,
	tenant TEXT NOT NULL,
	uname TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	created INTEGER NOT NULL,
	used INTEGER NOT NULL,
	next INTEGER NOT NULL, -- the number that the next interaction gets
	PRIMARY KEY (aiappname, threadid)) WITHOUT ROWID;
CREATE INDEX apigtwythreads_used ON apigtwythreads (aiappname, used);
CREATE INDEX apigtwythreads_uname ON apigtwythreads (uname, used);
CREATE INDEX apigtwythreads_latest ON apigtwythreads (used);

-- One row for each turn.
CREATE TABLE apigtwymemory (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	requestid TEXT NOT NULL,
	threadid TEXT NOT NULL,
	aiappname TEXT NOT NULL,
	uname TEXT NOT NULL,
	timestamp_ INTEGER NOT NULL,
	turnid TEXT NOT NULL,
	interaction INTEGER NOT NULL,
	context TEXT NOT NULL,
	FOREIGN KEY (aiappname, threadid) REFERENCES apigtwythreads (aiappname, threadid) ON DELETE CASCADE);
CREATE UNIQUE INDEX apigtwymemory_turn ON apigtwymemory (turnid);
CREATE INDEX apigtwymemory_thread ON apigtwymemory (aiappname, threadid, interaction, id);

CREATE TABLE apigtwyprompts (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	requestid TEXT NOT NULL,
	aiappname TEXT NOT NULL,
	uname TEXT NOT NULL,
	timestamp_ INTEGER NOT NULL,
	exchange TEXT NOT NULL,
	caller TEXT NOT NULL,
	tenant TEXT NOT NULL,
	thread TEXT NOT NULL,
	operation TEXT NOT NULL,
	model TEXT NOT NULL,
	call TEXT NOT NULL,
	stream INTEGER NOT NULL,
	status INTEGER NOT NULL,
	code TEXT NOT NULL,
	aborted INTEGER NOT NULL,
	cut INTEGER NOT NULL,
	cached INTEGER NOT NULL,
	cachescore REAL NOT NULL,
	cache TEXT NOT NULL,
	cachewhy TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	attempts TEXT NOT NULL,
	durationms REAL NOT NULL,
	firstbytems REAL NOT NULL,
	usagereported INTEGER NOT NULL,
	prompttokens INTEGER NOT NULL,
	completiontokens INTEGER NOT NULL,
	totaltokens INTEGER NOT NULL,
	cachedtokens INTEGER NOT NULL,
	reasoningtokens INTEGER NOT NULL,
	finish TEXT NOT NULL,
	bytesin INTEGER NOT NULL,
	bytesout INTEGER NOT NULL,
	prompt TEXT,
	completion TEXT);
CREATE UNIQUE INDEX apigtwyprompts_exchange ON apigtwyprompts (exchange, timestamp_);
CREATE INDEX apigtwyprompts_request ON apigtwyprompts (aiappname, requestid, timestamp_);
CREATE INDEX apigtwyprompts_time ON apigtwyprompts (timestamp_);

CREATE TABLE apigtwyvotes (
	aiappname TEXT NOT NULL,
	requestid TEXT NOT NULL,
	caller TEXT NOT NULL,
	up INTEGER NOT NULL,
	at INTEGER NOT NULL,
	PRIMARY KEY (aiappname, requestid, caller)) WITHOUT ROWID;
