"""Whatever Asterisk, an admin, a user or a hand in the database may send: no crash, no hang, nothing injected.

A quick look in the test suite; `make fuzz` for as long as one likes (python -m tests.fuzz --seconds 600).
"""
