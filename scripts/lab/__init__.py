"""Networks of namespaces to run ShadowMesh in: what the demo is built from."""
