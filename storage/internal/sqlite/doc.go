// Package sqlite opens files of SQLite for gorm, by the driver
// modernc.org/sqlite, which is pure Go.
//
// gorm's own dialects of SQLite each bring another driver. The usual one is C;
// the other's parses a statement each time that it is run, which took more than
// half of an introspection. This one's connections keep what they have prepared
// (see conn), and so serve a select in half the time.
package sqlite
