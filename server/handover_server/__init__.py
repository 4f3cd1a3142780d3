"""The GPU host: a gRPC server for GR00T N1.6 policies."""
