// SPDX-License-Identifier: BSD-3-Clause

// Records that break the rules of TLS 1.3: each ends its connection with the alert that the RFC
// names and nothing else, and harms nobody else. And records that are odd, but allowed.

package interop

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"testing"
	"time"

	"tailscale.com/derp"
)

// noise is a record that nobody has sealed.
func noise(kind byte, size int) []byte {
	header := binary.BigEndian.AppendUint16([]byte{kind, 3, 3}, uint16(size))
	return append(header, pattern(uint64(size), size)...)
}

// flip changes a bit of a record.
func flip(record []byte, at int) []byte {
	if at < 0 {
		at += len(record)
	}
	record[at] ^= 1
	return record
}

// A recordFault writes what breaks the rules on a connection. frame is one that would be answered.
type recordFault struct {
	name   string
	attack func(c *recordConn, frame []byte)
	alert  int
}

var recordFaults = []recordFault{
	{"a bit of the ciphertext", func(c *recordConn, frame []byte) {
		c.send(flip(c.out.seal(typeData, frame, 0), recordHeader))
	}, alertBadRecordMAC},
	{"a bit of the tag", func(c *recordConn, frame []byte) {
		c.send(flip(c.out.seal(typeData, frame, 0), -1))
	}, alertBadRecordMAC},
	{"a record twice", func(c *recordConn, frame []byte) {
		record := c.out.seal(typeData, frame, 0)
		c.send(record, record)
	}, alertBadRecordMAC},
	{"a record left out", func(c *recordConn, frame []byte) {
		c.out.nonce()
		c.send(c.out.seal(typeData, frame, 0))
	}, alertBadRecordMAC},
	{"two records in the wrong order", func(c *recordConn, frame []byte) {
		first, second := c.out.seal(typeData, frame, 0), c.out.seal(typeData, frame, 0)
		c.send(second, first)
	}, alertBadRecordMAC},
	{"the old key behind a KeyUpdate", func(c *recordConn, frame []byte) {
		c.send(c.out.seal(typeHandshake, keyUpdateMessage(false), 0), c.out.seal(typeData, frame, 0))
	}, alertBadRecordMAC},
	{"another length in the header", func(c *recordConn, frame []byte) {
		record := c.out.seal(typeData, frame, 0)
		binary.BigEndian.PutUint16(record[3:], uint16(len(record)-recordHeader-1))
		c.send(record)
	}, alertBadRecordMAC},
	{"a record that has no room for a tag", func(c *recordConn, frame []byte) {
		c.send(noise(typeData, 16))
	}, alertBadRecordMAC},
	{"an empty record in the clear", func(c *recordConn, frame []byte) {
		c.send(noise(typeData, 0))
	}, alertBadRecordMAC},
	{"noise of the largest size", func(c *recordConn, frame []byte) {
		c.send(noise(typeData, maxCiphertext))
	}, alertBadRecordMAC},
	{"a record one byte too long", func(c *recordConn, frame []byte) {
		c.send(noise(typeData, maxCiphertext+1))
	}, alertRecordOverflow},
	{"the header alone of a record too long", func(c *recordConn, frame []byte) {
		c.send([]byte{typeData, 3, 3, 0xff, 0xff})
	}, alertRecordOverflow},
	{"content one byte too long", func(c *recordConn, frame []byte) {
		c.send(c.out.seal(typeData, make([]byte, maxPlaintext+1), 0))
	}, alertRecordOverflow},
	{"padding one byte too long", func(c *recordConn, frame []byte) {
		c.send(c.out.seal(typeData, frame, maxPlaintext+1-len(frame)))
	}, alertRecordOverflow},
	{"an alert in the clear", func(c *recordConn, frame []byte) {
		c.send([]byte{typeAlert, 3, 3, 0, 2, 1, 0})
	}, alertUnexpectedMessage},
	{"ChangeCipherSpec", func(c *recordConn, frame []byte) {
		c.send([]byte{typeChangeCipherSpec, 3, 3, 0, 1, 1})
	}, alertUnexpectedMessage},
	{"an outer type of the handshake", func(c *recordConn, frame []byte) {
		record := c.out.seal(typeData, frame, 0)
		record[0] = typeHandshake
		c.send(record)
	}, alertUnexpectedMessage},
	{"HTTP behind the handshake", func(c *recordConn, frame []byte) {
		c.send([]byte("GET / HTTP/1.1\r\n\r\n"))
	}, alertUnexpectedMessage},
	{"a flood of empty records", func(c *recordConn, frame []byte) {
		for range maxIdleRecords + 1 {
			c.send(c.out.seal(typeData, nil, 0))
		}
	}, alertUnexpectedMessage},
	{"a flood of padding", func(c *recordConn, frame []byte) {
		for range maxIdleRecords + 1 {
			c.send(c.out.seal(typeData, nil, maxPlaintext))
		}
	}, alertUnexpectedMessage},
	{"a flood of KeyUpdates", func(c *recordConn, frame []byte) {
		for range maxIdleRecords + 1 {
			c.send(c.keyUpdate(false))
		}
	}, alertUnexpectedMessage},
	{"a flood of requests for a new key", func(c *recordConn, frame []byte) {
		for range maxIdleRecords + 1 {
			c.send(c.keyUpdate(true))
		}
	}, alertUnexpectedMessage},
	{"a record of zeros", func(c *recordConn, frame []byte) {
		c.send(c.out.sealInner(make([]byte, 100)))
	}, alertUnexpectedMessage},
	{"a record of nothing", func(c *recordConn, frame []byte) {
		c.send(c.out.sealInner(nil))
	}, alertBadRecordMAC},
	{"an unknown type", func(c *recordConn, frame []byte) {
		c.send(c.out.seal(99, frame, 0))
	}, alertUnexpectedMessage},
	{"ChangeCipherSpec in a record", func(c *recordConn, frame []byte) {
		c.send(c.out.seal(typeChangeCipherSpec, []byte{1}, 0))
	}, alertUnexpectedMessage},
	{"an empty handshake record", func(c *recordConn, frame []byte) {
		c.send(c.out.seal(typeHandshake, nil, 0))
	}, alertUnexpectedMessage},
	{"a second ClientHello", func(c *recordConn, frame []byte) {
		c.send(c.out.seal(typeHandshake, append([]byte{1, 0, 1, 0}, make([]byte, 256)...), 0))
	}, alertUnexpectedMessage},
	{"a NewSessionTicket", func(c *recordConn, frame []byte) {
		c.send(c.out.seal(typeHandshake, append([]byte{4, 0, 0, 20}, make([]byte, 20)...), 0))
	}, alertUnexpectedMessage},
	{"a second Finished", func(c *recordConn, frame []byte) {
		c.send(c.out.seal(typeHandshake, append([]byte{20, 0, 0, 32}, make([]byte, 32)...), 0))
	}, alertUnexpectedMessage},
	{"something behind a KeyUpdate in its record", func(c *recordConn, frame []byte) {
		c.send(c.out.seal(typeHandshake, append(keyUpdateMessage(false), 24), 0))
	}, alertUnexpectedMessage},
	{"data inside a KeyUpdate", func(c *recordConn, frame []byte) {
		c.send(c.out.seal(typeHandshake, keyUpdateMessage(false)[:2], 0), c.out.seal(typeData, frame, 0))
	}, alertUnexpectedMessage},
	{"a KeyUpdate of another length", func(c *recordConn, frame []byte) {
		c.send(c.out.seal(typeHandshake, []byte{24, 0, 0, 2, 0}, 0))
	}, alertDecodeError},
	{"a KeyUpdate that asks for something else", func(c *recordConn, frame []byte) {
		c.send(c.out.seal(typeHandshake, []byte{24, 0, 0, 1, 2}, 0))
	}, alertIllegalParameter},
	{"an alert of one byte", func(c *recordConn, frame []byte) {
		c.send(c.out.seal(typeAlert, []byte{1}, 0))
	}, alertDecodeError},
	{"two alerts in a record", func(c *recordConn, frame []byte) {
		c.send(c.out.seal(typeAlert, []byte{1, alertUserCanceled, 1, 0}, 0))
	}, alertDecodeError},
}

