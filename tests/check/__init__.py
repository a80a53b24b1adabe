"""The conformance check of foreign servers and clients."""
