"""Archive transactions: export old rows as a ZIP, then delete exactly what the ZIP held."""
