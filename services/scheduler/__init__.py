"""The scheduler: takes every decision. It places groups, forms batches, predicts, drops, dispatches and provisions.

One leads and the others stand by. Payloads never pass through it, only the headers of events and the names of objects.
"""
