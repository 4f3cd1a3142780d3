"""The contract between server and clients: messages, codec, embodiment map, errors."""
