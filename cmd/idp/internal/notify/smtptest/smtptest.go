// Package smtptest is a mail server for tests. It speaks SMTP without TLS, on
// a loopback port, and takes any mail.
package smtptest

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
)

// New starts a server that ends with the test. Each mail that it is given, with
// what was said before and in it, is sent to mails, for which nobody need wait.
func New(t testing.TB) (port int, mails <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	got := make(chan string, 100)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn, got)
		}
	}()
	return l.Addr().(*net.TCPAddr).Port, got
}

func serve(conn net.Conn, mails chan<- string) {
	defer conn.Close()
	say := func(line string) { fmt.Fprint(conn, line+"\r\n") }
	say("220 mail.example.com")
	in := bufio.NewReader(conn)
	var said strings.Builder
	for data := false; ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		said.WriteString(line)
		switch {
		case data && line == ".\r\n":
			data = false
			mails <- said.String()
			say("250 taken")
		case data:
		case strings.HasPrefix(line, "DATA"):
			data = true
			say("354 go on")
		case strings.HasPrefix(line, "QUIT"):
			say("221 bye")
			return
		default:
			say("250 well")
		}
	}
}
