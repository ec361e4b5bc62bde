"""Values to bytes and back, without ever importing or calling what the bytes name.

`values` for values, `failures` for what a call raised, `fingerprint` for what a call was given, and `allowed` for the
types that the application let come back. This room knows nothing of databases, runs or threads.
"""
