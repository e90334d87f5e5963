"""Which bucket tells whom about what: notification bindings as code."""
