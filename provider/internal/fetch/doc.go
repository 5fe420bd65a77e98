// Package fetch asks other servers for what clients publish, and hands out the
// guarded client to do so. A URI that a client registered can be meant to reach
// what this server reaches and the client does not: the metadata service of a
// cloud, a database without a password, this machine. So (OA-10):
//
//   - An address is judged after the name was resolved, by the dialer itself:
//     what is checked is what is connected to, whatever DNS answers the next
//     time. Only public addresses pass, and networks that were allowed by name.
//   - https alone, and http to a loopback host where loopback is allowed.
//   - A redirect is an answer like any other, and followed nowhere.
//   - No proxy from the environment, which would resolve names itself; no
//     cookies, no connection kept.
//   - [Timeout] for all of it and [MaxBody] of body.
//
// A [Cache] keeps what was fetched, so that a client whose server is down or
// slow troubles nobody else, and nobody can make this server send a request
// for each one of theirs.
package fetch
