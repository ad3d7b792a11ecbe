"""The gRPC service: servicer, codec, wire format, translation of messages, errors, access log."""
