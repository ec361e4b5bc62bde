"""Decides. Pure: no I/O, clock, OS thread, event loop or chance; those come in as arguments."""
