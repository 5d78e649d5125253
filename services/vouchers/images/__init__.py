"""Images of vouchers: judging what is sent, keeping the bytes, showing them.

Owns no tables: which images a voucher has stands in its row. The bytes are in the storage that the settings
name (`services/common/storage`), put there before the row names them, and swept when no row does.
"""
