// SPDX-License-Identifier: BSD-3-Clause

// A record layer of TLS 1.3 of the tests' own, with the secrets that crypto/tls has agreed upon: to
// write what no client would, and to see what comes back.

package interop

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
	"tailscale.com/types/key"
)

const (
	recordHeader   = 5
	maxPlaintext   = 1 << 14
	maxCiphertext  = maxPlaintext + 256
	maxIdleRecords = 32 // that this relay takes in a row

	typeChangeCipherSpec = 20
	typeAlert            = 21
	typeHandshake        = 22
	typeData             = 23

	alertCloseNotify       = 0
	alertUnexpectedMessage = 10
	alertBadRecordMAC      = 20
	alertRecordOverflow    = 22
	alertHandshakeFailure  = 40
	alertIllegalParameter  = 47
	alertDecodeError       = 50
	alertUserCanceled      = 90

	noAlert = -1
)

// recordKeys are the keys of one direction.
type recordKeys struct {
	suite  uint16
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	number uint64
}

func (k *recordKeys) hash() func() hash.Hash {
	if k.suite == tls.TLS_AES_256_GCM_SHA384 {
		return sha512.New384
	}
	return sha256.New
}

func (k *recordKeys) expand(label string, size int) []byte {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(size))
	info = append(append(append(info, byte(len(label))), label...), 0)
	out, err := hkdf.Expand(k.hash(), k.secret, string(info), size)
	if err != nil {
		panic(err)
	}
	return out
}

func (k *recordKeys) use(secret []byte) {
	k.secret, k.number = secret, 0
	k.iv = k.expand("iv", 12)
	var err error
	if k.suite == tls.TLS_CHACHA20_POLY1305_SHA256 {
		k.aead, err = chacha20poly1305.New(k.expand("key", 32))
	} else {
		size := 16
		if k.suite == tls.TLS_AES_256_GCM_SHA384 {
			size = 32
		}
		var block cipher.Block
		if block, err = aes.NewCipher(k.expand("key", size)); err == nil {
			k.aead, err = cipher.NewGCM(block)
		}
	}
	if err != nil {
		panic(err)
	}
}

// update goes on to the key behind a KeyUpdate.
func (k *recordKeys) update() { k.use(k.expand("traffic upd", len(k.secret))) }

func (k *recordKeys) nonce() []byte {
	nonce := bytes.Clone(k.iv)
	for i := range 8 {
		nonce[4+i] ^= byte(k.number >> (56 - 8*i))
	}
	k.number++
	return nonce
}

// sealInner seals what stands in a record: content, type, padding.
func (k *recordKeys) sealInner(inner []byte) []byte {
	header := binary.BigEndian.AppendUint16([]byte{typeData, 3, 3}, uint16(len(inner)+16))
	return k.aead.Seal(header, k.nonce(), inner, header)
}

func (k *recordKeys) seal(kind byte, content []byte, padding int) []byte {
	return k.sealInner(append(append(bytes.Clone(content), kind), make([]byte, padding)...))
}

// open opens a record and returns its type and its content.
func (k *recordKeys) open(record []byte) (byte, []byte, error) {
	inner, err := k.aead.Open(nil, k.nonce(), record[recordHeader:], record[:recordHeader])
	if err != nil {
		return 0, nil, err
	}
	inner = bytes.TrimRight(inner, "\x00")
	if len(inner) == 0 {
		return 0, nil, errors.New("a record without a type")
	}
	return inner[len(inner)-1], inner[:len(inner)-1], nil
}

// A recordConn is a TLS connection whose records the test can see and make.
type recordConn struct {
	*timedConn
	out recordKeys

	mu      sync.Mutex // guards the rest, which belongs to who reads
	in      recordKeys
	content []byte // of the last record, what is not read yet
	alert   int    // that the relay has sent, or noAlert
	behind  int    // bytes that came behind it
	updates int    // KeyUpdates of the relay
	fault   error  // what the relay must not do
}

// secretsLog takes what crypto/tls writes as its key log.
type secretsLog map[string][]byte

func (l secretsLog) Write(line []byte) (int, error) {
	fields := strings.Fields(string(line))
	secret, err := hex.DecodeString(fields[2])
	l[fields[0]] = secret
	return len(line), err
}

