-- +goose Up
-- The tables of the gateway's first generation: what follows finds the same
-- ones in a new database and in an old one.
CREATE TABLE IF NOT EXISTS apigtwyprompts (
	id serial PRIMARY KEY, requestid varchar(100), aiappname varchar(100), uname varchar(50),
	prompt json, completion json, timestamp_ timestamptz DEFAULT current_timestamp);
CREATE TABLE IF NOT EXISTS apigtwymemory (
	id serial PRIMARY KEY, requestid varchar(100), threadid varchar(100), aiappname varchar(100), uname varchar(50),
	context json, timestamp_ timestamptz DEFAULT current_timestamp);
CREATE TABLE IF NOT EXISTS apigtwycache (
	id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, requestid varchar(100), aiappname varchar(100),
	prompt text, embedding vector(1536), completion json, timestamp_ timestamptz DEFAULT current_timestamp);
