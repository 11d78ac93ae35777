// Nothing leaves the installation: no validator, no remote configuration; tokens are forgotten with the page.
window.ui = SwaggerUIBundle({
  url: "swagger/v1/swagger.json",
  dom_id: "#swagger-ui",
  filter: true,
  deepLinking: true,
  docExpansion: "none",
  displayRequestDuration: true,
  validatorUrl: null,
  queryConfigEnabled: false,
  persistAuthorization: false,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
