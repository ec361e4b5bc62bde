"""Clew: durable workflows with memory, in plain Python."""
