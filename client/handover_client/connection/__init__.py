"""Connection to a policy server over gRPC: clients, streams, security."""
