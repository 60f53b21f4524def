"""The connection, the schema, and what every room stores: runs, leases, facts, exceptions, pauses."""
