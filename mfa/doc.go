package mfa

import "time"

func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
