"""One recipe per published weight: a module with `RECIPE = Recipe(...)`."""
