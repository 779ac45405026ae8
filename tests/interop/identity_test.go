// SPDX-License-Identifier: BSD-3-Clause

// Certificates for relays, and what clients must know of them.

package interop

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const (
	identityChainFile = "chain.pem"
	identityKeyFile   = "chain.key"
	selfSignedFile    = "self-signed.crt" // of a daemon that was given none
)

// An identity is a certificate with its issuers, the first of which clients trust, and its key.
type identity struct {
	chain []*x509.Certificate // the own one first; the last one, of the root, is not sent
	key   crypto.Signer
}

// makeIdentity makes a certificate for a host, signed by another or, without one, by itself. An
// empty host makes an authority.
func makeIdentity(t *testing.T, host string, issuer *identity) *identity {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: host},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(0, 0, 90),
		BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else if host != "" {
		template.DNSNames = []string{host}
	} else {
		template.Subject.CommonName = fmt.Sprintf("authority %x", serial)
		template.IsCA = true
		template.KeyUsage = x509.KeyUsageCertSign
	}
	id := &identity{key: private}
	signer, parent := crypto.Signer(private), template
	if issuer != nil {
		signer, parent = issuer.key, issuer.chain[0]
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, private.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	own, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	id.chain = []*x509.Certificate{own}
	if issuer != nil {
		id.chain = append(id.chain, issuer.chain...)
	}
	return id
}

// sent returns the certificates that a server shows: all but the root.
func (id *identity) sent() []*x509.Certificate {
	if len(id.chain) == 1 {
		return id.chain
	}
	return id.chain[:len(id.chain)-1]
}

func (id *identity) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(id.chain[len(id.chain)-1])
	return pool
}

// pin is what a DERPMap says of the certificate as CertName.
func (id *identity) pin() string {
	return fmt.Sprintf("sha256-raw:%x", sha256.Sum256(id.chain[0].Raw))
}

// get is the GetCertificate of a tls.Config.
func (id *identity) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	certificate := &tls.Certificate{PrivateKey: id.key}
	for _, c := range id.sent() {
		certificate.Certificate = append(certificate.Certificate, c.Raw)
	}
	return certificate, nil
}

// write writes the two files of an identity, and returns the name of the one with the chain.
func (id *identity) write(t *testing.T, folder string) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(id.key)
	if err != nil {
		t.Fatal(err)
	}
	var chain bytes.Buffer
	for _, c := range id.sent() {
		pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	for name, text := range map[string][]byte{identityChainFile: chain.Bytes(),
		identityKeyFile: private} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(folder, identityChainFile)
}

// trustedRoots returns what a client of a daemon must trust: the authority of its identity, or the
// certificate that it made itself.
func trustedRoots(t *testing.T, s settings) *x509.CertPool {
	t.Helper()
	if s.identity != nil {
		return s.identity.roots()
	}
	text, err := os.ReadFile(filepath.Join(s.folder, selfSignedFile))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatalf("%s: no certificate", selfSignedFile)
	}
	return pool
}
