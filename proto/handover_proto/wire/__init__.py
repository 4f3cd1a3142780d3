"""The contract's types as protobuf messages, and back."""
