package test

// The plan oidcc-config-certification-test-plan.
var configPlan = []suiteModule{
	{"oidcc-discovery-endpoint-verification", "what the provider says of itself is whole, known and of one piece", discoversAll},
}

// Discovery and the keys were fetched, and looked at for the use of them, when
// the exam began; this is the rest.
func discoversAll(e *exam) { e.check(e.party.Verify()) }
