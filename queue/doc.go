// Package queue is the durable log between ingest and pipeline: one topic of
// the Kafka protocol, on an embedded broker with a data directory or on an
// external Apache Kafka. It is the only package that imports a Kafka client.
//
// # File map
//
//	options.go    what can be configured
//	queue.go      Open, Close, what a Queue is
//	topic.go      the topic: found, created, checked, followed
//	greet.go      the first contact with an external Kafka
//	security.go   TLS and SASL; security_options.go, secret.go, oauth.go
//	embedded.go   the embedded broker: directory, lock, start
//	door.go       how this process and others connect to it
//	layout.go     the broker's files, and their repair before a start
//	sync.go       fsync after the broker's answer, shared by concurrent appends
//	append.go     Append
//	record.go     millrace.Record to and from a Kafka record; see FORMAT.md
//	consumer.go   Consumer, Poll, Seek
//	member.go     Member: which partitions of a shared topic are ours; group_options.go
//	feed.go       Feed: topics that others fill; feed_session.go: its consumer group
//	bounds.go     Bounds, Regressions
//	retention.go  Release, Size, Pressure
//	health.go     Healthy
//	snappy.go     compression of batches
//	kafka.go      client settings, logging
//	errors.go     errors of brokers and disks, as users see them
//
// # Versions
//
// franz-go v1.22, its kfake of 2026-09-18 as embedded broker; record format 1
// (FORMAT.md). External brokers: Apache Kafka 2.8 or later, for topic ids.
//
// # Durability
//
// With durability "fsync" an Append returns after the segment files that hold
// its records were synced by this package, not by the broker: the broker
// would sync twice per batch in its only loop and ignore what sync says. Here
// concurrent appends share a sync, and a failed one stops the queue for good,
// since after it nobody knows what is on disk. With "os" the page cache is
// trusted: nothing is lost by killing the process, the last seconds can be by
// losing power. An external broker's acks=all is taken at its word.
//
// # Limits
//
// A payload is at most MaxPayload (1 MiB), a record with its headers at most
// MaxRecord (just below 2 MiB, the batch limit of topic and producer), a
// record has at most MaxFrames events. Memory: Options.Buffer for appends
// under way; a consumer holds at most two fetches of fetchBytes compressed,
// which is 32 MiB each decompressed at snappy's largest ratio of 21 to 1, plus
// what the caller keeps.
//
// # Deviations of the embedded broker from Kafka
//
//   - One node, no replication, no directory lock of its own (taken here).
//   - An outside producer is answered from the page cache whatever Durability
//     says, and its idempotence does not survive a killed broker: it needs a
//     record id of its own.
//   - Opening reads and checks all segments: about 1 GB/s from a warm cache.
//   - Its own retention is never configured; Release deletes instead, in whole
//     segments, and never the newest of a partition, because a broker that is
//     killed with an empty partition forgets its offsets.
//   - Deleting records in the middle of a segment does not survive a kill.
//   - Topic configuration segment.bytes must not be changed by outside tools.
//   - Anyone who can connect can read and write: it listens on loopback only
//     unless told otherwise, without authentication.
package queue
