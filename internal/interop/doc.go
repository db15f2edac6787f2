// Package interop holds tests alone: other people's clients deliver to us, and we deliver to other people's servers.
//
// All of them run unchanged, as Debian and npm have them, on loopback, in a directory of the test's own. What arrives is
// compared to the byte with what was given to the client to send.
package interop
