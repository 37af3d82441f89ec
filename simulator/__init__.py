"""The simulator: drives the production cores of all four services in virtual time.

A heap of timed events stands in for asyncio, and profiles for the devices; the decisions are those of the services,
imported and never copied. The same seed at the same commit gives the same run. It is imported as `covey.simulator`.
"""
