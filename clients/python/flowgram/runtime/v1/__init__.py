"""The messages and stubs of the package flowgram.runtime.v1: generated from its protos."""
