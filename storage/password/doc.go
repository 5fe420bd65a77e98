// Package password hashes passwords, checks them against hashes of its own and
// of other providers, and says which ones may not be chosen.
//
// Our own hashes are argon2id in PHC form. Hashes that came with an import,
// argon2, bcrypt, scrypt or PBKDF2, are verified as they are until the first
// right password replaces them by one of ours.
//
// # What the time tells
//
// A stranger who measures how long a wrong password takes must not learn
// whether the name exists. For an unknown name, [Hasher.Burn] computes the very
// hash that [Hasher.Verify] computes for a known one. An imported hash, or one
// of ours from before the cost was changed, costs something else; where it is
// cheaper, Verify goes on with argon2id until the usual time has passed, judged
// by how long our own hashes took lately. Two differences remain. A hash dearer
// than ours cannot be made cheaper, so such an account can be told from an
// unknown name until its first sign-in: raise the cost to that of the import if
// it matters. And the filling is computed with a share of the memory, so
// thousands of measurements may still find a difference of some percent.
//
// # Memory and processors
//
// Hashing is bounded by slots, not by requests. At most Slots hashes are
// computed at once, a short line waits for them, and who comes later is told
// [ErrBusy] at once. An imported hash may demand at most 256 MiB and roughly
// ten seconds of one core; what demands more is refused on import and, should
// it be in the database by other ways, on verification.
package password
