"""The gateway: terminates clients, admits events, keeps their deadlines and delivers exactly one outcome for each.

It holds nothing durable, so that any number of them can stand side by side.
"""
