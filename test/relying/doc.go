// Package relying is a relying party that lets nothing pass. It asks a provider
// what the OpenID Foundation's conformance suite asks, and takes each answer
// apart as the suite does; what the suite only warns of is an error here too.
//
// It is written from the specifications, on the standard library, and shares
// neither code nor tables with the provider: what both would get wrong in the
// same way, nobody would see.
//
//	Discover         fetches what a provider says of itself, and its keys
//	Provider.Verify  judges all of that, as the Config profile does
//	Party            asks for a code, redeems it, refreshes, asks for userinfo
//
// An error says everything that is wrong with an answer, and not only what
// came first.
package relying
