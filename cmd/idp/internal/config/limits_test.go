package config_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/sallyport-id/sallyport/cmd/idp/internal/config"
	"github.com/sallyport-id/sallyport/provider"
)

func TestARateIsReadAsItIsWritten(t *testing.T) {
	for s, want := range map[string]config.Rate{
		"off": {Requests: -1}, "1/1s": {1, time.Second}, "1000000/1d": {1e6, 24 * time.Hour}, "100/10m0s": {100, 10 * time.Minute},
	} {
		got, err := config.ParseRate(s)
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", s, got, err, want)
		}
		if again, err := config.ParseRate(got.String()); err != nil || again != want {
			t.Errorf("%s is written %s, which is %v, %v", s, got, again, err)
		}
	}
	for _, s := range []string{"", "0/1m", "-1/1m", "1", "1/", "1/0s", "1/2d", "1000001/1m", "1/1ms", "on", "1 /1m"} {
		if got, err := config.ParseRate(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}

// Each key reaches the field that it names, and the defaults are the provider's.
func TestEachLimitHasItsKey(t *testing.T) {
	l := config.Limits{}
	for i := range reflect.TypeFor[config.Limits]().NumField() {
		reflect.ValueOf(&l).Elem().Field(i).Set(reflect.ValueOf(config.Rate{Requests: i + 1, Per: time.Minute}))
	}
	got := reflect.ValueOf(l.Record())
	for i := range got.NumField() {
		name := got.Type().Field(i).Name
		want := reflect.ValueOf(l).FieldByName(name)
		if !want.IsValid() || got.Field(i).Interface() != provider.Rate(want.Interface().(config.Rate)) {
			t.Errorf("%s is %v, want %v", name, got.Field(i), want)
		}
	}
	if got, want := config.Default().Limits.Record(), (provider.Limits{}).WithDefaults(); got != want {
		t.Errorf("the defaults are %v, the provider's %v", got, want)
	}
}
