// Idp is the Sallyport server and what administers it.
//
//	idp demo                     try it: a provider and an app on this machine
//	idp check  --config FILE     say what is wrong with a configuration
//	idp serve  --config FILE     serve
//	idp user   --config FILE …   add, list, show, import users; passwords, factors, sessions
//	idp client --config FILE …   add, list, show, remove relying parties
//	idp keys   --config FILE …   list and rotate signing keys
//	idp logout --config FILE …   list logouts that clients have not been told; try again
//	idp migrate --config FILE …  bring the database to this version
//	idp version
//
// The scripts in testdata read as its manual.
//
// It exits with 0 if all went well, with 1 if not, after a sentence that says
// what is wrong and what to do, and with 2 if it was called in a way that it
// does not know.
//
// This is the only package that reads files, flags and the environment, and the
// only one that knows all the others: house.go puts them together.
package main
