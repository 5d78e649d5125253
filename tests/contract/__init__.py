"""The protos, compared with what the services are and do."""
