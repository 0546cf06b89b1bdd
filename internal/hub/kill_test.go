package hub

const childVariable = "AMOSKYS_HUB_TEST_HOME"

func runChild(string) {}