// dialRecords shakes hands through crypto/tls, then takes the connection over.
func (r *relay) dialRecords(ctx context.Context, t *testing.T) *recordConn {
	t.Helper()
	secrets := secretsLog{}
	config := r.tlsConfig()
	config.KeyLogWriter = secrets
	config.SessionTicketsDisabled = true
	tcp := r.dialTCP(ctx, t)
	secure := tls.Client(tcp, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		t.Fatal(err)
	}
	c := &recordConn{timedConn: tcp, alert: noAlert}
	c.out.suite = secure.ConnectionState().CipherSuite
	c.in.suite = c.out.suite
	c.out.use(secrets["CLIENT_TRAFFIC_SECRET_0"])
	c.in.use(secrets["SERVER_TRAFFIC_SECRET_0"])
	return c
}

// connectRecords connects a peer whose records the test can make.
func (r *relay) connectRecords(ctx context.Context, t *testing.T, name string) (*peer, *recordConn) {
	t.Helper()
	p := &peer{name: name, private: key.NewNode()}
	p.public = p.private.Public()
	records := r.dialRecords(ctx, t)
	p.conn, p.tcp = records, records.timedConn
	brw := buffered(p.conn)
	requestUpgrade(t, brw, r.address())
	p.useConn(t, brw)
	return r.joined(ctx, t, p), records
}

// Write sends bytes in records as full as they can be.
func (c *recordConn) Write(data []byte) (int, error) {
	for rest := data; len(rest) > 0; {
		part := rest[:min(len(rest), maxPlaintext)]
		if _, err := c.timedConn.Write(c.out.seal(typeData, part, 0)); err != nil {
			return 0, err
		}
		rest = rest[len(part):]
	}
	return len(data), nil
}

// send writes records. An error is none: the relay may have ended the connection at the first.
func (c *recordConn) send(records ...[]byte) {
	c.timedConn.Write(bytes.Join(records, nil))
}

// keyUpdate seals a KeyUpdate and goes on to the next key.
func (c *recordConn) keyUpdate(request bool) []byte {
	record := c.out.seal(typeHandshake, keyUpdateMessage(request), 0)
	c.out.update()
	return record
}

func keyUpdateMessage(request bool) []byte {
	message := []byte{24, 0, 0, 1, 0}
	if request {
		message[4] = 1
	}
	return message
}

func (c *recordConn) Read(data []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.content) == 0 {
		c.mu.Unlock()
		record, err := readRecord(c.timedConn)
		c.mu.Lock()
		if err == nil {
			err = c.take(record)
		}
		if err != nil {
			if c.fault == nil && c.alert == noAlert {
				c.fault = err
			}
			return 0, err
		}
	}
	n := copy(data, c.content)
	c.content = c.content[n:]
	return n, nil
}

func readRecord(from io.Reader) ([]byte, error) {
	record := make([]byte, recordHeader)
	if _, err := io.ReadFull(from, record); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(record[3:]))
	record = append(record, make([]byte, size)...)
	_, err := io.ReadFull(from, record[recordHeader:])
	return record, err
}

// take deals with a record of the relay. Behind an alert nothing may come but the end.
func (c *recordConn) take(record []byte) error {
	kind, content, err := c.in.open(record)
	switch {
	case err != nil:
		return fmt.Errorf("a record of the relay: %w", err)
	case kind == typeData:
		c.content = content
		return nil
	case kind == typeHandshake && bytes.Equal(content, keyUpdateMessage(false)):
		c.updates++
		c.in.update()
		return nil
	case kind == typeAlert && len(content) == 2:
		c.alert = int(content[1])
		c.SetReadDeadline(time.Now().Add(prompt))
		rest, _ := io.ReadAll(c.timedConn)
		c.behind = len(rest)
		return io.EOF
	}
	return fmt.Errorf("the relay sent a record of type %d: %x", kind, content)
}

// checkAlert checks how the relay has ended the connection, once it has.
func (c *recordConn) checkAlert(t *testing.T, name string, want int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.alert != want {
		t.Errorf("%s: the relay ended with alert %d (%v), want %d", name, c.alert, c.fault, want)
	}
	if c.behind != 0 {
		t.Errorf("%s: %d bytes came behind the alert", name, c.behind)
	}
}

// updatesOf returns how often the relay has changed its key.
func (c *recordConn) updatesOf() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.updates
}

var _ net.Conn = (*recordConn)(nil)
