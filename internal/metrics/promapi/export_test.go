package promapi

// NewEngine is the engine that an API without one of its own makes.
var NewEngine = newEngine
