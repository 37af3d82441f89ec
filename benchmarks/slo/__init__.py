"""Pipelines that meet one latency objective: what estimating cascades, tuning ahead and dropping in time are worth."""
