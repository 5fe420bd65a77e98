package storage_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/provider"
	"github.com/sallyport-id/sallyport/storage"
)

func TestEventsAreFound(t *testing.T) {
	each(t, func(t *testing.T, d *storage.DB) {
		for i, e := range []provider.Event{
			{RequestID: "a", Subject: "anna", Kind: provider.EventPassword, Outcome: provider.Success, ClientID: "app"},
			{RequestID: "b", Subject: "anna", Kind: provider.EventFactor, Outcome: provider.Failure, ClientID: "app"},
			{RequestID: "c", Subject: "bert", Kind: provider.EventFactor, Outcome: provider.Success, ClientID: "mail"},
			{RequestID: "d", Kind: provider.EventKeys, Outcome: provider.Success, Actor: "admin"},
		} {
			e.Time = noon.Add(time.Duration(i) * time.Minute)
			must(t, d.Record(t.Context(), e))
		}
		for want, f := range map[string]storage.EventFilter{
			"dcba": {},
			"dc":   {Limit: 2},
			"ba":   {Subject: "anna"},
			"c":    {ClientID: "mail"},
			"cb":   {Kind: provider.EventFactor},
			"b":    {Outcome: provider.Failure},
			"":     {Subject: "bert", Outcome: provider.Failure},
			"cba":  {Before: noon.Add(3 * time.Minute)},
			"dcb":  {From: noon.Add(time.Minute)},
		} {
			events, err := d.Events(t.Context(), f)
			must(t, err)
			var got strings.Builder
			for _, e := range events {
				got.WriteString(e.RequestID)
			}
			if got.String() != want {
				t.Errorf("%+v: got %q, want %q", f, got.String(), want)
			}
		}
	})
}
