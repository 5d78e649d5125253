"""What looks at the OpenAPI document, with tools from npm."""
