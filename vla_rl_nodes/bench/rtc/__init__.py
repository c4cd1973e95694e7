"""Strategies against injected delay: success, time, smoothness, and the queue under faults."""
