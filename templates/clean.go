package templates

func clean(s string) string { return s }
