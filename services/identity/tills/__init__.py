"""Tills and store servers, which the contract calls clients: their secrets, and the tokens they get for them.

Owns the table `clients`. Other rooms use nothing of it.
"""
