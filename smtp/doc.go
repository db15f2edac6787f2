// Package smtp sends and receives mail over SMTP and LMTP.
//
// Everything that passes mail on meets in one method, [Sender.Send]: an
// [Envelope] says whom a message is from and for, an [io.WriterTo] is the
// message, and one [Result] for each recipient comes back. A [Client] is one
// connection, a [Transport] a pool of them; both are Senders, and [Failover],
// [RoundRobin], [Retry], [RateLimit], [Tee], [Redirect] and [Allow] make Senders
// of Senders.
//
// The receiving side mirrors it. A [Server] hands each transaction to a
// [Handler]; what the client said as MAIL, RCPT and DATA the handler hears
// under the same names with the same options, and the [Error] that it returns
// is the one that the client gets. [Hooks] makes a Handler out of functions,
// [Relay] out of a Sender.
//
// It follows RFC 5321 (SMTP), RFC 2033 (LMTP), RFC 1870 (SIZE), RFC 2034
// (ENHANCEDSTATUSCODES), RFC 2920 (PIPELINING), RFC 3030 (CHUNKING), RFC 3207
// (STARTTLS), RFC 3461 (DSN), RFC 4954 (AUTH), RFC 6152 (8BITMIME), RFC 6531
// (SMTPUTF8), RFC 8689 (REQUIRETLS), RFC 2852 (DELIVERBY), RFC 4865 (FUTURERELEASE),
// RFC 6710 (MT-PRIORITY), RFC 7293 (RRVS) and RFC 9422 (LIMITS).
package smtp
