"""The programme as anybody may read it: name, currency, time zone, base rate, consent wording.

Owns no table: the settings and the earn rules decide.
"""
