// Package mail composes, writes, reads and parses messages.
//
// A [Message] is a literal: fill in From, To, Subject, Text, HTML and Attachments, and WriteTo writes it, with the right
// structure, encodings and line lengths. [Parse] does the reverse for any message there is: it never fails for what a
// message says, only for what cannot be read, and tells what it found odd in Message.Defects. The general shape below
// both is a tree of [Part], and the fields are kept as they were read in a [Header].
//
// RFC 5322 and 6532 (messages), 2045 to 2047, 2183, 2231, 2387, 2392 (MIME).
package mail
