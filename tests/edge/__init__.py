"""The edge alone: a real Envoy with the committed configuration, in front of services that are made up."""
