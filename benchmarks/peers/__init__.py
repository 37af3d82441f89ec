"""What a user would pick instead: servers that run in environments of their own, and the installer of these.

A `*_server.py` is run as a program by its peer's own Python, and imports only its peer and what is beside it.
"""
