// Shows the document. A file of its own, for the page's policy allows no script inside it.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#viewer",
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: -1,
  filter: true,
  tagsSorter: "alpha",
  // Else it would ask a service of its makers whether the document is valid.
  validatorUrl: null,
});
