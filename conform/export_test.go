package conform

// Lines returns what a case says, for the tests.
func Lines(c Case) string { return c.lines }
