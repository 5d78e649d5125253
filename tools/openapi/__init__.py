"""Makes `build/openapi.json`, the description of the REST API (OpenAPI 3.1), from the contract.

Nothing is written twice: routes, rules, permissions, comments and reasons are those of the protos. What
descriptors do not hold stands in `media.py` (media types of files) and `examples.py`.
"""
