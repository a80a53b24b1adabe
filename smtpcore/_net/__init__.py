"""The conversations of both roles, written once, and the streams that they run over."""
