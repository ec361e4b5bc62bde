"""Keeps. The contracts of what is kept, and one room per engine."""
