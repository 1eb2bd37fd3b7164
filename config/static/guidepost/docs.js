// What this page leaves out of the OpenAPI document.
"use strict";

// A person's consent is answered to a program that waits for it; this page is none. "Authorize"
// offers what works here: the id and secret of an API key.
const withoutConsent = () => ({
  statePlugins: {spec: {wrapActions: {updateJsonSpec: (show) => (spec) => {
    const schemes = structuredClone(spec.components?.securitySchemes ?? {});
    for (const scheme of Object.values(schemes)) delete scheme.flows?.authorizationCode;
    return show({...spec, components: {...spec.components, securitySchemes: schemes}});
  }}}},
});
