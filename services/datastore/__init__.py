"""The datastore: holds the objects of the groups that live on its node.

Volatile pools stay in memory, durable ones in Valkey; a worker on the same host reads through shared memory.
"""
