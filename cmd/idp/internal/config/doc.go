// Package config is the configuration file of idp: what it may say, and what
// is refused.
//
// A file is read strictly ([Load]): a key that is not known, stands twice or
// has a value of the wrong kind is an error with its file and line, because a
// misspelled key is a setting that silently is not made. What reads well is
// then judged ([Config.Check]), and everything that is wrong is said at once,
// not the first thing only.
//
// Secrets come from the file, from files it names, or from the environment,
// which wins. They are of type [Secret], which prints as nothing.
//
// Relative paths are taken from the directory of the file that names them, so
// that a service finds them wherever it was started.
package config
