"""The operator's page: what it shows, what it may do, and who may open it."""
