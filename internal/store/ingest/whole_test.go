package ingest

const wholeVariable = "AMOSKYS_TEST_WHOLE"

func runWhole() {}
