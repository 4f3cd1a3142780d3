"""The gRPC server: service, streams, replies, authentication."""