func TestTLSRecordFaults(t *testing.T) {
	skipOnReference(t, "it sends close_notify behind another alert, and drops ChangeCipherSpec at any time")
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		pair := r.connectSeveral(ctx, t, 2)
		watcher := r.connect(ctx, t, "watcher")
		for _, fault := range recordFaults {
			bad, records := r.connectRecords(ctx, t, fault.name)
			bad.send(t, watcher.public, []byte("not bad yet"))
			watcher.expectPacket(ctx, t, bad, []byte("not bad yet"))

			// What comes behind the fault must not be taken, in the same write and in another one.
			fault.attack(records, appendFrame(nil, derp.FramePing, make([]byte, 8)))
			records.send(records.out.seal(typeData,
				appendSendPacket(nil, watcher.public, []byte("behind it")), 0))
			for _, message := range bad.expectEnd(ctx, t, prompt) {
				// One fault comes behind a Ping that was in order.
				if _, pong := message.(derp.PongMessage); !pong {
					t.Errorf("%s: the relay answered with %s", fault.name, describe(message))
				}
			}
			records.checkAlert(t, fault.name, fault.alert)
			watcher.expectGone(ctx, t, bad.public, left)
			checkPair(ctx, t, pair[0], pair[1])
		}
		counters := r.finish(t)
		counters.check(t, "tls_alerts_sent", uint64(len(recordFaults)))
		counters.check(t, "protocol_errors", uint64(len(recordFaults)))
		counters.check(t, "tls_ok", uint64(len(recordFaults)+3))
	})
}

