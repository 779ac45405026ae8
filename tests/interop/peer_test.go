// SPDX-License-Identifier: BSD-3-Clause

// A peer: one of Tailscale's clients, connected, with everything it receives kept in order.

package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/types/key"
)

// client is what derp.Client and derphttp.Client have in common.
type client interface {
	Send(to key.NodePublic, packet []byte) error
	SendPing(data [8]byte) error
	SendPong(data [8]byte) error
	Recv() (derp.ReceivedMessage, error)
}

// errEnded says that the relay has ended the connection and every message before that was taken.
var errEnded = errors.New("the connection has ended")

type peer struct {
	name    string
	private key.NodePrivate
	public  key.NodePublic
	client  client
	conn    net.Conn   // what client writes on, to write what it would not; nil with derphttp
	tcp     *timedConn // the connection below; nil with byRegion and TLS
	close   func()     // leaves in an orderly way

	received chan struct{} // closed when the receiving goroutine has ended
	news     chan struct{} // holds a token when something was added to messages, or err was set

	mu       sync.Mutex // guards the rest
	messages []derp.ReceivedMessage
	health   []string // what the Health frames said, "" that all is well
	err      error
}

// listen starts to receive. It never lets the relay wait: a test that does not look at the messages
// must not become a slow receiver. It may be called again when the connection has ended.
func (p *peer) listen() {
	if p.received != nil {
		<-p.received
	}
	p.received = make(chan struct{})
	p.news = make(chan struct{}, 1)
	p.messages, p.health, p.err = nil, nil, nil
	go func() {
		defer close(p.received)
		for {
			message, err := p.client.Recv()
			switch m := message.(type) {
			case derp.PingMessage:
				p.client.SendPong(m)
				continue
			case derp.KeepAliveMessage:
				continue // it may come at any time
			case derp.HealthMessage:
				p.mu.Lock()
				p.health = append(p.health, m.Problem)
				p.mu.Unlock()
				p.wake()
				continue
			case derp.ReceivedPacket:
				m.Data = bytes.Clone(m.Data) // it lies in a buffer of the client
				message = m
			}
			p.deliver(message, err)
			if err != nil {
				// As every client does when the relay has closed its side; derphttp does so itself.
				if p.conn != nil {
					p.conn.Close()
				}
				return
			}
		}
	}()
}

func (p *peer) deliver(message derp.ReceivedMessage, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.err = err
	} else {
		p.messages = append(p.messages, message)
	}
	p.wake()
}

func (p *peer) wake() {
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// take removes the oldest message; it returns neither message nor error when there is none yet.
func (p *peer) take() (derp.ReceivedMessage, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.messages) > 0 {
		message := p.messages[0]
		p.messages = p.messages[1:]
		return message, nil
	}
	if p.err != nil {
		return nil, fmt.Errorf("%s: %w: %w", p.name, errEnded, p.err)
	}
	return nil, nil
}

// next waits for the next message. Only one goroutine at a time may wait on a peer.
func (p *peer) next(ctx context.Context) (derp.ReceivedMessage, error) {
	for {
		message, err := p.take()
		if message != nil || err != nil {
			return message, err
		}
		select {
		case <-p.news:
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: waits for a message: %w", p.name, context.Cause(ctx))
		}
	}
}

// within is next with a time limit of its own; it returns nil when that has passed.
func (p *peer) within(ctx context.Context, t *testing.T, limit time.Duration) derp.ReceivedMessage {
	t.Helper()
	short, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	message, err := p.next(short)
	if err != nil && (ctx.Err() != nil || errors.Is(err, errEnded)) {
		t.Fatal(err)
	}
	return message
}

// expect waits for the next message, which must be of type T.
func expect[T derp.ReceivedMessage](ctx context.Context, t *testing.T, p *peer) T {
	t.Helper()
	message, err := p.next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want, ok := message.(T)
	if !ok {
		t.Fatalf("%s got %s, want a %T", p.name, describe(message), want)
	}
	return want
}

// expectPacket waits for the next message, which must be this packet.
func (p *peer) expectPacket(ctx context.Context, t *testing.T, from *peer, data []byte) {
	t.Helper()
	packet := expect[derp.ReceivedPacket](ctx, t, p)
	if packet.Source != from.public {
		t.Fatalf("%s got a packet from %v, want one from %s %v", p.name,
			packet.Source.ShortString(), from.name, from.public.ShortString())
	}
	if !bytes.Equal(packet.Data, data) {
		t.Fatalf("%s got other bytes from %s than were sent: %s, want %s", p.name, from.name,
			excerpt(packet.Data), excerpt(data))
	}
}

