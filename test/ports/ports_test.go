package ports_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/sallyport-id/sallyport/test/ports"
)

// Nobody else is given a port that is kept, however many ask; who is told it has it,
// and has it again; two do not have it at once.
func TestAPortIsKept(t *testing.T) {
	kept := map[int]bool{}
	for range 200 {
		p := ports.For(t)
		if kept[p] {
			t.Fatalf("%d was given away twice", p)
		}
		kept[p] = true
	}
	for range 20000 { // most that there are
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		if p := l.Addr().(*net.TCPAddr).Port; kept[p] {
			t.Fatalf("%d was given to someone else", p)
		}
	}
	for p := range kept {
		for range 2 {
			l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", p))
			if err != nil {
				t.Fatalf("who it is kept for does not get it: %v", err)
			}
			if second, err := net.Listen("tcp", l.Addr().String()); err == nil {
				second.Close()
				t.Fatal("two listen there")
			}
			l.Close()
		}
	}
}
