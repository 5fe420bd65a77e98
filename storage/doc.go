// Package storage keeps everything that outlives a request, in a file of SQLite
// or in PostgreSQL. A *DB is a provider.Store and an mfa.Store; what only
// administrators need (clients, events, migrations, sweeping) are further
// methods of it.
//
// # Decisions
//
// Whatever can race is decided by one statement. A code, a recovery code, a
// version, a generation is used up by an UPDATE whose WHERE says what must still
// be so, and whose count of rows says who won; an assertion by an INSERT under
// its key. Nothing is read first and written then, except under a lock.
//
// What must be read before it can be written is locked by reading it: in a
// transaction, Flow, Account and Misses take the row FOR UPDATE. An Account or
// Misses that is not there yet is made empty first, or two who come for the
// first time would not meet. On SQLite a transaction is alone from its
// beginning (BEGIN IMMEDIATE), which comes to the same.
//
// The transaction travels in the context. A second Atomically joins the first.
// If the inner one fails and the outer function returns nil, the outer fails
// too: a savepoint would cost two statements each time, to allow what nobody
// should want.
//
// PostgreSQL runs at READ COMMITTED. With conditional updates and row locks
// SERIALIZABLE would add nothing but retries; an engine that knows nothing else
// works all the same, and so does a DSN that asks for it. What loses against
// another one, a deadlock too, is begun again, a bounded number of times, after a
// pause of random length: transactions, and single statements outside of one.
//
// SQLite has one connection that writes and several that cannot (query_only).
// Writers queue in this process instead of polling the file's lock. The writing
// connection is not given up because a browser hung up; it is given up after a
// failed commit, because SQLite may keep the transaction open then, and the
// next would go on in it.
//
// What cannot be done because PostgreSQL is away, or refuses for a reason that
// passes, is provider.ErrUnavailable, wherever it shows: in a statement, at the
// beginning and at the commit. It is not tried again here: who asked is told so
// at once, and comes again.
//
// There is one exception. A connection that is lost between a COMMIT and its
// answer leaves open whether it happened. Where the flow of a browser was to be
// saved that does no harm: whoever comes again is shown the step that is right
// now. Who comes again with a code or a refresh token is taken for a thief, if it
// did happen, and the grant is ended. So SpendCode and RotateGrant make sure: the
// change is tried again, which does nothing if it was done, and a row with just
// the values that were to be written says that it was ours. An assertion is not
// worth that: its client makes another.
//
// A connection is refused to a server that takes no writes. Of several hosts in
// the DSN that finds the primary, again after each failover.
//
// synchronous=FULL and synchronous_commit=on: an answer that was given is on
// disk. A group of commits costs one fsync in PostgreSQL; SQLite pays one each.
//
// Times are whole numbers of microseconds since 1970, in both databases: they
// compare and index alike everywhere, come back exactly, and know no time zone.
// To read them in PostgreSQL: to_timestamp(expires / 1e6). 0 is never, or not
// yet; no column is NULL.
//
// Prefetch is no cache. The user, the factors and the consent that are read beside a
// flow or a grant are of one moment with it, answer one question each, and are
// forgotten when the request writes or ends a transaction. In a transaction
// nothing is prefetched: what is decided there was read in it, and who waits for the
// lock on a flow would get what stood beside it before the wait.
//
// A session that was ended keeps its row, marked, until it would have expired.
// If the row went, a request that had read the session before could write it
// back. Grants keep theirs for the same reason, and so that a refresh token used
// twice is recognised.
//
// The key that pairwise subjects are made with lies open in its table, unlike
// private keys. Whoever reads the database has the users, and with it learns
// besides which of them a relying party means by a subject: that is little more.
// Sealed, it would be lost with a sealing key that was taken out too early, and
// every such relying party would know nobody any more, for good.
//
// Sessions end in one place, endSessions, and in one transaction with what hangs
// on them: flows, grants, and the table logouts, from which clients are told.
// Whoever ends a session, by whatever command, cannot forget them.
//
// Who was given something in a session stands in session_clients, because grants
// may be swept long before their session. Its rows go with the session's, by the
// one foreign key there is.
//
// Text from strangers may hold what PostgreSQL refuses in text: zero bytes,
// invalid UTF-8. An ID like that is not found. A nonce and a challenge come back
// byte for byte and are bytes. Words that are only shown are cleaned. The key of
// misses is hashed: people type passwords where their name belongs.
//
// gorm writes the statements. Its default transaction around each is off, its
// logger too (it prints values), and so is its cache of prepared statements: one
// that is prepared in a transaction is closed with it, so that on PostgreSQL
// each statement took three round trips. Connections keep their own, which
// outlive transactions: those of pgx, and those of internal/sqlite.
//
// Migrations are SQL files, one directory a database, applied by goose. Never
// edit one that was released. Rows are structs of this package, compared with
// the migrated tables by a test; golden files show the schema in review. Open
// applies nothing unless Config.Migrate says so: of many replicas, one command
// migrates, and a server of another version refuses to start.
//
// SQLite's driver is known to internal/sqlite alone.
package storage
