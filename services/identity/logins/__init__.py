"""Logging in: an account that has proven itself gets a session.

Owns no table; the sessions are those of the room `sessions`.
"""
