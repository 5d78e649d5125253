"""Brands' discounts, and the codes of them that members claim.

Owns `discounts`, `claims` and `member_consents`. A discount's benefit and codes are in the code set of the
same id, which is made and enlarged by the functions of `codes`. Contact data of members is never kept here:
identity is asked for it when somebody looks (`contacts.py`).
"""
