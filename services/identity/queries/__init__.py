"""All reads of identity."""
