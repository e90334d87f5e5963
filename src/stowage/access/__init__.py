"""Users, keys and policies as code, the same for every store: pure comparison, thin drivers."""
