package store

// FunctionsCalled is for tests.
var FunctionsCalled = functionsCalled
