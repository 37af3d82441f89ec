"""Every decision of the mesh: admission, cascades, placement, batching, dropping. Pure.

Read `stimuli.py`, `commands.py`, then `machine.py`; each other file answers one question.
"""