// TestTLSRecordFaultsEarly: the same before a client has joined, where less is known of it.
func TestTLSRecordFaultsEarly(t *testing.T) {
	skipOnReference(t, "as TestTLSRecordFaults")
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		pair := r.connectSeveral(ctx, t, 2)
		for _, fault := range recordFaults {
			records := r.dialRecords(ctx, t)
			fault.attack(records, []byte("GET /derp HTTP/1.1\r\n"))
			records.SetReadDeadline(time.Now().Add(prompt))
			if answer, err := io.ReadAll(records); len(answer) > 0 || err != nil {
				t.Errorf("%s: the relay answered with %q, %v", fault.name, answer, err)
			}
			records.checkAlert(t, fault.name, fault.alert)
			checkPair(ctx, t, pair[0], pair[1])
		}
		counters := r.finish(t)
		counters.check(t, "tls_alerts_sent", uint64(len(recordFaults)))
		counters.check(t, "handshakes_failed", uint64(len(recordFaults)))
		counters.check(t, "handshakes_ok", 2)
	})
}

// TestTLSOddRecords sends what is unusual and allowed.
func TestTLSOddRecords(t *testing.T) {
	skipOnReference(t, "it takes fewer empty records")
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		watcher := r.connect(ctx, t, "watcher")
		odd, records := r.connectRecords(ctx, t, "odd")
		number := 0
		frame := func(size int) ([]byte, []byte) {
			number++
			data := pattern(uint64(number), size)
			return data, appendSendPacket(nil, watcher.public, data)
		}
		check := func(data []byte) {
			t.Helper()
			watcher.expectPacket(ctx, t, odd, data)
		}
		const largest = maxPlaintext - 37 // of a packet whose frame fills a record

		for _, padding := range []int{1, 100, maxPlaintext - 1000 - 37} {
			data, bytes := frame(1000)
			records.send(records.out.seal(typeData, bytes, padding))
			check(data)
		}
		for _, size := range []int{largest - 1, largest, largest + 1, derp.MaxPacketSize} {
			data, bytes := frame(size)
			if _, err := records.Write(bytes); err != nil {
				t.Fatal(err)
			}
			check(data)
		}
		// A record for each byte, with empty ones in between; then many frames in one.
		data, bytes := frame(100)
		for i := range bytes {
			records.send(records.out.seal(typeData, nil, i%3), records.out.seal(typeData, bytes[i:i+1], 0))
		}
		check(data)
		var together []byte
		var packets [][]byte
		for range 100 {
			data, bytes := frame(50)
			together, packets = append(together, bytes...), append(packets, data)
		}
		records.send(records.out.seal(typeData, together, 0))
		for _, data := range packets {
			check(data)
		}
		// As many empty records as the relay takes, and a frame on.
		for range maxIdleRecords {
			records.send(records.out.seal(typeData, nil, 0))
		}
		data, bytes = frame(10)
		records.send(records.out.seal(typeData, bytes, 0))
		check(data)
		// An alert that ends nothing.
		records.send(records.out.seal(typeAlert, []byte{1, alertUserCanceled}, 0))
		data, bytes = frame(10)
		records.send(records.out.seal(typeData, bytes, 0))
		check(data)
		odd.ping(ctx, t)
		counters := r.finish(t)
		counters.check(t, "tls_alerts_sent", 0)
		counters.check(t, "protocol_errors", 0)
		counters.check(t, "packets_delivered", uint64(number))
	})
}

