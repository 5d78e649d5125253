"""Who you are: members, staff, tills, logins, keys, member codes, the audit list."""
