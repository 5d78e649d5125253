"""The running platform against its OpenAPI document, by calls that a generator makes up from it."""