// expectGone waits for the next message, which must be this PeerGone.
func (p *peer) expectGone(ctx context.Context, t *testing.T, who key.NodePublic,
	why derp.PeerGoneReasonType) {
	t.Helper()
	want := derp.PeerGoneMessage{Peer: who, Reason: why}
	if got := expect[derp.PeerGoneMessage](ctx, t, p); got != want {
		t.Fatalf("%s got %s, want %s", p.name, describe(got), describe(want))
	}
}

// expectEnd waits until the relay has closed the connection and returns the messages before that.
func (p *peer) expectEnd(ctx context.Context, t *testing.T, limit time.Duration) []derp.ReceivedMessage {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var messages []derp.ReceivedMessage
	for {
		message, err := p.next(ctx)
		if errors.Is(err, errEnded) {
			return messages
		}
		if err != nil {
			t.Fatalf("%s: the relay did not close the connection: %v", p.name, err)
		}
		messages = append(messages, message)
	}
}

func (p *peer) send(t *testing.T, to key.NodePublic, data []byte) {
	t.Helper()
	if err := p.client.Send(to, data); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}

// ping sends a Ping and waits for its Pong, which must be the next message. The relay handles the
// frames of a connection in order, so it has handled everything that the peer sent before.
func (p *peer) ping(ctx context.Context, t *testing.T) {
	t.Helper()
	data := randomBytes8()
	if err := p.client.SendPing(data); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	if pong := expect[derp.PongMessage](ctx, t, p); pong != derp.PongMessage(data) {
		t.Fatalf("%s: Pong %x for Ping %x", p.name, pong, data)
	}
}

// checkHealth checks what Health frames have told the peer so far. What a test knows to have been
// sent before a Ping of the peer has come with its Pong.
func (p *peer) checkHealth(ctx context.Context, t *testing.T, problems ...bool) {
	t.Helper()
	p.ping(ctx, t)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.health) != len(problems) {
		t.Fatalf("%s got %d Health frames %q, want %d", p.name, len(p.health), p.health,
			len(problems))
	}
	for i, problem := range problems {
		if (p.health[i] != "") != problem {
			t.Fatalf("%s got Health frames %q, want problems %v", p.name, p.health, problems)
		}
	}
}

// expectProblem waits for a Health frame that tells a problem in these words, before anything else
// has come.
func (p *peer) expectProblem(ctx context.Context, t *testing.T, words string) {
	t.Helper()
	for {
		p.mu.Lock()
		health, others, err := slices.Clone(p.health), len(p.messages), p.err
		p.mu.Unlock()
		if len(health) > 0 && others == 0 && strings.Contains(health[0], words) {
			return
		}
		if len(health) > 0 || others > 0 || err != nil {
			t.Fatalf("%s got Health frames %q, %d other messages, error %v; want %q", p.name,
				health, others, err, words)
		}
		select {
		case <-p.news:
		case <-ctx.Done():
			t.Fatalf("%s: no Health frame: %v", p.name, context.Cause(ctx))
		}
	}
}

// leave closes the connection and waits until no more is received. The relay learns of it later.
func (p *peer) leave() {
	p.close()
	<-p.received
}

// abort closes the connection with a reset instead of a FIN.
func (p *peer) abort(t *testing.T) {
	t.Helper()
	if err := p.tcp.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	p.tcp.Close()
	p.leave()
}

// writeFrame writes a frame of any type and contents. An error is not reported: the relay may have
// closed the connection at the sight of the frame's header.
func (p *peer) writeFrame(t *testing.T, frameType derp.FrameType, payload []byte) {
	t.Helper()
	if p.conn == nil {
		t.Fatalf("%s: not a peer that can write any frame", p.name)
	}
	p.conn.Write(appendFrame(nil, frameType, payload))
}

// checkPair checks that two peers reach each other, in both directions.
func checkPair(ctx context.Context, t *testing.T, a, b *peer) {
	t.Helper()
	there, back := randomBytes8(), randomBytes8()
	a.send(t, b.public, there[:])
	b.expectPacket(ctx, t, a, there[:])
	b.send(t, a.public, back[:])
	a.expectPacket(ctx, t, b, back[:])
}

// describe names a message in the texts of failures.
func describe(message derp.ReceivedMessage) string {
	switch m := message.(type) {
	case derp.ReceivedPacket:
		return fmt.Sprintf("packet of %d bytes from %v: %s", len(m.Data), m.Source.ShortString(),
			excerpt(m.Data))
	case derp.PeerGoneMessage:
		return fmt.Sprintf("PeerGone{%v, reason %#x}", m.Peer.ShortString(), byte(m.Reason))
	default:
		return fmt.Sprintf("%T %+v", message, message)
	}
}

func excerpt(data []byte) string {
	if len(data) > 32 {
		return fmt.Sprintf("%d bytes %x…", len(data), data[:32])
	}
	return fmt.Sprintf("%d bytes %x", len(data), data)
}
