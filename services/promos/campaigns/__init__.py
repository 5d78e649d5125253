"""Campaigns: the first N members to log in win a place and a code each.

Owns `campaigns`, `winners` and `known_phones`. A campaign's benefit and codes are in the code set of the same
id, which is made, and whose codes are given, by the functions of `codes`.
"""
