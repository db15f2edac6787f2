// Server is what the tests hold against the suite: the library's server with every
// extension, which keeps each message in a file. It prints its address.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postrider/postrider/smtp"
)

func main() {
	dir := flag.String("dir", "", "where messages are kept")
	flag.Parse()
	if err := os.Mkdir(filepath.Join(*dir, "tmp"), 0o700); err != nil {
		log.Fatal(err)
	}
	srv := &smtp.Server{
		Hostname: "mx.example.com", MaxSize: 200_000, Handler: handler{&smtp.Hooks{OnRcpt: ours, OnData: keep(*dir)}},
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate()}}, Logger: slog.New(slog.DiscardHandler),
		OnAuth: func(_ context.Context, _ *smtp.Conn, user, password string) error {
			if user != "ann" || password != "secret" {
				return smtp.Errorf(535, "5.7.8", "wrong user name or password")
			}
			return nil
		},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr())
	go func() { io.Copy(io.Discard, os.Stdin); os.Exit(0) }() // the test has ended
	log.Fatal(srv.Serve(l))
}

type handler struct{ *smtp.Hooks }

func (handler) Offers() []string { return []string{"DSN", "BINARYMIME", "REQUIRETLS"} }

// ours takes mail for the users of example.net, and from its own users for anybody.
func ours(_ context.Context, c *smtp.Conn, to string, _ *smtp.RcptOptions) error {
	to = strings.ToLower(to)
	local, domain, _ := strings.Cut(to, "@")
	switch {
	case to == "postmaster" || c.User() != "":
		return nil
	case domain != "example.net":
		return smtp.Errorf(550, "5.7.1", "mail for other domains is not passed on")
	case local != "bob" && local != "postmaster":
		return smtp.Errorf(550, "5.1.1", "no such user here")
	}
	return nil
}

// keep writes each message into a file that appears when it is whole, as in a Maildir.
func keep(dir string) func(context.Context, *smtp.Conn, *smtp.Envelope, io.Reader) (string, error) {
	return func(_ context.Context, _ *smtp.Conn, _ *smtp.Envelope, r io.Reader) (string, error) {
		f, err := os.CreateTemp(filepath.Join(dir, "tmp"), "")
		if err != nil {
			return "", err
		}
		_, err = io.Copy(f, r)
		f.Close()
		if err != nil {
			return "", err // and what there is of it stays where nobody looks
		}
		id := filepath.Base(f.Name())
		return id, os.Rename(f.Name(), filepath.Join(dir, id))
	}
}

func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
