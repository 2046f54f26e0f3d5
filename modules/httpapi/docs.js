// A file of its own, so that the content security policy needs no exception for scripts in the page. Links are
// relative: a proxy may serve the API below a path of its own.
fetch("openapi.json").then((answer) => answer.json()).then((spec) => {
  // Swagger UI fills forms with all examples, also with those that exclude each other. Here a form begins with
  // what the request must have, and the other examples stand in the descriptions.
  const unfilled = (parameter) => {
    if (!parameter.required && "example" in parameter) {
      parameter.description += `\n\nExample: \`${parameter.example}\``;
      delete parameter.example;
    }
  };
  Object.values(spec.components.parameters).forEach(unfilled);
  Object.values(spec.paths).flatMap(Object.values).forEach((operation) => (operation.parameters ?? []).forEach(unfilled));
  window.ui = SwaggerUIBundle({
    spec,
    dom_id: "#swagger-ui",
    deepLinking: true,
    validatorUrl: null, // the online validator: nothing is loaded from elsewhere
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
  });
});
