// Package db opens the database that a URL names.
package db
