"""The codes of sets, one by one and as files: lists, history, withdrawing, imports, exports, sheets to print.

Owns `code_imports` and `code_import_refusals`. Codes are read and changed by the functions of `codes`.
"""

__all__: list[str] = []