// TestTLSRecordsInPieces writes a record in two pieces, at each place where it can be cut. Others
// exchange packets in between, so that the relay reads the first piece by itself.
func TestTLSRecordsInPieces(t *testing.T) {
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		slow, records := r.connectRecords(ctx, t, "slow")
		pair := r.connectSeveral(ctx, t, 2)
		for cut, size := 1, 2; cut < size; cut++ {
			data := pattern(uint64(cut), 60)
			record := records.out.seal(typeData, appendSendPacket(nil, pair[0].public, data), 0)
			size = len(record)
			records.send(record[:cut])
			checkPair(ctx, t, pair[0], pair[1])
			records.send(record[cut:])
			pair[0].expectPacket(ctx, t, slow, data)
		}
		r.finish(t).check(t, "protocol_errors", 0)
	})
}

func TestTLSKeyUpdates(t *testing.T) {
	const rounds = 100
	forEachTLSCell(t, func(ctx context.Context, t *testing.T, r *relay) {
		watcher := r.connect(ctx, t, "watcher")
		p, records := r.connectRecords(ctx, t, "p")
		exchange := func(name string) {
			t.Helper()
			p.send(t, watcher.public, []byte(name))
			watcher.expectPacket(ctx, t, p, []byte(name))
			watcher.send(t, p.public, []byte(name))
			p.expectPacket(ctx, t, watcher, []byte(name))
		}
		exchange("at first")
		for i := range rounds {
			// What the relay sends behind a request comes under its next key, and it changes that
			// once however often it is asked in the meantime.
			records.send(records.keyUpdate(false))
			exchange(fmt.Sprintf("a new key, %d", i))
			if got := records.updatesOf(); got != i {
				t.Fatalf("%d KeyUpdates of the relay, want %d", got, i)
			}
			records.send(records.keyUpdate(true))
			exchange(fmt.Sprintf("a new key for both, %d", i))
			if got := records.updatesOf(); got != i+1 {
				t.Fatalf("%d KeyUpdates of the relay, want %d", got, i+1)
			}
		}
		// In two records, and right before a frame in the same write.
		message := keyUpdateMessage(true)
		split := append(records.out.seal(typeHandshake, message[:3], 0),
			records.out.seal(typeHandshake, message[3:], 7)...)
		records.out.update()
		data := []byte("behind a KeyUpdate in pieces")
		records.send(split, records.out.seal(typeData, appendSendPacket(nil, watcher.public, data), 0))
		watcher.expectPacket(ctx, t, p, data)
		p.ping(ctx, t)
		if got := records.updatesOf(); got != rounds+1 {
			t.Fatalf("%d KeyUpdates of the relay, want %d", got, rounds+1)
		}
		r.finish(t).check(t, "tls_key_updates", 3*rounds+2)
	})
}
