// A file of its own, so that the content security policy needs no exception for scripts in the page.
window.ui = SwaggerUIBundle({
  url: "openapi.json", // links are relative: a proxy may serve the API below a path of its own
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null, // the online validator: nothing is loaded from elsewhere
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
